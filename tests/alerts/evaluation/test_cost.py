"""The rows that rules would read in a minute are estimated before the evaluation."""

from collections.abc import AsyncIterator

import pytest

from alerts.evaluation import cost
from alerts.rules.model import Rule
from db.engine import Engine
from db.queries import Connection, Pool
from model.severity import Level
from tests.alerts.simulation import Simulation, instance, minute

LEVELS = {Level.INFO: 5.0}


@pytest.fixture
async def simulation(pool: Pool) -> AsyncIterator[Simulation]:
    async with pool.connection() as connection:
        yield Simulation(connection)


async def rows(connection: Connection) -> list[int]:
    found = await cost.rows_by_rule(connection, minute(1))
    return [found[rule_id] for rule_id in sorted(found)]


async def test_a_series_with_a_sample_each_second_costs_fifteen_times_as_much(
    simulation: Simulation,
) -> None:
    simulation.now = 1
    await simulation.measure({instance(0): [1.0] * 60, instance(1): [1.0] * 4})
    for window in ("1h", "30s"):
        for number in range(2):
            component = instance(number).component
            await simulation.add(
                Rule(name=f"r{window}{number}", metric="load", component=component, agg="p99",
                     window=window, levels=LEVELS)
            )  # fmt: skip

    assert await rows(simulation.connection) == [3600 + 4, 240 + 4, 30 + 4, 2 + 4]


async def test_short_windows_and_the_newest_minutes_of_long_ones_are_counted(
    simulation: Simulation,
) -> None:
    """The newest quarter of an hour of the 1m tier is made from samples when it is read."""
    simulation.now = 1
    await simulation.measure({instance(0): [1.0] * 4})
    for window in ("1m", "10m", "1h"):
        await simulation.add(Rule(name=f"r{window}", metric="load", window=window, levels=LEVELS))

    assert await rows(simulation.connection) == [4 + 4, 40 + 4, 60 + 45 + 4]


async def several(connection: Connection, rules: int, series: int) -> None:
    """Rules that read alike, over series of which nothing is stored."""
    await connection.execute(
        "INSERT INTO series (metric, component, category)"
        " SELECT 'load', 'old-' || i, 'system' FROM generate_series(1, %s) i",
        [series],
    )
    await connection.execute(
        "INSERT INTO alert_rules (name, kind, metric, agg, window_s, op, levels, updated_at)"
        " SELECT 'r' || i, 'threshold', 'load', 'avg', 60, '>', %s, now()"
        " FROM generate_series(1, %s) i",
        ['{"info": 5}', rules],
    )


async def test_equal_inputs_of_rules_count_once_but_each_comparison_counts(
    simulation: Simulation, engine: Engine
) -> None:
    """However short the windows are: of so many rules over so many series some are too many."""
    rows_max = 1_000_000 if engine.embedded else 5_000_000
    await several(simulation.connection, 750, 2000)

    found = await cost.too_costly(simulation.connection, minute(1))

    assert len(found) == max(0, 750 - (rows_max - 2000 * 4) // (2000 * 4))
    [reason] = set(found.values())
    assert reason.startswith(
        f"it would read about 16,000 rows each minute, and all rules together may read {rows_max:,}"
    )
    assert len(found) > 100


async def test_composites_and_rules_that_are_off_cost_nothing(simulation: Simulation) -> None:
    await simulation.add(
        Rule(name="off", metric="load", levels=LEVELS, enabled=False),
        Rule(name="both", kind="composite", all_of=("off",)),
    )
    assert await rows(simulation.connection) == []
    assert await cost.too_costly(simulation.connection, minute(1)) == {}
