"""Alerts that take routes, and the planner that sends them, at times that a test gives."""

from collections.abc import Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from alerts import store as alerts
from alerts.announcing import announce
from alerts.clock import lock
from alerts.suppression import silences, suppress
from alerts.suppression.silences import Terms as SilenceTerms
from alerts.suppression.suppress import Matcher
from db.queries import Connection, Pool
from notifications import channel_store
from notifications.channel_store import Terms
from notifications.contacts import contact_store
from notifications.contacts.contact import Address, Contact
from notifications.oncall.escalation import Policy
from notifications.outbox import queue
from notifications.outbox.deliveries import Delivery, Filter, read_all
from notifications.routing import policy_store, route_store
from notifications.routing.enqueue import enqueue
from notifications.routing.model import Route
from notifications.routing.planner import Planner
from runtime.encryption.secret_keys import SecretKeys

KEYS = SecretKeys(["a" * 32])
START = datetime(2026, 3, 27, 3, tzinfo=UTC)
INSERT_ALERT = b"""
INSERT INTO system_alerts (rule, level, category, component, labels, title, message, opened_at)
VALUES (%(rule)s, %(level)s, %(category)s, %(component)s, %(labels)s, %(title)s, '', %(now)s)
RETURNING id
"""


class Routed:
    """The way from a transition to the outbox. `at` is the time of the test, in minutes."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.minute = 0.0
        self.ids: dict[str, int] = {}
        self.channel_ids: dict[str, int] = {}
        self.announced = 0
        self.restart()

    @property
    def now(self) -> datetime:
        return START + timedelta(minutes=self.minute)

    def at(self, minute: float) -> datetime:
        return START + timedelta(minutes=minute)

    def restart(self) -> None:
        """Begin a new planner, as a process does that starts."""
        self.planner = Planner(pool=self.pool, announce=self._count, on_transitions=[enqueue])

    def _count(self) -> None:
        self.announced += 1

    async def channel(self, name: str = "ops", **terms: Any) -> int:
        wanted = Terms(name=name, type="webhook", url="https://hooks.example", **terms)
        async with self.pool.connection() as connection:
            number = await channel_store.insert(connection, KEYS, wanted, self.now, "test")
        self.channel_ids[name] = number
        return number

    async def route(self, name: str = "r", position: int | None = None, **fields: Any) -> None:
        """Make a route to the channel `ops`, unless another is given."""
        wanted = {"name": name, "channels": ["ops"]} | fields
        route = msgspec.convert(wanted, Route)
        async with self.pool.connection() as connection, connection.transaction():
            await route_store.insert(connection, route, position, self.now, "test")

    async def contact(self, name: str, channel: str = "ops", **terms: Any) -> None:
        """Make a person who is reached by the channel's own address, unless another is given."""
        wanted = Contact(name=name, addresses=[Address(channel=channel)], **terms)
        async with self.pool.connection() as connection, connection.transaction():
            await contact_store.insert(connection, KEYS, wanted, self.now, "test")

    async def policy(self, *steps: tuple[str, str], name: str = "p", **fields: Any) -> None:
        """Make a policy; a step is its targets, such as `person:ana channel:x`, and its delay."""
        made = [
            {
                "delay": delay,
                "targets": [
                    dict(zip(("kind", "name"), one.split(":"), strict=True))
                    for one in targets.split()
                ],
            }
            for targets, delay in steps
        ]
        policy = msgspec.convert({"name": name, "steps": made} | fields, Policy)
        async with self.pool.connection() as connection, connection.transaction():
            await policy_store.insert(connection, policy, self.now, "test")

    async def open(self, *names: str, **fields: Any) -> list[int]:
        """Open alerts in one transaction; a name is that of the component unless one is given."""
        async with self.changing() as connection:
            return [await self.open_in(connection, name, **fields) for name in names]

    async def open_in(self, connection: Connection, name: str, **fields: Any) -> int:
        known = {"rule": "cpu", "level": "critical", "category": "system", "component": name}
        values = {"labels": {}, "title": name, "now": self.now} | known | fields
        values["labels"] = Jsonb(values["labels"])
        cursor = await connection.execute(INSERT_ALERT, values)
        row = await cursor.fetchone()
        assert row is not None
        self.ids[name] = row[0]
        await alerts.log_transition(connection, row[0], self.now, "opened", "auto")
        return self.ids[name]

    async def resolve(self, *names: str) -> None:
        await self._act(names, alerts.resolve, "resolved")

    async def acknowledge(self, *names: str) -> None:
        await self._act(names, alerts.acknowledge, "acknowledged")

    async def _act(self, names: Sequence[str], change: Any, kind: str) -> None:
        async with self.changing() as connection:
            for name in names:
                assert await change(connection, self.ids[name], self.now, "ann")
                await alerts.log_transition(connection, self.ids[name], self.now, kind, "ann")

    async def set_level(self, name: str, level: str, kind: str) -> None:
        """Let an alert become more severe, or less."""
        async with self.changing() as connection:
            await connection.execute(
                "UPDATE system_alerts SET level = %s WHERE id = %s", (level, self.ids[name])
            )
            await alerts.log_transition(connection, self.ids[name], self.now, kind, "auto")

    async def silence(self, until: float, **matcher: Any) -> int:
        """Silence alerts from now until a minute, and apply that."""
        ends_at = START + timedelta(minutes=until)
        terms = SilenceTerms(Matcher(**matcher), self.now, ends_at, "quiet")
        async with self.pool.connection() as connection:
            number = await silences.insert(connection, terms, self.now, "ann")
        await self.apply()
        return number

    async def unsilence(self, number: int) -> None:
        async with self.pool.connection() as connection:
            await silences.finish(connection, number, self.now, "ann")
        await self.apply()

    async def apply(self, dependencies: dict[str, list[str]] | None = None) -> None:
        """Suppress what is to be, as each evaluation does."""
        async with self.pool.connection() as connection, connection.transaction():
            await lock(connection)
            await suppress.apply_and_announce(
                connection, self.now, dependencies or {}, "auto", [enqueue]
            )

    async def suppress_in(self, connection: Connection) -> None:
        """Suppress what is to be, before it is announced."""
        await suppress.apply_suppression(connection, self.now, {})

    @asynccontextmanager
    async def changing(self) -> Any:
        async with self.pool.connection() as connection, connection.transaction():
            await lock(connection)
            yield connection
            await announce(connection, self.now, [enqueue])

    async def plan(self) -> None:
        """Send what is due now."""
        await self.planner.run(self.now)

    async def pass_to(self, minute: float, step: float = 0.1) -> None:
        """Let time pass, with the planner running all along."""
        while self.minute < minute - step / 2:
            self.minute = round(self.minute + step, 6)
            await self.plan()

    async def deliveries(self) -> list[Delivery]:
        """Return the delivery log, oldest first."""
        async with self.pool.connection() as connection:
            return (await read_all(connection, Filter(), 100_000))[::-1]

    async def sent(self, channel: str = "ops") -> list[tuple[float, str, dict[str, str]]]:
        """Return the messages of a channel: minute, event, and the state of each alert by name."""
        names = {alert_id: name for name, alert_id in self.ids.items()}
        found = []
        for one in await self.deliveries():
            if one.channel == channel and one.group_id is None:
                minute = (one.created_at - START) / timedelta(minutes=1)
                states = {names[alert["id"]]: _state(alert) for alert in await self.listed(one)}
                found.append((round(minute, 6), one.event, states))
        return found

    async def listed(self, delivery: Delivery) -> list[dict[str, Any]]:
        if delivery.alert is not None:
            return [delivery.alert]
        async with self.pool.connection() as connection:
            said = await queue.members(connection, delivery)  # type: ignore[arg-type]
        return [one.payload["alert"] for one in said]


def _state(alert: dict[str, Any]) -> str:
    if alert["resolved_at"] is not None:
        return "resolved"
    return "firing" if alert["acknowledged_at"] is None else "acknowledged"
