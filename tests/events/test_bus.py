"""The bus numbers events in the order of their commits: no reader of `seq > n` misses one."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db.engine import Engine
from db.queries import Connection, Pool
from events import bus
from events.bus import Event

NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def test_events_of_one_commit_are_numbered_in_their_order(pool: Pool) -> None:
    async with pool.connection() as connection:
        assert await bus.newest(connection) == 0
        assert await bus.append(connection, NOW, [("a", {"n": 1}), ("b", {"n": 2})]) == 2
        assert await bus.append(connection, NOW, [("c", {"n": 3})]) == 3

        found = await bus.after(connection, 1, 10)
        assert [(e.seq, e.type, e.payload) for e in found] == [
            (2, "b", {"n": 2}),
            (3, "c", {"n": 3}),
        ]
        assert len(await bus.after(connection, 0, 2)) == 2
        assert await bus.newest(connection) == 3


async def test_a_rolled_back_event_leaves_no_number_behind(pool: Pool) -> None:
    async with pool.connection() as connection:
        async with connection.transaction(force_rollback=True):
            await bus.append(connection, NOW, [("a", {})])
        assert await bus.append(connection, NOW, [("b", {})]) == 1


class Follower:
    """A reader of `seq > n`, as live clients and other replicas are: it never looks back."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._is_over = asyncio.Event()
        self.seen: list[Event] = []

    @property
    def seqs(self) -> list[int]:
        return [event.seq for event in self.seen]

    @property
    def types(self) -> list[str]:
        return [event.type for event in self.seen]

    async def saw(self, count: int) -> None:
        while len(self.seen) < count:
            await asyncio.sleep(0.001)

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Read again and again on a connection of its own, once more after the body's end."""
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            group.create_task(self._run())
            try:
                yield
            finally:
                self._is_over.set()

    async def _run(self) -> None:
        async with self._pool.connection() as connection:
            is_last = False
            while not is_last:
                is_last = self._is_over.is_set()
                while page := await bus.after(connection, max(self.seqs, default=0), 2):
                    self.seen += page
                await asyncio.sleep(0)


async def waits(connection: Connection, waiting: Connection) -> None:
    """Return once a statement of another connection waits for a lock."""
    query = "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s"
    while await (await connection.execute(query, [waiting.info.backend_pid])).fetchone() != (True,):
        await asyncio.sleep(0.001)


async def append(connection: Connection, *types: str) -> int:
    return await bus.append(connection, NOW, [(name, {}) for name in types])


async def test_a_writer_that_begins_first_and_commits_last_is_not_missed(
    engine: Engine, pool: Pool
) -> None:
    if engine.embedded:
        pytest.skip("one session: two transactions are never open at a time")
    follower = Follower(pool)
    async with (
        follower.following(), pool.connection() as first, pool.connection() as second,
        first.transaction(),
    ):  # fmt: skip
        await first.execute("INSERT INTO built_in_rules VALUES ('a')")
        async with second.transaction():
            await append(second, "second")
        await follower.saw(1)
        await append(first, "first")

    assert (follower.seqs, follower.types) == ([1, 2], ["second", "first"])


@pytest.mark.parametrize("is_undone", [False, True])
async def test_a_writer_with_a_number_commits_before_another_gets_one(
    engine: Engine, pool: Pool, *, is_undone: bool
) -> None:
    """With a sequence the second would not wait, and the first would commit below what was read."""
    if engine.embedded:
        pytest.skip("one session: two transactions are never open at a time")
    follower = Follower(pool)
    async with (
        follower.following(), pool.connection() as first, pool.connection() as second,
        pool.connection() as watch,
    ):  # fmt: skip
        async with first.transaction(force_rollback=is_undone):
            await append(first, "first")
            later = asyncio.create_task(append(second, "second", "third"))
            await waits(watch, second)
        await later

    reported = ["second", "third"] if is_undone else ["first", "second", "third"]
    assert (follower.seqs, follower.types) == (list(range(1, len(reported) + 1)), reported)


class Write(NamedTuple):
    """One transaction of a writer."""

    events: int
    waits_before: int
    waits_after: int
    is_undone: bool


TURN = st.builds(Write, st.integers(1, 3), st.integers(0, 3), st.integers(0, 3), st.booleans())
WRITERS = st.lists(st.lists(TURN, min_size=1, max_size=6), min_size=2, max_size=6)


async def write(pool: Pool, name: str, writes: list[Write]) -> list[str]:
    """Append in transactions that overlap with others'; return the types that were committed."""
    reported: list[str] = []
    for number, each in enumerate(writes):
        types = [f"{name}/{number}/{i}" for i in range(each.events)]
        async with (
            pool.connection() as connection,
            connection.transaction(force_rollback=each.is_undone),
        ):
            for _ in range(each.waits_before):
                await connection.execute("SELECT 1")
            await append(connection, *types)
            for _ in range(each.waits_after):
                await connection.execute("SELECT 1")
        reported += [] if each.is_undone else types
    return reported


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(writers=WRITERS)
async def test_a_reader_that_follows_many_writers_sees_every_event_once_and_in_order(
    pool: Pool, writers: list[list[Write]]
) -> None:
    async with pool.connection() as connection:
        await connection.execute("TRUNCATE events; UPDATE event_counter SET seq = 0")
    follower = Follower(pool)
    async with follower.following():
        reported = await asyncio.gather(
            *(write(pool, str(number), writes) for number, writes in enumerate(writers))
        )

    assert follower.seqs == sorted(set(follower.seqs))
    assert sorted(follower.types) == sorted(itertools.chain(*reported))
    for number, of_writer in enumerate(reported):
        assert [one for one in follower.types if one.startswith(f"{number}/")] == of_writer


async def test_old_events_are_dropped(pool: Pool) -> None:
    async with pool.connection() as connection:
        await bus.append(connection, NOW - timedelta(days=8), [("old", {})])
        await bus.append(connection, NOW, [("new", {})])

        assert await bus.drop_old(connection, NOW - timedelta(days=7)) == 1
        assert await bus.oldest(connection) == 2
        assert await bus.newest(connection) == 2
