"""The life of an alert, as a table of stories and against plain Python; time is an argument."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db import alerts, rules
from db.queries import Connection, Pool
from tests.alerts import oracle
from tests.alerts.oracle import Terms, Thing
from tests.alerts.world import LEVELS, World, minute, rule_of, thing
from tests.conftest import RESET

N, E, L, R, X = "opened", "escalated", "lowered", "resolved", ""
TWO = {2: 10.0, 3: 20.0}

STORIES = {
    # what it shows: the rule, then each minute's value with what is said
    "without for it fires at once": (Terms(TWO), [(5, X), (15, N), (15, X), (5, R)]),
    "limits are exclusive": (Terms(TWO), [(10, X), (10.5, N), (20, X), (20.5, E)]),
    "pending becomes ok when it is calm again": (
        Terms(TWO, wait=2), [(15, X), (5, X), (15, X), (15, X), (15, N)],
    ),
    "a louder level needs no waiting of its own": (
        Terms(TWO, wait=1), [(15, X), (25, N), (15, L), (25, E)],
    ),
    "recovery lies below the limit": (
        Terms(TWO, recovery={2: 6.0, 3: 15.0}),
        [(15, N), (8, X), (25, E), (16, X), (14, L), (7, X), (6, R), (8, X)],
    ),
    "a level is left to the loudest that is not": (
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
    world = World(connection, terms)
    await world.add(rule_of(terms))

    told = []
    for value, _ in minutes:
        said = await world.turn(value)
        told.append((value, said[0] if said else X))

    assert told == minutes


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
    connection: Connection, case: str
) -> None:
    before, at, values, since = RESTORES[case]
    world = World(connection, Terms(TWO, tolerance=30, grace=10))
    below = rule_of(Terms({3: 100.0}, wait=25))
    await world.add(replace_rule(below, op="<"))
    for time, some in before.items():
        # The tests of Prometheus look every five minutes: what lies between is no outage there.
        await connection.execute("UPDATE alert_clock SET evaluated_at = %s", [minute(time - 1)])
        await world.turn(*some, at=time)

    await world.turn(*values, at=at)

    assert await pending(connection) == {name: minute(then) for name, then in since.items()}


def replace_rule(rule: rules.Rule, **changes: object) -> rules.Rule:
    return rules.of_columns({**rules.columns(rule), **changes})


async def pending(connection: Connection) -> dict[str, object]:
    cursor = await connection.execute(
        "SELECT component, since FROM alert_states WHERE phase = 'pending'"
    )
    return dict(await cursor.fetchall())


async def test_what_fires_is_not_resolved_by_an_outage(connection: Connection) -> None:
    world = World(connection, Terms(TWO, keep=5))
    await world.add(rule_of(world.terms))
    assert await world.turn(15) == [N]
    assert await world.turn(5) == []

    assert await world.turn(5, at=30) == []
    assert [await world.turn(5) for _ in range(5)] == [[], [], [], [], [R]]
    assert await world.turn(15) == [N]
    assert await world.turn(15, at=200) == []


async def test_a_clock_that_goes_back_fires_nothing_and_goes_on(connection: Connection) -> None:
    world = World(connection, Terms(TWO, wait=3))
    await world.add(rule_of(world.terms))
    assert await world.turn(15, at=100) == []

    assert await world.turn(15, at=40) == []
    assert [await world.turn(15) for _ in range(3)] == [[], [], [N]]


async def test_what_a_person_resolves_has_to_break_the_limit_anew(connection: Connection) -> None:
    world = World(connection, Terms(TWO, wait=1))
    await world.add(rule_of(world.terms))
    assert [await world.turn(15) for _ in range(2)] == [[], [N]]
    [alert] = await world.active()
    assert await alerts.resolve(connection, alert.id, minute(2), "ana")

    assert [await world.turn(15) for _ in range(2)] == [[], [N]]


async def test_a_resolved_alert_is_opened_again_unless_another_took_its_place(
    connection: Connection,
) -> None:
    world = World(connection)
    await world.add(rule_of(world.terms))
    await world.turn(15)
    [first] = await world.active()
    assert not await alerts.reopen(connection, first.id, minute(1), "ana")
    assert await alerts.resolve(connection, first.id, minute(1), "ana")
    assert await alerts.reopen(connection, first.id, minute(1), "ana")

    assert await world.turn(15) == []
    assert [a.id for a in await world.active()] == [first.id]
    assert await world.turn(5) == [R]
    assert await world.turn(15) == [N]
    assert not await alerts.reopen(connection, first.id, minute(4), "ana")


async def test_a_rule_that_looks_no_more_lets_go_of_its_alerts(connection: Connection) -> None:
    world = World(connection, Terms(TWO, keep=60))
    rule = rule_of(world.terms)
    await world.add(rule)
    assert await world.turn(15, 25) == [N, N]

    await rules.update(connection, replace_rule(rule, component="thing-01"), minute(1), "ana")
    assert await world.turn(15, 25) == [R]
    await rules.update(connection, replace_rule(rule, enabled=False), minute(1), "ana")
    assert await world.turn(15, 25) == [R]
    cursor = await connection.execute("SELECT comment FROM system_alert_events ORDER BY id")
    said = [row[0] for row in await cursor.fetchall()]
    assert said == ["", "", *["the rule no longer looks at it"] * 2]
    cursor = await connection.execute("SELECT count(*) FROM alert_states")
    assert await cursor.fetchone() == (0,)


async def test_a_quiet_minute_writes_nothing(connection: Connection) -> None:
    world = World(connection, Terms(TWO, keep=5, escalate=60, no_data="alert", flap_count=3))
    await world.add(rule_of(world.terms))
    for values in ((15, 15, 5, None), (15, 5, 5, None)):
        await world.turn(*values)
    versions = "SELECT component, xmin::text FROM alert_states ORDER BY component"
    before = await (await connection.execute(versions)).fetchall()

    await world.turn(16, 4, 6, None)

    assert await (await connection.execute(versions)).fetchall() == before
    assert [component for component, _ in before] == ["thing-00", "thing-01", "thing-02"]


THINGS = 12
VALUE = st.none() | st.sampled_from([4.0, 7.0, 9.0, 12.0, 16.0, 22.0, 35.0])
TERMS = st.builds(
    Terms,
    limits=st.sampled_from([TWO, {1: 5.0, 3: 20.0, 4: 30.0}, {4: 10.0}]),
    wait=st.sampled_from([0, 1, 2, 5]),
    keep=st.sampled_from([0, 1, 3]),
    no_data=st.sampled_from(["keep", "ok", "alert"]),
    no_data_rank=st.sampled_from([1, 2, 4]),
    escalate=st.sampled_from([None, 1, 3]),
    flap_count=st.sampled_from([0, 1, 2, 3]),
    flap_window=st.sampled_from([2, 4, 8]),
    tolerance=st.just(9),
    grace=st.sampled_from([1, 2, 4]),
).flatmap(
    lambda terms: st.sampled_from([1.0, 0.75]).map(
        lambda share: replace(
            terms,
            recovery={r: share * limit for r, limit in terms.limits.items() if share < 1},
        )
    )
)


@dataclass(frozen=True)
class Minute:
    """How long after the one before, what is measured, and what people then do to which alerts."""

    later: int
    values: tuple[float | None, ...]
    acts: dict[int, str]


MINUTES = st.lists(
    st.builds(
        Minute,
        later=st.sampled_from([1] * 8 + [2, 3, 6, 15]),
        values=st.tuples(*[VALUE] * THINGS),
        acts=st.dictionaries(
            st.integers(0, THINGS - 1), st.sampled_from(["acknowledge", "resolve"]), max_size=4
        ),
    ),
    min_size=1,
    max_size=14,
)


async def act(world: World, things: list[Thing], acts: dict[int, str]) -> None:
    """Let people do what they do, here and in the oracle."""
    ids = {alert.component: alert.id for alert in await world.active()}
    for number, what in acts.items():
        alert_id = ids.get(thing(number).component)
        assert (alert_id is not None) == (things[number].phase == "firing")
        if alert_id is not None and what == "resolve":
            await alerts.resolve(world.connection, alert_id, minute(world.now), "ana")
            old = things[number]
            things[number] = Thing(seen=old.seen, opens=old.opens)
        elif alert_id is not None:
            await alerts.acknowledge(world.connection, alert_id, minute(world.now), "ana")
            things[number] = replace(things[number], acknowledged=True)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(terms=TERMS, minutes=MINUTES)
async def test_any_life_is_told_as_plain_python_tells_it(
    connection: Connection, terms: Terms, minutes: list[Minute]
) -> None:
    await connection.execute(RESET)
    world = World(connection, terms)
    await world.add(rule_of(terms))
    things, last_at = [Thing()] * THINGS, None
    for passing in minutes:
        at = world.now + passing.later
        expected = []
        for number, value in enumerate(passing.values):
            things[number], said = oracle.step(things[number], terms, value, at, last_at)
            expected += [(thing(number).component, said)] if said else []
        world.now, last_at = at, at
        await world.measure({thing(i): [v] for i, v in enumerate(passing.values) if v is not None})
        assert await world.look() == expected, at
        levels = {alert.component: alert.level for alert in await world.active()}
        assert levels == {
            thing(i).component: LEVELS[t.rank] for i, t in enumerate(things) if t.phase == "firing"
        }
        await act(world, things, passing.acts)
