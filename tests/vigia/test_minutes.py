"""Minutes that an outage left stay to be evaluated; one that fails by itself holds up no other."""

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from vigia.minutes import MINUTES_MAX, TRIES_MAX, WAITS_MAX, Minutes

START = datetime(2026, 1, 1, tzinfo=UTC)


def minute(number: int) -> datetime:
    return START + timedelta(minutes=number)


class World:
    """Evaluates minutes; those that are bad fail, each in its own way."""

    def __init__(self, **bad: BaseException) -> None:
        self.bad = {minute(int(name[1:])): error for name, error in bad.items()}
        self.done: list[datetime] = []

    async def evaluate(self, at: datetime) -> None:
        if at in self.bad:
            raise self.bad[at]
        self.done.append(at)


async def test_each_is_evaluated_once_and_in_its_order() -> None:
    minutes, world = Minutes(), World()
    for number in range(3):
        minutes.add(minute(number))
    await minutes.take(world.evaluate)
    assert (world.done, minutes.due) == ([minute(0), minute(1), minute(2)], [])


@pytest.mark.parametrize(
    "error", [ValueError("bad"), psycopg.DataError("bad"), psycopg.errors.QueryCanceled("slow")]
)
async def test_one_that_fails_is_not_tried_again(error: Exception) -> None:
    minutes, world = Minutes(), World(m0=error)
    minutes.add(minute(0))
    with pytest.raises(type(error)):
        await minutes.take(world.evaluate)
    minutes.add(minute(1))
    await minutes.take(world.evaluate)
    assert world.done == [minute(1)]


@pytest.mark.parametrize(
    "error", [psycopg.OperationalError("away"), TimeoutError(), asyncio.CancelledError()]
)
async def test_one_that_is_cut_off_is_tried_again_a_few_times(error: BaseException) -> None:
    minutes, world = Minutes(), World(m0=error)
    minutes.add(minute(0))
    for number in range(1, TRIES_MAX + 1):
        assert minutes.due[0] == minute(0)
        with pytest.raises(type(error)):
            await minutes.take(world.evaluate)
        minutes.add(minute(number))
    await minutes.take(world.evaluate)
    assert world.done == [minute(number) for number in range(1, TRIES_MAX + 1)]


async def test_after_an_outage_that_ends_it_is_evaluated() -> None:
    minutes, world = Minutes(), World(m0=psycopg.OperationalError("away"))
    minutes.add(minute(0))
    with pytest.raises(psycopg.OperationalError):
        await minutes.take(world.evaluate)
    world.bad.clear()
    minutes.add(minute(1))
    await minutes.take(world.evaluate)
    assert (world.done, minutes.tries) == ([minute(0), minute(1)], 0)


def test_of_a_long_outage_the_newest_are_kept() -> None:
    minutes = Minutes()
    for number in range(MINUTES_MAX + 5):
        minutes.add(minute(number))
    assert (minutes.due[0], len(minutes.due)) == (minute(5), MINUTES_MAX)
    assert minutes.are_missed


def test_they_wait_for_a_few_turns_only() -> None:
    minutes = Minutes()
    assert [minutes.may_wait() for _ in range(WAITS_MAX + 1)] == [True] * WAITS_MAX + [False]
