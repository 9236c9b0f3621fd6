"""The law: ingested, late, paused, refreshed, compressed or dropped, no sample is lost."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from db.queries import Pool
from tests.retention.simulation import METRICS, RESET, Simulation

DAY_S = 86400

STEPS = st.one_of(
    st.tuples(st.just("ingest"), st.integers(0, 600), st.integers(1, 200), st.integers(1, 90)),
    st.tuples(
        st.just("ingest"), st.integers(0, 9 * DAY_S), st.integers(1, 50), st.integers(1, 9000)
    ),
    st.tuples(st.just("replay")),
    st.tuples(st.just("pause"), st.integers(1, 3 * DAY_S)),
    st.tuples(st.just("maintain")),
    st.tuples(st.just("retain"), st.integers(4, 9), st.integers(4, 12)),
    st.tuples(st.just("ages"), st.dictionaries(st.sampled_from(METRICS), st.floats(1, 6))),
)


@pytest.mark.timeout(600)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(STEPS, min_size=3, max_size=14))
@example(
    steps=[
        ("retain", 5, 5),
        ("ingest", 0, 200, 60),
        ("maintain",),
        ("pause", 6 * DAY_S),
        ("maintain",),
        ("pause", 3600),
        ("maintain",),
        ("retain", 9, 12),
        ("ingest", 6 * DAY_S, 20, 600),
        ("maintain",),
    ]
)
@example(
    steps=[
        ("retain", 9, 12),
        ("ingest", 0, 200, 3000),
        ("pause", 2 * DAY_S),
        ("maintain",),
        ("ages", {"m_percent": 4.0, "n_total": 3.0}),
        ("maintain",),
    ]
)
@example(
    steps=[
        ("retain", 6, 9),
        ("ingest", 0, 200, 3000),
        ("maintain",),
        ("ages", {"m_percent": 2.0, "d_ms": 1.0}),
        ("maintain",),
        ("pause", 4 * DAY_S),
        ("maintain",),
        ("ingest", 3 * DAY_S, 40, 900),
        ("maintain",),
        ("ages", {}),
        ("replay",),
    ]
)
@example(
    steps=[
        ("retain", 4, 4),
        ("ingest", 0, 50, 60),
        ("maintain",),
        ("pause", DAY_S),
        ("ingest", DAY_S, 50, 30),
        ("maintain",),
        ("pause", 3 * DAY_S),
        ("maintain",),
        ("maintain",),
        ("replay",),
        ("maintain",),
    ]
)
async def test_tiers_never_lose_or_invent_a_sample(
    pool: Pool, steps: list[tuple[Any, ...]]
) -> None:
    async with pool.connection() as connection:
        await connection.execute(RESET)
        simulation = Simulation(connection)
        for name, *arguments in steps:
            if name == "pause":
                simulation.now += timedelta(seconds=arguments[0])
            else:
                await getattr(simulation, name)(*arguments)

        simulation.now += timedelta(minutes=20)
        await simulation.maintain()
        await simulation.verify()
        await simulation.maintain()
        await simulation.verify()
