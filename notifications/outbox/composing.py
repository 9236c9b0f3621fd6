"""Composes the message of a delivery: loads the data about its alert and writes the text."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from msgspec import Struct, structs

from db import queries
from db.failures import FAILURES
from db.queries import Connection
from model.severity import Level
from notifications import channel_store, link_store, links
from notifications.contacts import messages, verification
from notifications.delivery import Channel
from notifications.event_feed import following
from notifications.links import LinkAction
from notifications.message import Event, Kind, Language, Links, Message
from notifications.outbox.pool_share import PoolShare
from notifications.outbox.queue import NotificationContent, PendingDelivery
from notifications.picture import picture_of
from notifications.registry import channel_to, type_of
from notifications.wording.compose import compose
from notifications.wording.last_hour import LastHour
from notifications.wording.situation import Expired, Measure, Reader, Situation, StepReached
from runtime.encryption.secret_keys import SecretKeys
from runtime.threads import DRAWING

log = structlog.get_logger()

_QUERIES = queries.load(__file__)
READER = _QUERIES["reader"]
MEASURE = _QUERIES["measure"]
LAST_HOUR = _QUERIES["last_hour"]
PREVIOUS_LEVEL = _QUERIES["previous_level"]

BACKGROUND_DEADLINE_S = 1.0
"""After this time the message is sent without the data that is still missing."""
MINUTE_S = 60.0
HOUR = timedelta(hours=1)
PERSONAL = {Kind.ON_CALL, Kind.ACCOUNT}
OPEN = {Event.OPENED, Event.ESCALATED, Event.LOWERED, Event.REMINDER}
"""Events after which somebody may still acknowledge the alert."""


class _Reader(Struct, frozen=True):
    language: Language
    tz: str


class _Measure(Measure, frozen=True, kw_only=True):
    runbook: str


class _Minute(Struct, frozen=True):
    time: datetime
    value: float | None


class Background(Struct, frozen=True, kw_only=True):
    """Data about an alert that the delivery itself does not contain."""

    measure: Measure | None = None
    runbook: str = ""
    last_hour: LastHour | None = None
    previous_level: Level | None = None


class Composer(Struct, frozen=True, kw_only=True):
    """Composes messages.

    `url` is the public address of Vigia; `keys` sign the links in messages.
    """

    pool: PoolShare
    url: str
    keys: SecretKeys

    async def compose(
        self,
        channel: Channel,
        delivery: PendingDelivery,
        members: Sequence[NotificationContent],
        now: datetime,
    ) -> Message:
        """Return the message of a delivery, or of the group that the delivery carries."""
        if delivery.kind == Kind.EVENTS:
            return await self._events(delivery)
        reader = await self._reader(channel, delivery.person)
        if delivery.kind in PERSONAL:
            return self._personal(delivery, reader)
        background = await self._background(delivery, now)
        situation = Situation(
            event=Event(delivery.event),
            key=delivery.key,
            now=delivery.time,
            alerts=_alerts(delivery, members),
            previous_level=background.previous_level,
            measure=background.measure,
            last_hour=background.last_hour,
            runbook=background.runbook,
            step=_step(delivery),
            expired=_expired(delivery),
        )
        message = compose(
            situation,
            reader,
            await self._links(delivery, channel, now),
            picture=await self._picture(channel, situation, reader),
            earlier=delivery.earlier,
        )
        return structs.replace(message, kind=Kind(delivery.kind))

    async def _events(self, delivery: PendingDelivery) -> Message:
        """Return a message of what happened on the bus, the same on each try."""
        async with self.pool.connection() as connection:
            events = await following.read(connection, delivery.payload["seqs"])
        return Message(
            key=delivery.key,
            kind=Kind.EVENTS,
            event=Event.EVENTS,
            time=delivery.time,
            title=f"{len(events)} events",
            text="",
            events=events,
        )

    async def _picture(
        self, channel: Channel, situation: Situation, reader: Reader
    ) -> bytes | None:
        if not type_of(channel.type).shows_picture:
            return None
        return await DRAWING.run(picture_of, situation, reader)

    def _personal(self, delivery: PendingDelivery, reader: Reader) -> Message:
        """Return a message that concerns the recipient and no alert."""
        if delivery.kind == Kind.ACCOUNT:
            code_id = bytes.fromhex(delivery.payload["code_id"])
            code = verification.code_of(self.keys.derive(verification.PURPOSE)[0], code_id)
            life_s = verification.GOOD_FOR.total_seconds()
            return messages.code_message(code, life_s, reader, delivery.key, delivery.time)
        links, person = Links(alert=f"{self.url}/on-call"), delivery.person or ""
        event = Event(delivery.event)
        return messages.handover_message(
            event, delivery.payload, person, reader, delivery.key, links
        )

    async def _reader(self, channel: Channel, person: str | None) -> Reader:
        """Return the language and time zone of the person, or else of the channel."""
        async with self.pool.connection() as connection:
            found = await queries.rows(
                connection, _Reader, READER, channel_id=channel.id, person=person
            )
        return Reader(language=found[0].language, zone=ZoneInfo(found[0].tz))

    async def _background(self, delivery: PendingDelivery, now: datetime) -> Background:
        """Return the data that can be loaded before the deadline.

        A message about an alert is more urgent than its chart, so a slow or absent database never
        delays it.
        """
        if delivery.alert_id is None:
            return Background()
        try:
            async with asyncio.timeout(BACKGROUND_DEADLINE_S), self.pool.connection() as connection:
                return await _background(connection, delivery, now)
        except FAILURES as error:
            log.warning("message_without_background", key=delivery.key, reason=str(error))
            return Background()

    async def _links(self, delivery: PendingDelivery, channel: Channel, now: datetime) -> Links:
        if delivery.alert_id is None:
            return Links(alert=f"{self.url}/")
        alert = f"{self.url}/?alert={delivery.alert_id}"
        if delivery.event not in OPEN:
            return Links(alert=alert)
        person = delivery.person or channel.name
        token, link = links.make(
            self.keys.derive(links.PURPOSE), LinkAction.ACKNOWLEDGE, delivery.alert_id, person, now
        )
        async with self.pool.connection() as connection:
            await link_store.add(connection, link)
        return Links(alert=alert, acknowledge=links.address(self.url, token))


async def find_channel(pool: PoolShare, keys: SecretKeys, channel_id: int, address: str) -> Channel:
    """Return a channel with its secrets, set to an address. An empty address is the channel's own.

    Raises NotFoundError, DecryptionError, or InvalidError if the address is not one of its type.
    """
    async with pool.connection() as connection:
        stored = await channel_store.read(connection, channel_id)
    return channel_to(channel_store.opened_by(keys, stored), address)


def _alerts(
    delivery: PendingDelivery, members: Sequence[NotificationContent]
) -> list[dict[str, Any]]:
    payloads = [member.payload for member in members] or [delivery.payload]
    return [payload["alert"] for payload in payloads if "alert" in payload]


def _step(delivery: PendingDelivery) -> StepReached | None:
    """Return the step of the escalation policy that sends the message."""
    step = delivery.payload.get("step")
    return StepReached(number=step["number"], of=step["of"]) if step else None


def _expired(delivery: PendingDelivery) -> Expired | None:
    """Return the expired acknowledgement that led to the step."""
    expired = delivery.payload.get("step", {}).get("expired")
    return Expired(person=expired["person"], after_s=expired["after_s"]) if expired else None


async def _background(
    connection: Connection, delivery: PendingDelivery, now: datetime
) -> Background:
    alert_id = delivery.alert_id
    measure = await queries.first(connection, _Measure, MEASURE, alert_id=alert_id)
    start = now.replace(second=0, microsecond=0) - HOUR
    minutes = await queries.rows(connection, _Minute, LAST_HOUR, alert_id=alert_id, start=start)
    previous = await queries.value(
        connection, PREVIOUS_LEVEL, notification_id=delivery.notification_id
    )
    return Background(
        measure=measure,
        runbook=measure.runbook if measure else "",
        last_hour=LastHour(
            start=start, step_s=MINUTE_S, values=[minute.value for minute in minutes]
        )
        if minutes
        else None,
        previous_level=None if previous is None else Level(previous),
    )
