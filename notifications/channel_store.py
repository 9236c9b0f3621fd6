"""Stores channels. Addresses and secrets are encrypted, and no answer contains them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import psycopg
from msgspec import UNSET, Meta, Struct, UnsetType, structs
from psycopg.types.json import Jsonb

from db import queries
from db.queries import Connection
from model.errors import ConflictError, InvalidError, NotFoundError
from model.severity import Level
from model.text import ANY_NAME, Text
from model.validation.words import explain
from notifications.delivery import Channel, ChannelType
from notifications.message import Language
from notifications.registry import type_of
from runtime.encryption.secret_keys import SecretKeys

_QUERIES = queries.load(__file__)
NEW_ID = _QUERIES["new_id"]
COUNT = _QUERIES["count"]
INSERT = _QUERIES["insert"]
UPDATE = _QUERIES["update"]
DELETE = _QUERIES["delete"]
READ = _QUERIES["read"]
READ_NAMED = _QUERIES["read_named"]
FOLLOWING_BUS = _QUERIES["following_bus"]

ID_MAX = 2**63 - 1
CHANNELS_MAX = 1000
"""Without routes, each alert goes to each channel, in the transaction that opens the alert."""
URL_CHARS_MAX = 2000
SECRET_CHARS_MAX = 4000

Name = Annotated[str, Meta(pattern=ANY_NAME, description="Unique name.")]
Url = Annotated[
    str, Meta(max_length=URL_CHARS_MAX, description="Where messages are sent; never returned.")
]
Credential = Annotated[
    str,
    Meta(
        max_length=SECRET_CHARS_MAX,
        description="The key, token or password of the channel; never returned.",
    ),
]


class Terms(Struct, frozen=True, kw_only=True):
    """The settings of a channel. If a change omits `url` or `secret`, the stored one stays."""

    name: Name
    type: str
    url: Url | UnsetType = UNSET
    secret: Credential | UnsetType = UNSET
    title: Text = ""
    settings: dict[str, Any] = {}
    min_level: Level = Level.WARNING
    language: Language = Language.ENGLISH
    tz: str = "UTC"
    enabled: bool = True


class PublicChannel(Struct, frozen=True, kw_only=True):
    """A channel as every user may see it: without its address and secret."""

    id: int
    name: str
    title: str
    type: str
    settings: Mapping[str, Any]
    min_level: Level
    language: Language
    tz: str
    enabled: bool
    updated_at: datetime
    updated_by: str


class Stored(PublicChannel, frozen=True, kw_only=True):
    """A channel as it is stored: `url` and `secret` are ciphertexts."""

    url: str
    secret: str

    def shown(self) -> PublicChannel:
        """Return the fields that every user may see."""
        return PublicChannel(
            **{name: getattr(self, name) for name in PublicChannel.__struct_fields__}
        )


async def insert(
    connection: Connection, keys: SecretKeys, terms: Terms, now: datetime, actor: str
) -> int:
    """Store a new channel and return its number. Raises InvalidError or ConflictError.

    The number is taken from the sequence first, because the ciphertexts are bound to it.
    """
    if await queries.value(connection, COUNT) >= CHANNELS_MAX:
        raise ConflictError(f"there are already {CHANNELS_MAX} channels; delete one first")
    channel_id: int = await queries.value(connection, NEW_ID)
    url, secret = terms.url or "", terms.secret or ""
    _check(channel_id, terms, url, secret)
    row = _row(channel_id, terms, keys, url, secret, now, actor)
    await _write(connection, INSERT, terms.name, row)
    return channel_id


async def update(
    connection: Connection,
    keys: SecretKeys,
    before: Stored,
    terms: Terms,
    now: datetime,
    actor: str,
) -> None:
    """Replace a channel. Raises InvalidError or ConflictError.

    A new address needs the secret again. Otherwise anyone who may change a channel could have its
    secret sent to their own server.
    """
    if terms.type != before.type and "events" in {terms.type, before.type}:
        raise InvalidError(
            f"type: a channel of the type {before.type} cannot become one of the type {terms.type};"
            " make another channel"
        )
    opened = opened_by(keys, before)
    if terms.type != before.type and terms.url is UNSET:
        raise InvalidError("url: a channel of another type needs its own url")
    is_moved = terms.type != before.type or terms.url not in {UNSET, opened.url}
    if is_moved and terms.secret is UNSET and opened.secret:
        raise InvalidError("secret: give it again, because the channel gets another url")
    url = opened.url if terms.url is UNSET else terms.url
    secret = opened.secret if terms.secret is UNSET else terms.secret
    _check(before.id, terms, url, secret)
    row = _row(before.id, terms, keys, url, secret, now, actor)
    await _write(connection, UPDATE, terms.name, row)


async def delete(connection: Connection, channel_id: int) -> None:
    """Delete a channel. Deliveries that wait for it are never sent.

    Raises ConflictError if contacts or routes use it.
    """
    try:
        await queries.run(connection, DELETE, id=channel_id)
    except psycopg.errors.ForeignKeyViolation:
        raise ConflictError(
            "contacts or routes use this channel; remove it from them first"
        ) from None


async def read_all(
    connection: Connection, before: int = ID_MAX, limit: int | None = None
) -> list[Stored]:
    """Return channels with a number below `before`, newest first."""
    return await queries.rows(connection, Stored, READ, id=None, before=before, limit=limit)


async def read(connection: Connection, channel_id: int) -> Stored:
    """Return one channel. Raises NotFoundError."""
    found = await queries.first(
        connection, Stored, READ, id=min(channel_id, ID_MAX), before=ID_MAX, limit=1
    )
    if found is None:
        raise NotFoundError(f"there is no channel {channel_id}")
    return found


async def read_named(connection: Connection, name: str) -> Stored | None:
    """Return the channel with a name, or None."""
    return await queries.first(connection, Stored, READ_NAMED, name=name)


async def check_take_alerts(connection: Connection, field: str, names: Sequence[str]) -> None:
    """Raise InvalidError for a channel that sends no messages about alerts."""
    cursor = await connection.execute(FOLLOWING_BUS, {"names": list(names)})
    if found := await cursor.fetchone():
        raise InvalidError(
            f"{field}: the channel {found[0]!r} sends events of the bus, and no messages about "
            "alerts; name another channel"
        )


def opened_by(keys: SecretKeys, stored: Stored) -> Channel:
    """Return a channel with its decrypted address and secret. Raises DecryptionError."""
    url, secret = given(keys, stored)
    return Channel(
        id=stored.id,
        name=stored.name,
        type=stored.type,
        url=url or type_of(stored.type).url_default,
        secret=secret,
        settings=stored.settings,
    )


def given(keys: SecretKeys, stored: Stored) -> tuple[str, str]:
    """Return the address and the secret as people gave them. Raises DecryptionError."""
    owner = _owner(stored.id)
    url = keys.decrypt(stored.url, owner) if stored.url else ""
    return url, keys.decrypt(stored.secret, owner) if stored.secret else ""


def _owner(channel_id: int) -> str:
    return f"channel:{channel_id}"


def _check(channel_id: int, terms: Terms, url: str, secret: str) -> None:
    """Check the fields that the channel type requires. Raises InvalidError."""
    kind = type_of(terms.type)
    if not url and not kind.url_default:
        raise InvalidError(f"url: {kind.title} channels need one, such as {kind.url_example}")
    if kind.needs_secret and not secret:
        raise InvalidError(f"secret: {kind.title} channels need {kind.credential}")
    if secret and not kind.credential:
        raise InvalidError(f"secret: {kind.title} channels have none; leave it out")
    _check_zone(terms.tz)
    _check_settings(kind, terms.settings)
    kind.check(
        Channel(
            id=channel_id,
            name=terms.name,
            type=terms.type,
            url=url or kind.url_default,
            secret=secret,
            settings=terms.settings,
        )
    )


def _check_zone(tz: str) -> None:
    try:
        ZoneInfo(tz)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidError(
            f"tz: {tz!r} is not a time zone; write one such as Europe/Lisbon"
        ) from None


def _check_settings(kind: ChannelType, settings: Mapping[str, Any]) -> None:
    try:
        msgspec.convert(settings, kind.settings)
    except msgspec.ValidationError as error:
        known = ", ".join(kind.settings.__struct_encode_fields__) or "none"
        words = explain(error, kind.settings, settings, root="settings")
        raise InvalidError(f"{words}; the settings of {kind.title} channels are: {known}") from None


def _row(
    channel_id: int,
    terms: Terms,
    keys: SecretKeys,
    url: str,
    secret: str,
    now: datetime,
    actor: str,
) -> dict[str, Any]:
    owner = _owner(channel_id)
    return structs.asdict(terms) | {
        "id": channel_id,
        "url": keys.encrypt(url, owner) if url else "",
        "secret": keys.encrypt(secret, owner) if secret else "",
        "settings": Jsonb(terms.settings),
        "updated_at": now,
        "updated_by": actor,
    }


async def _write(
    connection: Connection, query: queries.Query, name: str, row: Mapping[str, Any]
) -> None:
    try:
        await queries.run(connection, query, **row)
    except psycopg.errors.UniqueViolation:
        raise ConflictError(
            f"a channel named {name!r} already exists; choose another name"
        ) from None
