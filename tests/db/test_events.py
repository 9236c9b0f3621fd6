"""The bus numbers events in the order of their commits: no reader of `seq > n` misses one."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from db import events
from db.engine import Engine
from db.queries import Pool

NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def test_events_of_one_commit_are_numbered_in_their_order(pool: Pool) -> None:
    async with pool.connection() as connection:
        assert await events.newest(connection) == 0
        assert await events.append(connection, NOW, [("a", {"n": 1}), ("b", {"n": 2})]) == 2
        assert await events.append(connection, NOW, [("c", {"n": 3})]) == 3

        found = await events.after(connection, 1, 10)
        assert [(e.seq, e.type, e.payload) for e in found] == [
            (2, "b", {"n": 2}),
            (3, "c", {"n": 3}),
        ]
        assert len(await events.after(connection, 0, 2)) == 2
        assert await events.newest(connection) == 3


async def test_a_rolled_back_event_leaves_no_number_behind(pool: Pool) -> None:
    async with pool.connection() as connection:
        async with connection.transaction(force_rollback=True):
            await events.append(connection, NOW, [("a", {})])
        assert await events.append(connection, NOW, [("b", {})]) == 1


async def test_of_two_open_transactions_the_later_number_is_committed_later(
    engine: Engine, pool: Pool
) -> None:
    """A reader that has seen n never finds a number below n afterwards."""
    if engine.embedded:
        pytest.skip("one session: two transactions are never open at a time")
    seen: list[list[int]] = []
    first_has_number = asyncio.Event()

    async def first() -> None:
        async with pool.connection() as connection, connection.transaction():
            await events.append(connection, NOW, [("first", {})])
            first_has_number.set()
            await asyncio.sleep(0.3)

    async def second() -> None:
        await first_has_number.wait()
        async with pool.connection() as connection:
            await events.append(connection, NOW, [("second", {})])

    async def reader(task: asyncio.Task[None]) -> None:
        async with pool.connection() as connection:
            while not task.done():
                seen.append([e.seq for e in await events.after(connection, 0, 10)])
                await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        group.create_task(first())
        group.create_task(reader(group.create_task(second())))

    async with pool.connection() as connection:
        found = await events.after(connection, 0, 10)
    assert [(e.seq, e.type) for e in found] == [(1, "first"), (2, "second")]
    assert all(numbers in ([], [1], [1, 2]) for numbers in seen)


async def test_old_events_are_dropped(pool: Pool) -> None:
    async with pool.connection() as connection:
        await events.append(connection, NOW - timedelta(days=8), [("old", {})])
        await events.append(connection, NOW, [("new", {})])

        assert await events.drop_old(connection, NOW - timedelta(days=7)) == 1
        assert await events.oldest(connection) == 2
        assert await events.newest(connection) == 2
