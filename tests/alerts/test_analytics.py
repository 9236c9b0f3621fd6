"""Alert statistics equal those that plain Python computes from the same alerts."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any, get_args
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from psycopg.types.json import Jsonb

from alerts import analytics
from alerts.analytics import By
from db.queries import Connection, Pool

FIRST, DAYS = datetime(2026, 3, 16, tzinfo=UTC), 28
NOW = FIRST + timedelta(days=DAYS)
START, END = FIRST + timedelta(days=5), FIRST + timedelta(days=24)
"""Some alerts lie before or behind; what opened before fires on, and what opened within does so."""
TZ = "Europe/Berlin"
LEVELS = ("info", "warning", "critical", "emergency")
HOUR = timedelta(hours=1)
OPENED = """
    INSERT INTO system_alerts (rule, component, labels, level, category, title, message, opened_at,
                               is_flapping)
    VALUES (%(rule)s, %(component)s, %(labels)s, %(level)s, %(category)s, 't', 'm', %(opened)s,
            %(flaps)s)
    RETURNING id
"""
RESOLVED = """
    UPDATE system_alerts SET state = 'resolved', resolved_at = %s, resolved_by = %s WHERE id = %s
"""
REOPENED = """
    UPDATE system_alerts SET state = 'firing', resolved_at = NULL, resolved_by = NULL WHERE id = %s
"""
STORM = """
    WITH storm AS (
        INSERT INTO system_alerts (rule, component, level, category, title, message, opened_at,
                                   state, resolved_at, resolved_by)
        SELECT 'r', 'c', 'warning', 'system', 't', 'm', t.at, 'resolved', t.at, 'auto'
        FROM (SELECT %s::timestamptz + n * interval '1 minute' FROM generate_series(1, %s) n) t (at)
        RETURNING id, opened_at
    )
    INSERT INTO system_alert_events (alert_id, time, type, level, actor)
    SELECT id, opened_at, type, 'warning', 'auto'
    FROM storm CROSS JOIN (VALUES ('opened'), ('resolved')) t (type)
    ORDER BY id, type
"""
TOLD = """
    INSERT INTO system_alert_events (alert_id, time, type, level, actor) VALUES (%s, %s, %s, %s, %s)
