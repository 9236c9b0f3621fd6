"""Removes addresses that no longer exist, such as a browser that has unsubscribed."""

from datetime import datetime

import psycopg
import structlog

from audit import log as audit_log
from db import queries
from db.queries import Connection
from notifications.delivery import Channel
from notifications.registry import type_of
from notifications.routing import policy_store

_QUERIES = queries.load(__file__)
DROP_ADDRESSES = _QUERIES["drop_addresses"]
DROP_ADDRESS = _QUERIES["drop_address"]
DROP_CHANNEL = _QUERIES["drop_channel"]
DISABLE = _QUERIES["disable"]

ACTOR = "vigia"

log = structlog.get_logger()


async def drop_addresses(connection: Connection, channel_id: int) -> None:
    """Remove the addresses of a channel from all contacts."""
    await queries.run(connection, DROP_ADDRESSES, channel_id=channel_id)


async def remove(connection: Connection, channel: Channel, address: str, now: datetime) -> None:
    """Remove an address that no longer exists, if its channel type wants that.

    Deliveries that wait for it fail. An empty `address` is the channel's own; then the channel is
    deleted, or disabled if a route or a policy names it.
    """
    if not type_of(channel.type).is_dropped_when_gone:
        return
    async with connection.transaction():
        if address:
            done = await _drop_address(connection, channel.id, address)
        else:
            done = await _drop_channel(connection, channel)
        log.warning("address_gone", channel_id=channel.id, done=done)
        event = audit_log.Event(now, audit_log.Type.CHANNEL_CHANGED, ACTOR, detail=done)
        await audit_log.log(connection, event)


async def _drop_address(connection: Connection, channel_id: int, address: str) -> str:
    await queries.run(connection, DROP_ADDRESS, channel_id=channel_id, address=address)
    return f"an address of channel {channel_id} removed: it no longer exists"


async def _drop_channel(connection: Connection, channel: Channel) -> str:
    await drop_addresses(connection, channel.id)
    policies = await policy_store.naming(connection, "channel", channel.name)
    if not policies and await _is_deleted(connection, channel):
        return f"channel {channel.name} deleted: its address no longer exists"
    await queries.run(connection, DISABLE, channel_id=channel.id, actor=ACTOR)
    return (
        f"channel {channel.name} disabled: its address no longer exists, and a route or a policy "
        "names it"
    )


async def _is_deleted(connection: Connection, channel: Channel) -> bool:
    """Delete a channel. Return False if a route names it.

    A savepoint keeps the outer transaction usable after the foreign key refused the deletion.
    """
    try:
        async with connection.transaction():
            await queries.run(connection, DROP_CHANNEL, channel_id=channel.id)
    except psycopg.errors.ForeignKeyViolation:
        return False
    return True
