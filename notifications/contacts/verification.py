"""Verifies that a person reads an address, by a code that is sent there and entered in Vigia.

A code is computed from a random id and a key that is derived from VIGIA_SECRET_KEY. Neither the
database nor the outbox contains a code, so nobody who reads them can compute one.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

from db import queries
from db.queries import Connection
from model.errors import ConflictError
from notifications.contacts.contact_store import KnownAddress
from notifications.contacts.reaching import URGENT, Destination, Notification, Order, notify_address
from notifications.message import Event, Kind

_QUERIES = queries.load(__file__)
ADDRESSES = _QUERIES["addresses"]
KEEP_CODE = _QUERIES["keep_code"]
CONFIRM = _QUERIES["confirm"]
COUNT_TRY = _QUERIES["count_try"]

PURPOSE = "address codes"
"""The purpose from which the keys are derived: `SecretKeys.derive(PURPOSE)`."""
GOOD_FOR = timedelta(minutes=15)
SENT_AGAIN_AFTER = timedelta(minutes=1)
TRIES_MAX = 5
CODE_DIGITS = 6
ID_BYTES = 16


class SentCode(Struct, frozen=True, kw_only=True):
    """The address to which a code was sent, and when the code expires."""

    channel: str
    address: str
    expires_at: datetime


class _Address(Struct, frozen=True, kw_only=True):
    contact_id: int
    person: str
    tz: str
    channel_id: int
    channel: str
    enabled: bool
    address: str
    verified_at: datetime | None
    code_id: bytes | None
    code_sent_at: datetime | None
    code_tries: int

    def key(self) -> dict[str, Any]:
        return {
            "contact_id": self.contact_id,
            "channel_id": self.channel_id,
            "address": self.address,
        }


def code_of(key: bytes, code_id: bytes) -> str:
    """Return the code of an id: six digits, from an HMAC of the id."""
    number = int.from_bytes(hmac.digest(key, code_id, hashlib.sha256)[:8])
    return f"{number % 10**CODE_DIGITS:0{CODE_DIGITS}}"


async def send_codes(
    connection: Connection, name: str, channel: str | None, now: datetime
) -> list[SentCode]:
    """Send a code to each unverified address of a contact, or only to those of one channel.

    A new code replaces the earlier one. Raises ConflictError if no address needs a code, its
    channel is disabled, or the last code was sent too recently.
    """
    found = await queries.rows(connection, _Address, ADDRESSES, name=name)
    wanted = [one for one in found if one.verified_at is None and channel in {None, one.channel}]
    _check(name, found, wanted, now)
    return [await _send(connection, one, now) for one in wanted]


async def confirm(
    connection: Connection, keys: Sequence[bytes], name: str, code: str, now: datetime
) -> KnownAddress | None:
    """Return the address that a code verifies. None: the code is wrong or has expired.

    Every wrong code counts as a try for all addresses of the contact, because it may have been
    meant for any of them. The rows are locked, so simultaneous guesses cannot exceed the limit of
    tries.
    """
    found = await queries.rows(connection, _Address, ADDRESSES, name=name)
    for one in found:
        if one.code_id is None or _is_over(one, now):
            continue
        if any(hmac.compare_digest(code_of(key, one.code_id), code) for key in keys):
            await queries.run(connection, CONFIRM, **one.key(), now=now)
            return KnownAddress(channel=one.channel, address=one.address, verified_at=now)
    if found:
        await queries.run(connection, COUNT_TRY, contact_id=found[0].contact_id)
    return None


def _check(name: str, found: Sequence[_Address], wanted: Sequence[_Address], now: datetime) -> None:
    if not found:
        raise ConflictError(f"{name} has no address; add one to the contact first")
    if not wanted:
        raise ConflictError(f"{name} has no such address that is not verified")
    if off := [one.channel for one in wanted if not one.enabled]:
        raise ConflictError(f"the channel {off[0]!r} is disabled; enable it first")
    newest = max((one.code_sent_at for one in wanted if one.code_sent_at), default=None)
    if newest is not None and now < newest + SENT_AGAIN_AFTER:
        again_at = newest + SENT_AGAIN_AFTER
        raise ConflictError(
            f"a code was sent less than {SENT_AGAIN_AFTER.total_seconds():g} s ago; "
            f"send another one at {again_at:%FT%TZ} or later"
        )


def _is_over(one: _Address, now: datetime) -> bool:
    sent_at = one.code_sent_at
    return sent_at is None or now >= sent_at + GOOD_FOR or one.code_tries >= TRIES_MAX


async def _send(connection: Connection, one: _Address, now: datetime) -> SentCode:
    code_id = secrets.token_bytes(ID_BYTES)
    await queries.run(connection, KEEP_CODE, **one.key(), code_id=code_id, now=now)
    notification = Notification(
        kind=Kind.ACCOUNT, event=Event.CODE, time=now, payload={"code_id": code_id.hex()}
    )
    to = Destination(person=one.person, tz=one.tz, channel=one.channel, **one.key())
    order = Order(key=f"code-{code_id.hex()}", priority=URGENT)
    await notify_address(connection, notification, to, order, now)
    return SentCode(channel=one.channel, address=one.address, expires_at=now + GOOD_FOR)
