"""Stores contacts."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import psycopg
from msgspec import to_builtins
from psycopg.types.json import Jsonb

from db import queries
from db.queries import Connection
from model.errors import ConflictError, InvalidError
from notifications import channel_store
from notifications.channel_store import Stored as StoredChannel
from notifications.contacts.contact import Address, Contact
from notifications.registry import channel_to
from runtime.encryption.secret_keys import SecretKeys

_QUERIES = queries.load(__file__)
COUNT = _QUERIES["count"]
INSERT = _QUERIES["insert"]
UPDATE = _QUERIES["update"]
WRITE_ADDRESSES = _QUERIES["write_addresses"]
DELETE = _QUERIES["delete"]
DROP_WAITING = _QUERIES["drop_waiting"]
READ = _QUERIES["read"]
LOCK = _QUERIES["lock"]
VERIFIED = _QUERIES["verified"]
PEOPLE_OF_CHANNEL = _QUERIES["people_of_channel"]

CONTACTS_MAX = 2000


class KnownAddress(Address, frozen=True, kw_only=True):
    """An address, and when the person verified it. Null: not verified."""

    verified_at: datetime | None


class StoredContact(Contact, frozen=True, kw_only=True):
    """A contact as it is stored."""

    id: int
    addresses: Sequence[KnownAddress]
    has_calendar: bool
    """Whether a calendar can read the person's shifts by a token instead of a key."""
    updated_at: datetime
    updated_by: str


async def insert(
    connection: Connection, keys: SecretKeys, contact: Contact, now: datetime, actor: str
) -> None:
    """Store a new contact.

    Raises InvalidError if an address is wrong, and ConflictError if the name is taken or there are
    too many contacts.
    """
    if await queries.value(connection, COUNT) >= CONTACTS_MAX:
        raise ConflictError(f"there are already {CONTACTS_MAX} contacts; delete one first")
    channel_ids = await _channel_ids(connection, keys, contact.addresses)
    try:
        await queries.run(connection, INSERT, **_row(contact, now, actor))
    except psycopg.errors.UniqueViolation:
        raise ConflictError(
            f"a contact named {contact.name!r} already exists; choose another name"
        ) from None
    await _write_addresses(connection, contact, channel_ids)


async def update(
    connection: Connection, keys: SecretKeys, contact: Contact, now: datetime, actor: str
) -> None:
    """Replace a contact. Raises InvalidError if an address is wrong.

    An address that stays keeps its verification. Deliveries that wait for a removed address are
    never sent.
    """
    channel_ids = await _channel_ids(connection, keys, contact.addresses)
    await queries.run(connection, UPDATE, **_row(contact, now, actor))
    await _write_addresses(connection, contact, channel_ids)
    await queries.run(connection, DROP_WAITING, name=contact.name)


async def delete(connection: Connection, name: str) -> None:
    """Delete a contact. Deliveries that wait for it are never sent."""
    await queries.run(connection, DELETE, name=name)
    await queries.run(connection, DROP_WAITING, name=name)


async def read_all(
    connection: Connection, after: int = 0, limit: int | None = None
) -> list[StoredContact]:
    """Return contacts in the order of their creation, from after a number."""
    return await queries.rows(connection, StoredContact, READ, name=None, after=after, limit=limit)


async def read(connection: Connection, name: str) -> StoredContact | None:
    """Return the contact with a name, or None."""
    return await queries.first(connection, StoredContact, READ, name=name, after=0, limit=1)


async def require(connection: Connection, names: Collection[str]) -> None:
    """Lock contacts against deletion until the transaction ends.

    Raises InvalidError if one does not exist.
    """
    cursor = await connection.execute(LOCK, {"names": list(names)})
    found = {name for (name,) in await cursor.fetchall()}
    if missing := sorted(set(names) - found):
        raise InvalidError(
            f"there is no contact {', '.join(map(repr, missing))}; create it with POST /contacts"
        )


async def verified(connection: Connection, channel_id: int) -> set[str]:
    """Return the verified addresses that contacts have in a channel."""
    cursor = await connection.execute(VERIFIED, {"channel_id": channel_id})
    return {address for (address,) in await cursor.fetchall()}


async def people_of_channel(connection: Connection, channel_id: int) -> list[str]:
    """Return the names of the contacts with an address of a channel."""
    cursor = await connection.execute(PEOPLE_OF_CHANNEL, {"channel_id": channel_id})
    return [name for (name,) in await cursor.fetchall()]


async def _channel_ids(
    connection: Connection, keys: SecretKeys, addresses: Sequence[Address]
) -> list[int]:
    """Return the number of each address's channel. Raises InvalidError if an address is wrong."""
    names = [address.channel for address in addresses]
    await channel_store.check_take_alerts(connection, "addresses", names)
    channels = {one.name: one for one in await channel_store.read_all(connection)}
    return [_checked(channels, keys, one) for one in addresses]


def _checked(channels: dict[str, StoredChannel], keys: SecretKeys, wanted: Address) -> int:
    stored = channels.get(wanted.channel)
    if stored is None:
        known = ", ".join(sorted(channels)) or "none"
        raise InvalidError(
            f"addresses: there is no channel {wanted.channel!r}; the channels are: {known}"
        )
    try:
        channel_to(channel_store.opened_by(keys, stored), wanted.address)
    except InvalidError as error:
        raise InvalidError(f"addresses: {error}") from None
    return stored.id


def _row(contact: Contact, now: datetime, actor: str) -> dict[str, Any]:
    return {
        "name": contact.name,
        "title": contact.title,
        "tz": contact.tz,
        "language": contact.language,
        "mute_until": contact.mute_until,
        "quiet_hours": Jsonb(to_builtins(contact.quiet_hours)),
        "quiet_min_level": contact.quiet_min_level,
        "now": now,
        "actor": actor,
    }


async def _write_addresses(
    connection: Connection, contact: Contact, channel_ids: Sequence[int]
) -> None:
    try:
        await queries.run(
            connection,
            WRITE_ADDRESSES,
            name=contact.name,
            channel_ids=list(channel_ids),
            addresses=[one.address for one in contact.addresses],
        )
    except psycopg.errors.ForeignKeyViolation:
        raise ConflictError("a channel of these addresses was just deleted; try again") from None
