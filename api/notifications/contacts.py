"""Routes of contacts: the people who are notified of alerts, and their addresses."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from msgspec import UNSET, Meta

from api.http.access import ROLE
from api.http.context import AppContext
from api.http.errors import documented
from api.http.pagination import LIMIT, Cursor, Limit, Page, page, position
from api.http.resource import Change, ReadOnly, Resource
from api.paths import BASE
from audit import log as audit_log
from db.queries import Connection
from model.errors import ConflictError, InvalidError, NotFoundError
from model.principal import Role
from model.times import Moment, parse_time, utc_now
from notifications.contacts import contact_store
from notifications.contacts.contact import ADDRESSES_MAX, Address, Contact
from notifications.contacts.contact_store import StoredContact
from notifications.oncall import schedule_store
from notifications.routing import policy_store

CONTACTS = f"{BASE}/contacts"
TAKEN = {409: documented("Another contact has this name.")}
NAMED = {409: documented("A schedule or a policy names this person.")}


class AddressBody(Address, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An address. It may contain the read-only fields of an answer."""

    verified_at: ReadOnly = UNSET


class ContactBody(Contact, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A contact to create, or the new state of a contact.

    It may contain the read-only fields of an answer. An address that stays keeps its verification.
    """

    addresses: Annotated[Sequence[AddressBody], Meta(max_length=ADDRESSES_MAX)] = ()
    mute_until: Moment | None = None  # type: ignore[assignment]
    id: ReadOnly = UNSET
    has_calendar: ReadOnly = UNSET
    updated_at: ReadOnly = UNSET
    updated_by: ReadOnly = UNSET


@get(CONTACTS, opt={ROLE: Role.OPERATOR}, tags=["on-call"], summary="Contacts, oldest first")
async def every(
    context: NamedDependency[AppContext], limit: Limit = LIMIT, cursor: Cursor = None
) -> Page[StoredContact]:
    async with context.connect() as connection:
        found = await contact_store.read_all(connection, position(cursor, 0), limit + 1)
    return page(found, limit, lambda contact: contact.id)


@asynccontextmanager
async def changing(context: AppContext, actor: str) -> AsyncIterator[Change]:
    async with context.connect() as connection, connection.transaction():
        yield Change(context, connection, utc_now(), actor)


async def _read(connection: Connection, name: str, _: datetime) -> StoredContact | None:
    return await contact_store.read(connection, name)


async def require(connection: Connection, name: str) -> None:
    """Raise NotFoundError if there is no contact with a name."""
    if await contact_store.read(connection, name) is None:
        raise NotFoundError(f"there is no contact {name[:100]!r}; GET {CONTACTS} lists them")


async def _insert(change: Change, body: ContactBody) -> str:
    contact = _contact(body, change.now)
    keys = change.context.secret_keys
    await contact_store.insert(change.connection, keys, contact, change.now, change.actor)
    await log(change, f"contact {body.name} created")
    return body.name


async def _update(change: Change, before: StoredContact, body: ContactBody) -> None:
    if body.name != before.name:
        raise InvalidError(f"name: must be {before.name!r}, as in the path")
    contact = _contact(body, change.now)
    keys = change.context.secret_keys
    await contact_store.update(change.connection, keys, contact, change.now, change.actor)
    await log(change, f"contact {body.name} changed")


async def _remove(change: Change, before: StoredContact) -> None:
    await policy_store.check_unnamed(change.connection, "person", before.name)
    await contact_store.delete(change.connection, before.name)
    # Check after the deletion: a schedule that names the contact has locked it, so the deletion
    # waited until that schedule was visible here.
    if found := await schedule_store.naming(change.connection, before.name, change.now):
        raise ConflictError(
            f"{before.name} is in the schedule {', '.join(found)}; remove them there first"
        )
    await log(change, f"contact {before.name} deleted")


def _contact(body: ContactBody, now: datetime) -> Contact:
    fields = {name: getattr(body, name) for name in Contact.__struct_fields__}
    addresses = [Address(channel=one.channel, address=one.address) for one in body.addresses]
    mute_until = None if body.mute_until is None else parse_time(body.mute_until, now)
    return Contact(**{**fields, "addresses": addresses, "mute_until": mute_until})


async def log(change: Change, detail: str) -> None:
    event = audit_log.Event(change.now, audit_log.Type.CONTACT_CHANGED, change.actor, detail=detail)
    await audit_log.log(change.connection, event)


RESOURCE = Resource(
    path=CONTACTS,
    noun="contact",
    number="name",
    by_name=True,
    tag="on-call",
    role=Role.ADMIN,
    reader=Role.OPERATOR,
    draft=ContactBody,
    item=StoredContact,
    read=_read,
    changing=changing,
    insert=_insert,
    update=_update,
    remove=_remove,
)
ROUTES = (
    every,
    RESOURCE.one("One contact"),
    RESOURCE.create("Create a contact", responses=TAKEN),
    RESOURCE.replace("Replace a contact"),
    RESOURCE.delete("Delete a contact; waiting deliveries are never sent", responses=NAMED),
)
