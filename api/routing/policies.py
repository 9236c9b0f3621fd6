"""Routes of escalation policies, which notify people one after the other."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from litestar import get
from litestar.di import NamedDependency
from msgspec import UNSET

from api.http.access import ROLE
from api.http.context import AppContext
from api.http.errors import documented
from api.http.pagination import LIMIT, Cursor, Limit, Page, page, position
from api.http.resource import Change, ReadOnly, Resource
from api.paths import BASE
from audit import log as audit_log
from db.queries import Connection
from model.errors import InvalidError
from model.principal import Role
from model.times import utc_now
from notifications.oncall.escalation import Policy
from notifications.routing import policy_store
from notifications.routing.policy_store import StoredPolicy

POLICIES = f"{BASE}/policies"
TAG = "on-call"
TAKEN = {409: documented("Another policy has this name, or there are too many.")}
LED_TO = {409: documented("A route uses the policy.")}


class PolicyBody(Policy, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A policy to create, or the new state of a policy.

    It may contain the read-only fields of an answer.
    """

    id: ReadOnly = UNSET
    updated_at: ReadOnly = UNSET
    updated_by: ReadOnly = UNSET


@get(POLICIES, opt={ROLE: Role.OPERATOR}, tags=[TAG], summary="Escalation policies, oldest first")
async def every(
    context: NamedDependency[AppContext], limit: Limit = LIMIT, cursor: Cursor = None
) -> Page[StoredPolicy]:
    async with context.connect() as connection:
        found = await policy_store.read_all(connection, position(cursor, 0), limit + 1)
    return page(found, limit, lambda policy: policy.id)


@asynccontextmanager
async def _changing(context: AppContext, actor: str) -> AsyncIterator[Change]:
    async with context.connect() as connection, connection.transaction():
        yield Change(context, connection, utc_now(), actor)


async def _read(connection: Connection, name: str, _: datetime) -> StoredPolicy | None:
    return await policy_store.read(connection, name)


async def _insert(change: Change, body: PolicyBody) -> str:
    await policy_store.insert(change.connection, policy_of(body), change.now, change.actor)
    await _log(change, f"policy {body.name} created")
    return body.name


async def _update(change: Change, before: StoredPolicy, body: PolicyBody) -> None:
    if body.name != before.name:
        raise InvalidError(f"name: must be {before.name!r}, as in the path")
    await policy_store.update(change.connection, policy_of(body), change.now, change.actor)
    await _log(change, f"policy {body.name} changed")


async def _remove(change: Change, before: StoredPolicy) -> None:
    await policy_store.delete(change.connection, before.name)
    await _log(change, f"policy {before.name} deleted")


def policy_of(body: PolicyBody) -> Policy:
    """Return the policy without the read-only fields."""
    return Policy(**{name: getattr(body, name) for name in Policy.__struct_fields__})


async def _log(change: Change, detail: str) -> None:
    event = audit_log.Event(change.now, audit_log.Type.POLICY_CHANGED, change.actor, detail=detail)
    await audit_log.log(change.connection, event)


RESOURCE = Resource(
    path=POLICIES,
    noun="policy",
    number="name",
    by_name=True,
    tag=TAG,
    role=Role.ADMIN,
    reader=Role.OPERATOR,
    draft=PolicyBody,
    item=StoredPolicy,
    read=_read,
    changing=_changing,
    insert=_insert,
    update=_update,
    remove=_remove,
)
ROUTES = (
    every,
    RESOURCE.one("One escalation policy"),
    RESOURCE.create("Create an escalation policy", responses=TAKEN),
    RESOURCE.replace("Replace a policy; running escalations keep the former one"),
    RESOURCE.delete("Delete an escalation policy", responses=LED_TO),
)
