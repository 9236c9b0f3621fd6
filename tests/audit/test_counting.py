"""Each row of the security audit is counted once, whoever counts and whenever it was committed."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from accounts import keys
from audit import counting
from audit import log as audit_log
from audit.log import Event, Type
from config import store as config
from db.engine import Engine
from db.queries import Connection, Pool
from events import bus
from model.errors import ConflictError, InvalidError
from model.principal import Role
from model.series import Sample

START = datetime(2026, 1, 1, tzinfo=UTC)


def slot(number: int) -> datetime:
    return START + timedelta(seconds=15 * number)


def counted(samples: list[Sample]) -> dict[str, float]:
    """What is not zero, by the values of the labels."""
    return {"/".join(v for _, v in s.series.labels): s.value for s in samples if s.value}


async def stored(connection: Connection) -> float:
    cursor = await connection.execute(
        "SELECT coalesce(sum(value), 0) FROM metrics WHERE metric = 'security_events'"
    )
    [[total]] = await cursor.fetchall()
    return float(total)


async def test_an_event_is_counted_once_and_then_zero_for_an_hour(pool: Pool) -> None:
    async with pool.connection() as connection:
        nothing = await counting.count(connection, slot(0))
        await audit_log.log(connection, Event(START, Type.KEY_CREATED, "ana"))
        once = await counting.count(connection, slot(1))
        then = await counting.count(connection, slot(2))
        much_later = await counting.count(connection, slot(2) + timedelta(hours=1))
        total = await stored(connection)

    assert len(nothing) == len(much_later) == len(Type)
    assert counted(once) == {"ana/key_created": 1}
    assert counted(then) == {}
    assert len(then) == len(Type) + 1
    assert total == 1


async def test_a_slot_that_another_replica_counted_is_left_to_it(pool: Pool) -> None:
    async with pool.connection() as connection:
        await counting.count(connection, slot(1))
        await audit_log.log(connection, Event(START, Type.FORBIDDEN, "ana", count=3))

        assert await counting.count(connection, slot(1)) == []
        assert await counting.count(connection, slot(0)) == []
        assert counted(await counting.count(connection, slot(2))) == {"ana/forbidden": 3}
        # The clock was wrong, and is set right.
        assert await counting.count(connection, START - timedelta(hours=2)) != []


async def test_an_event_that_commits_late_is_counted_late(engine: Engine, pool: Pool) -> None:
    """Neither its number nor its time says when it can be seen."""
    if engine.embedded:
        pytest.skip("one session: nobody counts while a transaction is open")
    async with pool.connection() as connection:
        async with pool.connection() as slow, slow.transaction():
            await audit_log.log(slow, Event(START, Type.ADMIN_CREATED, "ana"))
            await audit_log.log(connection, Event(START, Type.KEY_REVOKED, "ben"))
            first = counted(await counting.count(connection, slot(1)))
        second = counted(await counting.count(connection, slot(2)))

    assert (first, second) == ({"ben/key_revoked": 1}, {"ana/admin_created": 1})


async def test_replicas_that_count_at_once_count_everything_once(pool: Pool) -> None:
    events = 40

    async def write(number: int) -> None:
        async with pool.connection() as connection:
            await audit_log.log(connection, Event(START, Type.KEY_REFUSED, detail=str(number)))

    async def replica() -> None:
        for number in range(20):
            async with pool.connection() as connection:
                await counting.count(connection, slot(number))

    async with asyncio.TaskGroup() as group:
        for number in range(events):
            group.create_task(write(number))
        for _ in range(3):
            group.create_task(replica())
    async with pool.connection() as connection:
        await counting.count(connection, slot(21))
        assert await stored(connection) == events


async def test_a_change_that_was_rolled_back_is_not_in_the_audit(pool: Pool) -> None:
    async with pool.connection() as connection:
        await keys.create(connection, "ana", Role.VIEWER, START, "cli")
        with pytest.raises(ConflictError):
            await keys.create(connection, "ana", Role.ADMIN, START, "cli")
        with pytest.raises(InvalidError):
            await config.write(connection, "intervals", {"collect_s": 0}, START, "cli")

        assert counted(await counting.count(connection, slot(1))) == {"cli/key_created": 1}


async def test_only_the_first_admin_key_has_its_own_event_type(pool: Pool) -> None:
    async with pool.connection() as connection:
        assert await keys.create_first(connection, "bootstrap", START)
        assert await keys.create_first(connection, "bootstrap", START) is None
        await keys.create(connection, "mallory", Role.ADMIN, START, "bootstrap")

        found = counted(await counting.count(connection, slot(1)))
    assert found == {"bootstrap/first_admin_created": 1, "bootstrap/admin_created": 1}


async def test_each_event_is_on_the_bus_once_in_the_order_of_the_audit(pool: Pool) -> None:
    async with pool.connection() as connection:
        kinds = (Type.KEY_CREATED, Type.FORBIDDEN, Type.KEY_CREATED)
        await audit_log.log(connection, *(Event(START, kind, "ana") for kind in kinds))
        for number in (1, 1, 2):
            await counting.count(connection, slot(number))
        found = await bus.after(connection, 0, 100)
        logged = await audit_log.past(connection, None, START, slot(9), 2**63 - 1, 100)

    assert [event.type for event in found] == [f"security.{kind}" for kind in kinds]
    assert [event.payload["id"] for event in found] == [one.id for one in reversed(logged)]
    assert {event.time for event in found} == {slot(1)}
    assert found[0].payload["time"] == "2026-01-01T00:00:00Z"
