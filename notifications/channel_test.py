"""Sends a test message at once and returns the request and the provider's answer."""

import time
from datetime import datetime
from uuid import uuid4
from zoneinfo import ZoneInfo

from msgspec import Struct

from db import queries
from db.queries import Connection
from notifications import channel_store
from notifications.channel_store import Stored
from notifications.delivery import Channel, DeliveryError, GoneError, Receipt
from notifications.message import Event, Message
from notifications.outbox import gone, outcomes
from notifications.outbox.pool_share import PoolShare
from notifications.posting import recording
from notifications.wording.compose import compose
from notifications.wording.situation import Reader, Situation
from runtime.encryption.secret_keys import SecretKeys
from runtime.network.egress import Egress

_QUERIES = queries.load(__file__)
RECORD = _QUERIES["record"]

SENT_CHARS_MAX = 10_000


class ChannelTestResult(Struct, frozen=True, kw_only=True):
    """The result of a test message. `error` is empty if the provider accepted the message."""

    key: str
    channel: str
    state: str
    """`sent` or `failed`."""
    sent: str
    """The first SENT_CHARS_MAX characters of what was sent, without the secret."""
    status: int
    """The HTTP status or SMTP code. 0: the provider did not answer."""
    answer: str
    error: str


async def send_test(
    pool: PoolShare, egress: Egress, keys: SecretKeys, channel_id: int, now: datetime
) -> ChannelTestResult:
    """Send a test message and write it to the delivery log.

    Each database transaction ends before or begins after the sending, so that no connection waits
    for the provider. Raises NotFoundError if the channel does not exist, and DecryptionError if its
    secret cannot be decrypted.
    """
    async with pool.connection() as connection:
        stored = await channel_store.read(connection, channel_id)
    channel = channel_store.opened_by(keys, stored)
    situation = Situation(event=Event.TEST, key=f"test-{uuid4().hex}", now=now)
    message = compose(situation, Reader(language=stored.language, zone=ZoneInfo(stored.tz)))
    started = time.monotonic()
    outcome, tested = await _try(egress, channel, message, now)
    duration_s = time.monotonic() - started
    async with pool.connection() as connection:
        await _record(connection, stored, tested, now, duration_s)
        if isinstance(outcome, GoneError):
            await gone.remove(connection, channel, "", now)
    return tested


async def _try(
    egress: Egress, channel: Channel, message: Message, now: datetime
) -> tuple[Receipt | DeliveryError, ChannelTestResult]:
    outcome: Receipt | DeliveryError
    with recording() as bodies:
        try:
            outcome = await outcomes.send(egress, channel, message, now)
        except DeliveryError as error:
            outcome = error
    is_sent = isinstance(outcome, Receipt)
    texts = [body.decode("utf-8", "replace") for body in bodies] or [message.title, message.text]
    return outcome, ChannelTestResult(
        key=message.key,
        channel=channel.name,
        state="sent" if is_sent else "failed",
        sent=outcomes.shown("\n".join(texts), channel)[:SENT_CHARS_MAX],
        status=outcome.status,
        answer=outcome.answer,
        error="" if is_sent else str(outcome),
    )


async def _record(
    connection: Connection,
    stored: Stored,
    tested: ChannelTestResult,
    now: datetime,
    duration_s: float,
) -> None:
    await queries.run(
        connection,
        RECORD,
        key=tested.key,
        channel_id=stored.id,
        channel=stored.name,
        state=tested.state,
        now=now,
        sent_at=now if tested.state == "sent" else None,
        duration_s=duration_s,
        status=tested.status,
        answer=tested.answer,
        error=tested.error or None,
    )
