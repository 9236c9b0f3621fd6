"""The content of a preview: alerts, messages, what it could not see, and what it refuses."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from alerts.preview import preview
from alerts.rules.model import Rule, columns, of_columns
from alerts.suppression import silences
from alerts.suppression.suppress import Matcher
from db.queries import Connection, Pool
from model.errors import InvalidError
from model.series import Category, Series
from model.severity import Level
from tests.alerts.reference_model import Terms
from tests.alerts.simulation import START, Simulation, instance, minute, rule_of, rule_with

INSTANCES = 5


@pytest.fixture
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    async with pool.connection() as opened:
        yield opened


async def test_a_preview_is_summed_up(connection: Connection, pool: Pool) -> None:
    simulation = Simulation(connection, Terms({2: 10.0, 3: 20.0}))
    for value in (5, 12, 25, 18, 5, 11, 30):
        await simulation.pass_minute(value)

    previewed = await preview.run(
        pool.connection, rule_of(simulation.terms), {}, minute(0), minute(7)
    )

    assert [(a.opened_at, a.resolved_at, a.level, a.peak) for a in previewed.alerts] == [
        (minute(2), minute(5), Level.CRITICAL, 25.0),
        (minute(6), None, Level.CRITICAL, 30.0),
    ]
    assert (previewed.firing_s, previewed.messages, previewed.present) == (240.0, 6, None)
    assert await simulation.active() == []


async def test_a_draft_is_compared_with_the_rule_it_would_replace(
    connection: Connection, pool: Pool
) -> None:
    simulation = Simulation(connection, Terms({2: 10.0}))
    await simulation.add(rule_of(simulation.terms))
    for value in (5, 12, 5, 16):
        await simulation.pass_minute(value)
    draft = of_columns({**columns(rule_of(simulation.terms)), "levels": {"warning": 15}})

    previewed = await preview.run(pool.connection, draft, {}, minute(1), minute(4))

    assert previewed.present is not None
    assert (previewed.messages, previewed.present.messages) == (1, 3)


async def test_a_range_is_bounded(pool: Pool) -> None:
    rule = rule_with({})
    for end in (minute(-1), minute(0) + timedelta(days=32)):
        with pytest.raises(InvalidError):
            await preview.run(pool.connection, rule, {}, minute(0), end)


@pytest.mark.parametrize(
    ("fields", "kept_from"),
    [
        ({}, minute(600 + 1)),
        ({"window": "5m"}, minute(600 + 5)),
        ({"kind": "change", "offset": "30m", "window": "5m"}, minute(600 + 35)),
        (
            {"kind": "burn", "objective": 99.0, "window": "1h", "short_window": "5m"},
            minute(600 + 60),
        ),
        ({"window": "90s"}, minute(60) + timedelta(seconds=90)),
        ({"agg": "rate", "window": "5m"}, minute(60 + 5)),
        ({"agg": "p99"}, minute(90 + 1)),
        ({"metric": "short"}, minute(2880 + 1)),
        ({"kind": "ratio", "over": "short", "window": "10m"}, minute(2880 + 10)),
        ({"metric": "long"}, minute(600 + 1)),
    ],
)
async def test_a_preview_says_from_when_on_all_is_kept_that_the_rule_looks_at(
    connection: Connection, pool: Pool, fields: dict[str, Any], kept_from: datetime
) -> None:
    now, ages = minute(3 * 1440), {"short": {"keep_days": 1}, "long": {"keep_days": 300}}
    for tier, number in (("1m", 600), ("raw", 60), ("distributions", 90)):
        await connection.execute(
            "UPDATE tiers SET dropped_to = %s WHERE name = %s", [minute(number), tier]
        )
    await connection.execute(
        "INSERT INTO monitoring_config (key, value, updated_at, updated_by)"
        " VALUES ('retention', %s, now(), 'ana')",
        [Jsonb({"metrics": ages})],
    )
    rule = rule_with(fields)

    previewed = await preview.run(pool.connection, rule, {}, minute(0), minute(1), now=now)
    later = await preview.run(pool.connection, rule, {}, minute(2950), minute(2951), now=now)

    assert (previewed.partial_from, later.partial_from) == (kept_from, None)


async def test_the_outcome_is_complete_if_nothing_was_dropped(pool: Pool) -> None:
    previewed = await preview.run(pool.connection, rule_with({}), {}, minute(0), minute(1))

    assert previewed.partial_from is None


async def test_a_category_that_the_series_gives_is_matched(
    connection: Connection, pool: Pool
) -> None:
    simulation, shop = (
        Simulation(connection),
        Series(metric="load", component="a", category=Category.TRADING),
    )
    simulation.now = 1
    await simulation.measure({shop: [20.0]})
    terms = silences.Terms(Matcher(category=Category.TRADING), minute(0), minute(9), "so")
    await silences.insert(connection, terms, START, "ana")

    previewed = await preview.run(pool.connection, rule_with({}), {}, minute(1), minute(2))
    other = rule_with({"category": "database"})
    raised = await preview.run(pool.connection, other, {}, minute(1), minute(2))

    assert [(t.messages, t.suppressed) for t in (previewed, raised)] == [(0, 1), (1, 0)]


async def test_a_rule_that_is_off_does_nothing_and_a_draft_of_it_is_tried(
    connection: Connection, pool: Pool
) -> None:
    simulation, rule = Simulation(connection), rule_with({"enabled": False})
    await simulation.add(rule)
    await simulation.pass_minute(20.0)

    previewed = await preview.run(pool.connection, rule, {}, minute(1), minute(1))

    assert len(previewed.alerts) == 1
    assert previewed.present == preview.Present()


async def test_a_composite_is_tried_on_rules_that_are_there_and_on(
    connection: Connection, pool: Pool
) -> None:
    simulation = Simulation(connection)
    both = Rule(name="both", kind="composite", all_of=("load",), none_of=("off",))
    await simulation.add(rule_with({}), rule_with({"name": "off", "enabled": False}), both)
    await simulation.pass_minute(20.0)

    assert len((await preview.run(pool.connection, both, {}, minute(1), minute(1))).alerts) == 1
    for strays in (("gone",), ("both",), ("load", "gone", "both")):
        draft = Rule(name="draft", kind="composite", any_of=strays)
        with pytest.raises(InvalidError, match=r"it references (both, )?(both|gone)$"):
            await preview.run(pool.connection, draft, {}, minute(1), minute(1))
    itself = Rule(name="load", kind="composite", any_of=("load",))
    with pytest.raises(InvalidError, match=r"it references load$"):
        await preview.run(pool.connection, itself, {}, minute(1), minute(1))


async def test_arithmetic_that_fails_is_told_with_its_time_and_hides_no_better_draft(
    connection: Connection, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview, "CELLS_MAX", 10)
    simulation, bad = Simulation(connection), rule_with({"kind": "ratio", "over": "tiny"})
    simulation.now = 15
    await simulation.add(bad)
    await simulation.measure({instance(): [1e140], instance(metric="tiny"): [1.0]})
    await connection.execute("UPDATE system_metrics SET value = 1e-300 WHERE value = 1")

    events = (
        "'load' cannot be evaluated between 2026-01-01 00:11 and 2026-01-01 00:20 UTC: value out"
    )
    with pytest.raises(InvalidError, match=events):
        await preview.run(pool.connection, bad, {}, minute(1), minute(30))
    previewed = await preview.run(pool.connection, rule_with({}), {}, minute(1), minute(30))

    assert len(previewed.alerts) == 1
    assert previewed.present is not None
    assert "cannot be evaluated between" in str(previewed.present.error)


@pytest.mark.parametrize(("kind", "pieces"), [("threshold", 10), ("composite", 10 + 10)])
async def test_pieces_are_as_short_as_many_instances_want_and_tell_how_far_it_is(
    connection: Connection, pool: Pool, monkeypatch: pytest.MonkeyPatch, kind: str, pieces: int
) -> None:
    monkeypatch.setattr(preview, "CELLS_MAX", 3 * INSTANCES)
    simulation, draft = Simulation(connection), rule_with({"name": "draft"})
    await simulation.add(rule_with({}))
    await simulation.pass_minute(*[20.0] * INSTANCES)
    if kind == "composite":
        draft = Rule(name="draft", kind="composite", any_of=("load",), by_component=True)
    parts: list[float] = []

    previewed = await preview.run(
        pool.connection, draft, {}, minute(1), minute(30), advance=parts.append
    )

    assert len(previewed.alerts) == INSTANCES
    assert len(parts) == pieces
    assert sum(parts) == pytest.approx(1)
