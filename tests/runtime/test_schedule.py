"""Slots with short real intervals, and with a clock that is set forward and back."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from runtime import schedule
from runtime.schedule import Run, SlotStats, every

INTERVAL_S = 0.05


class Journal:
    """Runs that record their slots, and wake the test when there are enough."""

    def __init__(self, enough: int = 5) -> None:
        self.stats: list[datetime] = []
        self.started: list[float] = []
        self._enough = enough
        self._bell = asyncio.Event()

    async def run(self, slot: datetime) -> None:
        self.stats.append(slot)
        self.started.append(time.time())
        if len(self.stats) >= self._enough:
            self._bell.set()

    async def wait(self, *, more: int = 0) -> None:
        """Wait until there are enough slots, or that many more than now."""
        if more:
            self._enough = len(self.stats) + more
            self._bell.clear()
        await asyncio.wait_for(self._bell.wait(), 20)


class SetClock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


@contextlib.asynccontextmanager
async def service(
    run: Run,
    *,
    interval_s: Callable[[], float] = lambda: INTERVAL_S,
    offset_s: float = 0.0,
    deadline_s: float | None = None,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[SlotStats]:
    stats = SlotStats(name="test")
    task = asyncio.ensure_future(
        every(interval_s, run, stats, offset_s=offset_s, deadline_s=deadline_s, clock=clock)
    )
    try:
        yield stats
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def number_of(slot: datetime, interval_s: float = INTERVAL_S) -> float:
    return slot.timestamp() / interval_s


async def test_slots_are_whole_multiples_of_the_interval_and_never_come_twice() -> None:
    journal = Journal(enough=20)

    async with service(journal.run) as stats:
        await journal.wait()

    numbers = [round(number_of(slot)) for slot in journal.stats]
    assert numbers == sorted(set(numbers))
    assert [number_of(slot) for slot in journal.stats] == pytest.approx(numbers, abs=1e-3)
    assert stats.runs == len(journal.stats)
    assert stats.last_slot == journal.stats[-1]
    assert numbers[-1] - numbers[0] + 1 == len(numbers) + stats.missed
    assert all(slot.tzinfo is UTC for slot in journal.stats)


async def test_a_run_never_starts_before_its_slot() -> None:
    journal = Journal()

    async with service(journal.run) as stats:
        await journal.wait()

    delays_s = [
        started - slot.timestamp()
        for started, slot in zip(journal.started, journal.stats, strict=True)
    ]
    assert min(delays_s) >= -1e-3
    assert max(delays_s) < INTERVAL_S + 0.02
    assert 0 <= stats.delay_s <= stats.delay_s_max < INTERVAL_S


async def test_an_offset_delays_the_start_but_keeps_the_slot() -> None:
    journal, offset_s = Journal(), 0.02

    async with service(journal.run, offset_s=offset_s):
        await journal.wait()

    for started, slot in zip(journal.started, journal.stats, strict=True):
        assert number_of(slot) == pytest.approx(round(number_of(slot)), abs=1e-3)
        assert started - slot.timestamp() >= offset_s - 1e-3


async def test_slots_that_fall_due_during_a_run_are_missed_and_not_made_up() -> None:
    journal = Journal(enough=3)

    async def long_turn(slot: datetime) -> None:
        await journal.run(slot)
        await asyncio.sleep(2.5 * INTERVAL_S)

    async with service(long_turn, deadline_s=5) as stats:
        await journal.wait()

    apart = [
        round(number_of(later) - number_of(sooner)) for sooner, later in pairwise(journal.stats)
    ]
    assert min(apart) >= 3
    assert stats.missed == sum(apart) - len(apart)


async def test_a_failed_run_is_counted_and_the_next_slot_runs() -> None:
    journal = Journal(enough=3)

    async def failing_turn(slot: datetime) -> None:
        await journal.run(slot)
        raise ValueError("no luck")

    async with service(failing_turn) as stats:
        await journal.wait()

    assert stats.failures >= 2
    assert stats.last_error == "ValueError: no luck"


async def test_a_run_is_cancelled_at_its_deadline() -> None:
    journal = Journal(enough=2)

    async def hanging_turn(slot: datetime) -> None:
        await journal.run(slot)
        await asyncio.Event().wait()

    async with service(hanging_turn, deadline_s=0.01) as stats:
        await journal.wait()
        first_s = stats.duration_s

    assert stats.failures >= 1
    assert stats.last_error == "not finished after 0.01 s"
    assert first_s >= 0.01


async def test_a_timeout_inside_a_run_is_not_reported_as_its_deadline() -> None:
    journal = Journal(enough=2)

    async def turn_that_timed_out(slot: datetime) -> None:
        await journal.run(slot)
        raise TimeoutError("the probe")

    async with service(turn_that_timed_out) as stats:
        await journal.wait()

    assert stats.last_error == "TimeoutError: the probe"


async def test_a_cancelled_inner_task_does_not_end_the_service() -> None:
    journal = Journal(enough=3)

    async def turn_with_a_cancelled_task(slot: datetime) -> None:
        await journal.run(slot)
        inner = asyncio.ensure_future(asyncio.Event().wait())
        inner.cancel()
        await inner

    async with service(turn_with_a_cancelled_task) as stats:
        await journal.wait()

    assert stats.failures >= 2
    assert stats.last_error == "cancelled from within"


async def test_cancellation_ends_a_running_task_and_its_loop() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def run(_: datetime) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    stats = SlotStats(name="test")
    task = asyncio.ensure_future(every(lambda: INTERVAL_S, run, stats, deadline_s=30))
    await asyncio.wait_for(started.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert ended.is_set()
    assert stats.failures == 0


async def test_a_changed_interval_takes_effect_while_the_loop_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(schedule, "NAP_S_MAX", 0.01)
    interval_s = 86400.0
    journal = Journal(enough=3)

    async with service(journal.run, interval_s=lambda: interval_s) as stats:
        await asyncio.sleep(0)
        interval_s = INTERVAL_S
        await journal.wait()
        interval_s = 86400.0
        taken = stats.runs
        await asyncio.sleep(4 * INTERVAL_S)

    assert stats.missed <= 1
    assert stats.runs <= taken + 1


async def test_a_clock_set_forward_misses_slots_and_goes_on_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(schedule, "NAP_S_MAX", 0.01)
    clock, journal = SetClock(), Journal(enough=2)

    async with service(journal.run, clock=clock) as stats:
        await journal.wait()
        before = stats.missed
        clock.ahead_s = 100 * INTERVAL_S
        await journal.wait(more=3)

    assert stats.missed - before == pytest.approx(100, abs=3)
    assert (journal.stats[-1].timestamp() - time.time()) == pytest.approx(100 * INTERVAL_S, abs=0.2)
    assert stats.delay_s_max < INTERVAL_S


async def test_a_clock_set_far_back_is_followed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "NAP_S_MAX", 0.01)
    clock, journal = SetClock(), Journal(enough=2)

    async with service(journal.run, clock=clock) as stats:
        await journal.wait()
        before = stats.missed
        clock.ahead_s = -3600
        asked = time.monotonic()
        await journal.wait(more=3)
        waited_s = time.monotonic() - asked

    assert waited_s < 2
    assert journal.stats[-1].timestamp() - time.time() == pytest.approx(-3600, abs=0.2)
    assert stats.missed - before <= 2


async def test_a_clock_set_back_a_little_runs_no_slot_twice() -> None:
    clock, journal = SetClock(), Journal(enough=2)

    async with service(journal.run, clock=clock):
        await journal.wait()
        clock.ahead_s = -0.8 * INTERVAL_S
        await journal.wait(more=5)

    numbers = [round(number_of(slot)) for slot in journal.stats]
    assert numbers == sorted(set(numbers))
