"""The state machine of an alert as a table of sequences. Time is an argument."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from alerts import store as alerts
from alerts.evaluation import quarantine
from alerts.rules import model as rules
from alerts.rules import store
from db.engine import Engine
from db.pool import open_pool
from db.queries import Connection, Pool
from model.severity import Level
from tests.alerts.reference_model import Terms
from tests.alerts.simulation import Simulation, minute, rule_of

N, E, L, R, X = "opened", "escalated", "lowered", "resolved", ""
TWO = {2: 10.0, 3: 20.0}

STORIES = {
    # what it shows: the rule, then each minute's value with what is said
    "without for it fires at once": (Terms(TWO), [(5, X), (15, N), (15, X), (5, R)]),
    "limits are exclusive": (Terms(TWO), [(10, X), (10.5, N), (20, X), (20.5, E)]),
    "pending becomes ok when it is calm again": (
        Terms(TWO, wait=2), [(15, X), (5, X), (15, X), (15, X), (15, N)],
    ),
    "a more severe level needs no waiting of its own": (
        Terms(TWO, wait=1), [(15, X), (25, N), (15, L), (25, E)],
    ),
    "recovery lies below the limit": (
        Terms(TWO, recovery={2: 6.0, 3: 15.0}),
        [(15, N), (8, X), (25, E), (16, X), (14, L), (7, X), (6, R), (8, X)],
    ),
    "a level that was never reached keeps nothing open": (
        Terms(TWO, recovery={3: 5.0}), [(15, N), (7, R), (25, N), (7, X), (4, R)],
    ),
    "a level is left to the most severe that is not": (
        Terms({1: 5.0, 2: 10.0, 3: 20.0}, recovery={2: 8.0}), [(25, N), (9, L), (7, L), (4, R)],
    ),
    "calm has to last": (
        Terms(TWO, keep=2), [(15, N), (5, X), (5, X), (15, X), (5, X), (5, X), (5, R)],
    ),
    "nobody acknowledges it": (
        Terms(TWO, escalate=2),
        [(15, N), (15, X), (15, E), (15, X), (15, E), (15, X), (15, X), (5, R)],
    ),
    "without data everything is kept": (
        Terms(TWO, wait=2), [(15, X), (None, X), (15, X), (15, X), (15, N), (None, X), (5, R)],
    ),
    "no data as good as calm": (Terms(TWO, no_data="ok"), [(15, N), (None, R), (15, N)]),
    "no data is a reason": (
        Terms(TWO, no_data="alert"), [(5, X), (None, N), (None, X), (25, E), (None, X), (5, R)],
    ),
    "no data is none of what was never seen": (
        Terms(TWO, no_data="alert"), [(None, X), (None, X), (5, X), (None, N)],
    ),
    "it flaps, and then has to be calm for long": (
        Terms(TWO, flap_count=2, flap_window=4),
        [(15, N), (5, R), (15, N), (5, X), (15, X), (5, X), (5, X), (5, X), (5, X), (5, R)],
    ),
    "it opened as often, but not within the window": (
        Terms(TWO, flap_count=2, flap_window=3), [(15, N), (5, R), (5, X), (15, N), (5, R)],
    ),
}  # fmt: skip


@pytest.fixture
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    async with pool.connection() as opened:
        yield opened


@pytest.mark.parametrize("story", STORIES)
async def test_a_story_is_told(connection: Connection, story: str) -> None:
    terms, minutes = STORIES[story]
    simulation = Simulation(connection, terms)
    await simulation.add(rule_of(terms))

    reported = []
    for value, _ in minutes:
        said = await simulation.pass_minute(value)
        reported.append((value, said[0] if said else X))

    assert reported == minutes


# Prometheus' TestForStateRestore: values below 100 have to last for 25 minutes; it looks after 0
# and 5 minutes, then it is down. Outage tolerance 30 minutes, grace 10.
BEFORE = {0: (75, 125), 5: (85, 90)}
LATER = {10: (50, 60), 15: (0, 0), 20: (0, 0)}
RESTORES = {
    "pending goes on, without the time that it was down": (
        BEFORE, 15, (0, 0), {"thing-00": 10, "thing-01": 15},
    ),
    "after too long an outage it starts anew": (
        BEFORE, 40, (40, 50), {"thing-00": 40, "thing-01": 40},
    ),
    "what is calm again is forgotten": (BEFORE, 50, (120, 130), {}),
    "what would fire right away waits for the grace period": (
        BEFORE | LATER, 25, (25, 25), {"thing-00": 10, "thing-01": 10},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", RESTORES)
async def test_pending_survives_a_restart_as_it_does_in_prometheus(
    engine: Engine, connection: Connection, case: str
) -> None:
    before, at, values, since = RESTORES[case]
    simulation = Simulation(connection, Terms(TWO, tolerance=30, grace=10))
    below = rule_of(Terms({3: 100.0}, wait=25))
    await simulation.add(replace_rule(below, op="<"))
    for time, some in before.items():
        # The tests of Prometheus look every five minutes: what lies between is no outage there.
        await connection.execute(
            "UPDATE evaluation_clock SET evaluated_at = %s", [minute(time - 1)]
        )
        await simulation.pass_minute(*some, at=time)

    async with (
        open_pool(engine.dsn, embedded=engine.embedded) as new,
        new.connection() as simulation.connection,
    ):
        await simulation.pass_minute(*values, at=at)

    assert await pending(connection) == {name: minute(then) for name, then in since.items()}


def replace_rule(rule: rules.Rule, **changes: object) -> rules.Rule:
    return rules.of_columns({**rules.columns(rule), **changes})


async def pending(connection: Connection) -> dict[str, object]:
    cursor = await connection.execute(
        "SELECT component, since FROM alert_states WHERE phase = 'pending'"
    )
    return dict(await cursor.fetchall())


async def test_a_firing_alert_is_not_resolved_by_an_outage(connection: Connection) -> None:
    simulation = Simulation(connection, Terms(TWO, keep=5))
    await simulation.add(rule_of(simulation.terms))
    assert await simulation.pass_minute(15) == [N]
    assert await simulation.pass_minute(5) == []

    assert await simulation.pass_minute(5, at=30) == []
    assert [await simulation.pass_minute(5) for _ in range(5)] == [[], [], [], [], [R]]
    assert await simulation.pass_minute(15) == [N]
    assert await simulation.pass_minute(15, at=200) == []


async def test_a_clock_that_goes_back_fires_nothing_and_goes_on(connection: Connection) -> None:
    simulation = Simulation(connection, Terms(TWO, wait=3))
    await simulation.add(rule_of(simulation.terms))
    assert await simulation.pass_minute(15, at=100) == []

    assert await simulation.pass_minute(15, at=40) == []
    assert [await simulation.pass_minute(15) for _ in range(3)] == [[], [], [N]]


async def test_an_instance_resolved_by_a_person_must_breach_the_limit_again(
    connection: Connection,
) -> None:
    simulation = Simulation(connection, Terms(TWO, wait=1))
    await simulation.add(rule_of(simulation.terms))
    assert [await simulation.pass_minute(15) for _ in range(2)] == [[], [N]]
    [alert] = await simulation.active()
    assert await alerts.resolve(connection, alert.id, minute(2), "ana")

    assert [await simulation.pass_minute(15) for _ in range(2)] == [[], [N]]


async def test_a_resolved_alert_is_opened_again_unless_another_took_its_place(
    connection: Connection,
) -> None:
    simulation = Simulation(connection)
    await simulation.add(rule_of(simulation.terms))
    await simulation.pass_minute(15)
    [first] = await simulation.active()
    assert not await alerts.reopen(connection, first.id, minute(1), "ana")
    assert await alerts.resolve(connection, first.id, minute(1), "ana")
    assert await alerts.reopen(connection, first.id, minute(1), "ana")

    assert await simulation.pass_minute(15) == []
    assert [a.id for a in await simulation.active()] == [first.id]
    assert await simulation.pass_minute(5) == [R]
    assert await simulation.pass_minute(15) == [N]
    assert not await alerts.reopen(connection, first.id, minute(4), "ana")


async def test_a_rule_that_looks_no_more_resolves_its_alerts(connection: Connection) -> None:
    simulation = Simulation(connection, Terms(TWO, keep=60))
    rule = rule_of(simulation.terms)
    await simulation.add(rule)
    assert await simulation.pass_minute(15, 25) == [N, N]

    await store.update(connection, replace_rule(rule, component="thing-01"), minute(1), "ana")
    assert await simulation.pass_minute(15, 25) == [R]
    await store.update(connection, replace_rule(rule, enabled=False), minute(1), "ana")
    assert await simulation.pass_minute(15, 25) == [R]
    cursor = await connection.execute("SELECT comment FROM system_alert_events ORDER BY id")
    said = [row[0] for row in await cursor.fetchall()]
    assert said == ["", "", *["the rule no longer looks at it"] * 2]
    cursor = await connection.execute("SELECT count(*) FROM alert_states")
    assert await cursor.fetchone() == (0,)


async def test_a_quiet_minute_writes_nothing(connection: Connection) -> None:
    simulation = Simulation(
        connection, Terms(TWO, keep=5, escalate=60, no_data="alert", flap_count=3)
    )
    await simulation.add(rule_of(simulation.terms))
    for values in ((15, 15, 5, None), (15, 5, 5, None)):
        await simulation.pass_minute(*values)
    versions = "SELECT component, xmin::text FROM alert_states ORDER BY component"
    before = await (await connection.execute(versions)).fetchall()

    await simulation.pass_minute(16, 4, 6, None)

    assert await (await connection.execute(versions)).fetchall() == before
    assert [component for component, _ in before] == ["thing-00", "thing-01", "thing-02"]


async def test_only_the_newest_alert_about_a_instance_is_opened_again(
    connection: Connection,
) -> None:
    simulation = Simulation(connection)
    await simulation.add(rule_of(simulation.terms))
    for value in (15, 5, 15, 5):
        await simulation.pass_minute(value)

    assert not await alerts.reopen(connection, 1, minute(4), "ana")
    assert await alerts.reopen(connection, 2, minute(4), "ana")


async def test_a_rule_that_fails_is_a_reason_for_all_that_it_looked_at(
    connection: Connection,
) -> None:
    simulation = Simulation(connection, Terms(TWO, on_error="alert", no_data_rank=3))
    await simulation.add(rule_of(simulation.terms))
    assert await simulation.pass_minute(5, 15) == [N]

    await quarantine.fail(connection, [1], "it is too much", minute(1))

    assert await simulation.pass_minute(5, 15, 25) == [N, E]
    assert [(a.component, a.level, a.message) for a in await simulation.active()] == [
        ("thing-00", Level.CRITICAL, "load: the rule cannot be evaluated"),
        ("thing-01", Level.CRITICAL, "load: the rule cannot be evaluated"),
    ]


async def test_the_state_of_a_series_that_its_rule_no_longer_covers_is_deleted(
    connection: Connection,
) -> None:
    """Its openings, so that it does not flap, and that there was data."""
    terms = Terms(TWO, flap_count=2, no_data="alert")
    simulation = Simulation(connection, terms)
    await simulation.add(rule_of(terms))
    assert [await simulation.pass_minute(value) for value in (15, 5)] == [[N], [R]]
    for enabled in (False, True):
        row = rule_of(replace(terms, enabled=enabled))
        await store.update(connection, row, minute(simulation.now), "ana")
        assert await simulation.pass_minute(None) == []

    assert await simulation.pass_minute(15) == [N]
    [alert] = await simulation.active()
    assert not alert.is_flapping
