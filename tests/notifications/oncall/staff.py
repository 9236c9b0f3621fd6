"""People with a webhook each, and schedules by which they are on call, in the database."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from notifications.contacts import contact_store
from notifications.contacts.contact import Address, Contact
from notifications.oncall import schedule_store
from notifications.oncall.recording import Recorder
from notifications.oncall.rotation import Rotation
from notifications.oncall.schedule import Override, Shift
from notifications.oncall.schedule_store import ScheduleTerms
from tests.notifications.outbox.telling import Telling


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


BEGIN = utc("2024-03-25 12:00")
"""A Monday; the clocks of Lisbon change on the Sunday after it."""


class Heard(Struct, frozen=True):
    """What a person was sent."""

    person: str
    event: str
    key: str
    title: str
    text: str


class Staff:
    """Each person's messages come to the provider under a path of the person's name."""

    def __init__(self, telling: Telling) -> None:
        self.telling, self.pool = telling, telling.pool

    async def hire(self, *names: str, **terms: Any) -> None:
        for name in names:
            url = f"{self.telling.provider.url}/{name}"
            await self.telling.channel(f"hook-{name}", url)
            contact = Contact(name=name, addresses=[Address(channel=f"hook-{name}")], **terms)
            async with self.pool.connection() as connection, connection.transaction():
                await contact_store.insert(connection, self.telling.keys, contact, BEGIN, "test")

    async def schedule(self, *people: str, name: str = "ops", **turns: Any) -> None:
        """Make a schedule at BEGIN; by default people take turns of a day from 09:00 in Lisbon."""
        start = datetime.fromisoformat("2024-03-25 09:00")
        layers = [Rotation(start=start, people=people, **({"unit": "day"} | turns))]
        terms = ScheduleTerms(name=name, tz="Europe/Lisbon", layers=layers)
        async with self.pool.connection() as connection:
            await schedule_store.insert(connection, terms, BEGIN, "test")

    async def override(self, override: Override, now: datetime) -> None:
        async with self.pool.connection() as connection:
            await schedule_store.add_override(connection, "ops", override, now, "test")

    def recorder(self, reach: Callable[[str], None] = lambda _: None) -> Recorder:
        return Recorder(pool=self.pool, announce=lambda: None, reach=reach)

    async def record(self, now: datetime) -> None:
        await self.recorder().run(now)

    async def recorded(self) -> list[Shift]:
        async with self.pool.connection() as connection:
            found = await schedule_store.load(connection, "ops", BEGIN, utc("2030-01-01"))
        assert found is not None
        return list(found.recorded)

    def heard(self) -> list[Heard]:
        """Return what was sent, in the order in which it came."""
        found = []
        for request in self.telling.provider.requests:
            body = json.loads(request.body)
            fields = (body[name] for name in ("event", "key", "title", "text"))
            found.append(Heard(request.path.strip("/"), *fields))
        return found

    async def send(self, count: int) -> list[Heard]:
        """Let a dispatcher send until so many deliveries are sent; return what was sent."""
        self.telling.start()
        await self.telling.until(sent=count)
        return self.heard()