"""


def made(count: int) -> list[dict[str, Any]]:
    """Return alerts of four weeks, with a change of daylight saving among them."""
    chance = np.random.default_rng(1)
    found: list[dict[str, Any]] = []
    for _ in range(count):
        opened = FIRST + timedelta(minutes=int(chance.integers(DAYS * 1440)))
        taken = opened + timedelta(seconds=int(chance.integers(900)))
        transitions = [(opened, "opened", "auto" if chance.random() < 0.95 else "ana")]
        if chance.random() < 0.5:
            transitions.append((taken, "acknowledged", "ben"))
        end = opened
        for _ in range(chance.integers(1, 3)):
            end += timedelta(minutes=int(chance.integers(16, 90)))
            transitions += [(end, "resolved", "auto" if chance.random() < 0.7 else "ana")]
            end += timedelta(minutes=5)
            transitions += [(end, "reopened", "ana"), (end, "acknowledged", "ana")]
        transitions = transitions[: -2 if chance.random() < 0.9 else None]
        found.append(
            {
                "rule": f"r{chance.integers(3)}", "component": f"c{chance.integers(2)}",
                "labels": {"host": f"h{chance.integers(2)}"},
                "level": LEVELS[chance.integers(4)], "category": "system", "opened": opened,
                "transitions": transitions, "flaps": bool(chance.random() < 0.1),
            }
        )  # fmt: skip
    return found


def week(alert: dict[str, Any]) -> str:
    local = alert["opened"].astimezone(ZoneInfo(TZ)).date()
    return str(local - timedelta(days=local.weekday()))


def times(alert: dict[str, Any], *kinds: str) -> list[datetime]:
    return [time for time, kind, _ in alert["transitions"] if kind in kinds]


def is_over(alert: dict[str, Any]) -> bool:
    return bool(alert["transitions"][-1][1] == "resolved")


def returns(alert: dict[str, Any], everything: list[dict[str, Any]]) -> bool:
    instance = ("rule", "component", "labels")
    return any(
        alert["opened"] - HOUR < time <= alert["opened"]
        for other in everything
        if other is not alert and all(other[name] == alert[name] for name in instance)
        for time in times(other, "resolved")
    )


def firing_s(alert: dict[str, Any]) -> float:
    begins, ends = times(alert, "opened", "reopened"), [*times(alert, "resolved"), NOW]
    spans = zip(begins, ends, strict=False)
    return sum(
        max(0.0, (min(end, END) - max(begin, START)).total_seconds()) for begin, end in spans
    )


def spread(values: list[float]) -> list[float | None]:
    if not values:
        return [None, None, None]
    return [float(np.mean(values)), *map(float, np.percentile(values, [50, 90]))]


def expected(group: str, some: list[dict[str, Any]], everything: list[dict[str, Any]]) -> Any:
    over = [a for a in some if is_over(a)]
    taken_s = [
        (found[0] - a["opened"]).total_seconds()
        for a in some
        if (found := times(a, "acknowledged"))
    ]
    over_s = [(a["transitions"][-1][0] - a["opened"]).total_seconds() for a in over]
    return [
        group, len(some), sum(len(a["transitions"]) for a in some), len(some) - len(over),
        sum(map(firing_s, some)), len(taken_s), *spread(taken_s), len(over),
        sum(a["transitions"][-1][2] == "auto" for a in over), *spread(over_s),
        sum(a["flaps"] or returns(a, everything) for a in some) / len(some),
    ]  # fmt: skip


async def store(connection: Connection, some: list[dict[str, Any]]) -> None:
    """Write what happened in its order, as the service does."""
    transitions = [
        (*transition, number)
        for number, alert in enumerate(some)
        for transition in alert["transitions"]
    ]
    ids: dict[int, int] = {}
    async with connection.transaction():
        for time, kind, actor, number in sorted(transitions, key=lambda transition: transition[0]):
            alert = some[number]
            if kind == "opened":
                cursor = await connection.execute(
                    OPENED, {**alert, "labels": Jsonb(alert["labels"])}
                )
                [ids[number]] = await cursor.fetchone() or [0]
            elif kind == "resolved":
                await connection.execute(RESOLVED, [time, actor, ids[number]])
            elif kind == "reopened":
                await connection.execute(REOPENED, [ids[number]])
            await connection.execute(TOLD, [ids[number], time, kind, alert["level"], actor])


async def test_alerts_are_summed_up_as_plain_python_does(pool: Pool) -> None:
    everything = made(300)
    some = [
        alert
        for alert in everything
        if START <= alert["opened"] < END and alert["transitions"][0][2] == "auto"
    ]
    async with pool.connection() as connection:
        await store(connection, everything)
        for by in get_args(By):
            key: Callable[[dict[str, Any]], str] = week if by == "week" else itemgetter(by)
            groups = groupby(sorted(some, key=key), key=key)
            wanted = {name: expected(name, list(group), everything) for name, group in groups}
            found = await analytics.summarize(connection, by, START, END, NOW, TZ)
            counts = [one.alerts for one in found]
            assert counts == sorted(counts, reverse=True)
            assert {one.group for one in found} == set(wanted)
            for one in found:
                values = [getattr(one, name) for name in one.__struct_fields__]
                assert values == pytest.approx(wanted[one.group])


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from nodes(inner)


async def test_ten_thousand_alerts_of_one_instance_are_passed_over_once(pool: Pool) -> None:
    """However many there are, each node of the plan handles each row of the audit a few times."""
    count, per_alert = 10_000, 2
    given = {"by": "rule", "start": FIRST, "end": NOW, "now": NOW, "tz": TZ, "limit": 1000}
    async with pool.connection() as connection:
        await connection.execute(STORM, [FIRST, count])
        explain = b"EXPLAIN (ANALYZE, FORMAT JSON) " + analytics.SUMMARIZE
        [[found]] = await (await connection.execute(explain, given)).fetchall()
        [only] = await analytics.summarize(connection, "rule", FIRST, NOW, NOW, TZ)

    rows = sum(
        node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
        for node in nodes(found[0]["Plan"])
    )
    assert rows < 20 * count * per_alert
    assert (only.alerts, only.transitions) == (count, count * per_alert)
    assert only.flapping_index == pytest.approx(1, abs=1e-3)
