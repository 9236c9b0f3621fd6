"""Minutes missed in an outage stay queued; a minute that fails by itself delays no other."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from alerts.evaluation.catch_up import QUEUE_MAX, TRIES_MAX, WAITS_MAX, Evaluations
from config.model import Config
from db.queries import Connection, Pool

START = datetime(2026, 1, 1, tzinfo=UTC)


def minute(number: int) -> datetime:
    return START + timedelta(minutes=number)


class Simulation:
    """Evaluates minutes; those that are bad fail, each in its own way."""

    def __init__(self, pool: Pool, **bad: BaseException) -> None:
        self.bad = {minute(int(name[1:])): error for name, error in bad.items()}
        self.done: list[datetime] = []
        self.announced = self.renewed = 0
        self.is_stored = True
        self.evaluations = Evaluations(
            pool=pool,
            config=Config,
            renew_config=self.renew,
            wait_until_stored=self.wait_until_stored,
            announce=self.announce,
            evaluate=self.evaluate,
        )

    async def evaluate(
        self,
        _connection: Connection,
        at: datetime,
        _thresholds: Mapping[str, object],
        _dependencies: Mapping[str, Sequence[str]],
        _now: datetime,
    ) -> None:
        if at in self.bad:
            raise self.bad[at]
        self.done.append(at)

    async def wait_until_stored(self, _timeout_s: float) -> bool:
        return self.is_stored

    async def renew(self) -> None:
        self.renewed += 1

    def announce(self) -> None:
        self.announced += 1

    async def run(self, number: int) -> None:
        await self.evaluations.run(minute(number))

    async def fail(self, number: int, error: BaseException) -> None:
        with pytest.raises(type(error)):
            await self.run(number)


async def test_a_minute_is_evaluated_once_with_settings_that_are_in_force(pool: Pool) -> None:
    simulation = Simulation(pool)
    for number in range(3):
        await simulation.run(number)
    assert (simulation.done, simulation.evaluations.queue) == (
        [minute(0), minute(1), minute(2)],
        [],
    )
    assert (simulation.renewed, simulation.announced) == (3, 3)


@pytest.mark.parametrize(
    "error", [ValueError("bad"), psycopg.DataError("bad"), psycopg.errors.QueryCanceled("slow")]
)
async def test_one_that_fails_is_not_tried_again(pool: Pool, error: Exception) -> None:
    simulation = Simulation(pool, m0=error)
    await simulation.fail(0, error)
    await simulation.run(1)
    assert simulation.done == [minute(1)]
    assert simulation.announced == 2


@pytest.mark.parametrize(
    "error", [psycopg.OperationalError("away"), TimeoutError(), asyncio.CancelledError()]
)
async def test_one_that_is_cut_off_is_tried_again_a_few_times(
    pool: Pool, error: BaseException
) -> None:
    simulation = Simulation(pool, m0=error)
    for number in range(TRIES_MAX):
        await simulation.fail(number, error)
        assert (simulation.evaluations.queue[:1] == [minute(0)]) == (number < TRIES_MAX - 1)
    await simulation.run(TRIES_MAX)
    assert simulation.done == [minute(number) for number in range(1, TRIES_MAX + 1)]


async def test_after_an_outage_that_ends_it_is_evaluated(pool: Pool, away: Pool) -> None:
    simulation = Simulation(away)
    await simulation.fail(0, psycopg.OperationalError())
    simulation.evaluations.pool = pool
    await simulation.run(1)
    assert (simulation.done, simulation.evaluations.tries) == ([minute(0), minute(1)], 0)


async def test_after_a_long_outage_the_newest_minutes_stay_queued(away: Pool) -> None:
    simulation = Simulation(away)
    for number in range(QUEUE_MAX + 5):
        await simulation.fail(number, psycopg.OperationalError())
    assert simulation.evaluations.queue == [minute(number) for number in range(5, QUEUE_MAX + 5)]


async def test_they_wait_a_few_runs_for_what_was_collected_meanwhile(
    pool: Pool, away: Pool
) -> None:
    simulation = Simulation(away)
    await simulation.fail(0, psycopg.OperationalError())
    simulation.evaluations.pool, simulation.is_stored = pool, False
    for number in range(1, WAITS_MAX + 1):
        await simulation.run(number)
        assert simulation.done == []
    await simulation.run(WAITS_MAX + 1)
    assert simulation.done == [minute(number) for number in range(WAITS_MAX + 2)]
