"""Memory is shared in the order of requests, keys take turns, and no byte is lost."""

import asyncio
from contextlib import AsyncExitStack, ExitStack, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.ingest.admission import room
from api.ingest.admission.room import HeldBytes, Room
from model.errors import UnavailableError


class User:
    """Holds some bytes until it is told to leave, and notes when it gets them."""

    def __init__(self, shared: Room, size: int, key: str = "") -> None:
        self.shared, self.size, self.key = shared, size, key
        self.has_some, self.may_leave = asyncio.Event(), asyncio.Event()
        self.task = asyncio.create_task(self.run())

    async def run(self) -> None:
        async with self.shared.held(self.size, self.key):
            self.has_some.set()
            await self.may_leave.wait()

    async def leave(self) -> None:
        self.may_leave.set()
        await self.task


async def note_stored() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def is_empty(shared: Room, size: int) -> bool:
    """Whether all of the room can be had at once."""
    async with asyncio.timeout(0), shared.held(size):
        return True


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(-300, 300)), max_size=80))
def test_however_much_keys_take_they_leave_a_half_for_each_of_them(
    steps: list[tuple[int, int]],
) -> None:
    """A new key gets at least 1/2 of all, beside one other 1/4, beside two others 1/8."""
    held, stacks, took = HeldBytes(1024), [ExitStack() for _ in range(6)], [0] * 6
    for key, size in steps:
        if size < 0:
            stacks[key].close()
            took[key] = 0
        else:
            take = stacks[key].enter_context(held.holder(str(key)))
            with suppress(UnavailableError):
                take(size)
                took[key] += size

        assert held.free == 1024 - sum(took)
        others = sum(map(bool, took))
        assert held.free >= 1024 / 2**others
        with held.holder("new") as take:
            take(1024 // 2 ** (others + 1))
    for stack in stacks:
        stack.close()
    assert held.free == 1024


async def test_the_first_request_comes_first_even_if_a_later_one_would_fit() -> None:
    shared = Room(10)
    first, large, small = User(shared, 8), User(shared, 9), User(shared, 1)
    await note_stored()
    assert [u.has_some.is_set() for u in (first, large, small)] == [True, False, False]

    await first.leave()
    await note_stored()
    assert [u.has_some.is_set() for u in (large, small)] == [True, True]
    await large.leave()
    await small.leave()
    assert await is_empty(shared, 10)


async def test_keys_take_turns_whoever_asks_more_often() -> None:
    shared = Room(10)
    first, second, third = (User(shared, 10, "ana") for _ in range(3))
    await note_stored()
    other = User(shared, 10, "bob")
    await note_stored()

    for user in (first, second, other, third):
        assert user.has_some.is_set()
        await user.leave()
        await note_stored()
    assert await is_empty(shared, 10)


async def test_a_cancelled_request_lets_the_next_one_in() -> None:
    shared = Room(10)
    first, large, small = User(shared, 8), User(shared, 9), User(shared, 1)
    await note_stored()

    large.task.cancel()
    await note_stored()
    assert small.has_some.is_set()
    await first.leave()
    await small.leave()
    assert await is_empty(shared, 10)


async def test_nothing_is_lost_when_a_wait_ends_in_the_moment_in_which_it_is_granted() -> None:
    shared = Room(10)
    first, second, third = (User(shared, 10) for _ in range(3))
    await note_stored()

    first.may_leave.set()
    await asyncio.sleep(0)  # It gives back, and the second is granted what it does not know of yet.
    second.task.cancel()
    await note_stored()
    assert third.has_some.is_set()
    await third.leave()
    assert await is_empty(shared, 10)


async def test_one_that_is_cancelled_before_its_turn_comes_is_passed_over() -> None:
    shared = Room(10)
    first, second, third = (User(shared, 10) for _ in range(3))
    await note_stored()

    first.may_leave.set()
    second.task.cancel()
    await note_stored()
    assert third.has_some.is_set()
    assert second.task.cancelled()
    await third.leave()
    assert await is_empty(shared, 10)


async def test_a_request_that_waits_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "WAIT_S", 0.05)
    shared = Room(10)
    async with shared.held(6):
        with pytest.raises(UnavailableError, match="try again soon"):
            async with shared.held(5):
                pass
        async with asyncio.timeout(0), shared.held(4):
            pass
    assert await is_empty(shared, 10)


async def test_memory_freed_early_is_freed_once() -> None:
    shared = Room(10)
    async with AsyncExitStack() as stack:
        leave = await stack.enter_async_context(shared.held(10))
        leave()
        leave()
        assert await is_empty(shared, 10)
        with pytest.raises(TimeoutError):
            await is_empty(shared, 11)
    assert await is_empty(shared, 10)
