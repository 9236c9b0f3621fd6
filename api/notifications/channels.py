"""Routes of channels. Requests may set addresses and secrets; no answer contains them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import UNSET, structs

from api.http.access import ROLE
from api.http.context import AppContext
from api.http.errors import documented
from api.http.limits import CONCURRENCY, Concurrency
from api.http.pagination import LIMIT, Cursor, Limit, Page, page, position
from api.http.resource import Change, ReadOnly, Resource
from api.paths import BASE
from audit import log as audit_log
from db.queries import Connection
from model.errors import ConflictError
from model.principal import Role
from model.times import utc_now
from notifications import channel_store
from notifications.actions import naming
from notifications.channel_forms.form import TypeForm, forms
from notifications.channel_store import ID_MAX, PublicChannel, Terms
from notifications.channel_test import ChannelTestResult, send_test
from notifications.contacts import contact_store
from notifications.outbox import deliveries
from notifications.outbox.deliveries import LastDelivery
from notifications.routing import policy_store, route_store

CHANNELS = f"{BASE}/channels"
TAKEN = {409: documented("Another channel has this name.")}
USED = {
    409: documented(
        "Another channel has this name, or contacts, policies or actions use the channel."
    )
}
REACHING = {409: documented("Contacts, routes, policies or actions use the channel.")}
NAMES_SHOWN_MAX = 10


class ChannelDraft(Terms, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A channel to create, or the new state of a channel.

    It may contain the read-only fields of an answer. If a change omits `url` or `secret`, the
    stored one stays.
    """

    id: ReadOnly = UNSET
    updated_at: ReadOnly = UNSET
    updated_by: ReadOnly = UNSET
    last_delivery: ReadOnly = UNSET


class ListedChannel(PublicChannel, frozen=True, kw_only=True):
    """A channel in the list, with the newest try to send. Null: there was none."""

    last_delivery: LastDelivery | None


@get(CHANNELS, opt={ROLE: Role.OPERATOR}, tags=["channels"], summary="Channels, newest first")
async def every(
    context: NamedDependency[AppContext], limit: Limit = LIMIT, cursor: Cursor = None
) -> Page[ListedChannel]:
    before = position(cursor, ID_MAX)
    async with context.connect() as connection:
        found = await channel_store.read_all(connection, before, limit + 1)
        last = await deliveries.last_of(connection, [one.id for one in found])
    listed = [
        ListedChannel(**structs.asdict(one.shown()), last_delivery=last.get(one.id))
        for one in found
    ]
    return page(listed, limit, lambda channel: channel.id)


@get(
    f"{CHANNELS}/types",
    tags=["channels"],
    summary="The channel types, and the fields of each",
)
async def types() -> Page[TypeForm]:
    return Page(forms(), None)


@post(
    f"{CHANNELS}/{{channel_id:int}}/test",
    status_code=200,
    opt={ROLE: Role.ADMIN, CONCURRENCY: Concurrency.CHANNEL_TEST},
    tags=["channels"],
    summary="Send a test message now, and show the request and the answer",
)
async def test(
    context: NamedDependency[AppContext], channel_id: FromPath[int]
) -> ChannelTestResult:
    return await send_test(
        context.few_connections, context.egress, context.secret_keys, channel_id, utc_now()
    )


@asynccontextmanager
async def _changing(context: AppContext, actor: str) -> AsyncIterator[Change]:
    async with context.connect() as connection, connection.transaction():
        yield Change(context, connection, utc_now(), actor)


async def _read(connection: Connection, channel_id: int, _: datetime) -> PublicChannel:
    return (await channel_store.read(connection, channel_id)).shown()


async def _insert(change: Change, draft: ChannelDraft) -> int:
    keys = change.context.secret_keys
    channel_id = await channel_store.insert(
        change.connection, keys, draft, change.now, change.actor
    )
    await _log(change, f"channel {draft.name} created, of type {draft.type}")
    return channel_id


async def _update(change: Change, before: PublicChannel, draft: ChannelDraft) -> None:
    if draft.type != before.type or draft.name != before.name:
        await naming.check_unnamed(change.connection, before.name)
    if draft.type != before.type:
        await _check_unused(
            change, before, "another type cannot use them; create another channel instead"
        )
    if draft.name != before.name:
        # Policies refer to channels by name.
        await policy_store.check_unnamed(change.connection, "channel", before.name)
    stored = await channel_store.read(change.connection, before.id)
    keys = change.context.secret_keys
    await channel_store.update(change.connection, keys, stored, draft, change.now, change.actor)
    await _log(change, f"channel {draft.name} changed")


async def _remove(change: Change, before: PublicChannel) -> None:
    await _check_unused(change, before, "remove it from them first")
    await policy_store.check_unnamed(change.connection, "channel", before.name)
    await naming.check_unnamed(change.connection, before.name)
    if routes := await route_store.routes_of_channel(change.connection, before.id):
        shown = ", ".join(routes[:NAMES_SHOWN_MAX])
        raise ConflictError(f"{before.name} is in the route {shown}; remove it there first")
    await channel_store.delete(change.connection, before.id)
    await _log(change, f"channel {before.name} deleted")


async def _check_unused(change: Change, channel: PublicChannel, advice: str) -> None:
    """Raise ConflictError if contacts have addresses of a channel."""
    people = await contact_store.people_of_channel(change.connection, channel.id)
    if people:
        shown = ", ".join(people[:NAMES_SHOWN_MAX])
        raise ConflictError(f"{channel.name} has addresses of the contacts {shown}; {advice}")


async def _log(change: Change, detail: str) -> None:
    event = audit_log.Event(change.now, audit_log.Type.CHANNEL_CHANGED, change.actor, detail=detail)
    await audit_log.log(change.connection, event)


RESOURCE = Resource(
    path=CHANNELS,
    noun="channel",
    number="channel_id",
    tag="channels",
    role=Role.ADMIN,
    reader=Role.OPERATOR,
    draft=ChannelDraft,
    item=PublicChannel,
    read=_read,
    changing=_changing,
    insert=_insert,
    update=_update,
    remove=_remove,
)
ROUTES = (
    every,
    RESOURCE.one("One channel"),
    RESOURCE.create("Create a channel", responses=TAKEN),
    RESOURCE.replace("Replace a channel", responses=USED),
    RESOURCE.delete("Delete a channel; waiting deliveries are never sent", responses=REACHING),
    test,
    types,
)
