"""What is said of how alerts went equals what plain Python makes of the same alerts."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from db import analytics
from db.queries import Pool

START, DAYS = datetime(2026, 3, 16, tzinfo=UTC), 28
NOW = START + timedelta(days=DAYS + 1)
TZ = "Europe/Berlin"
LEVELS = ("info", "warning", "critical", "emergency")


def made(count: int) -> list[dict[str, Any]]:
    """Return alerts of four weeks, with a change of daylight saving among them."""
    chance = np.random.default_rng(1)
    found = []
    for _ in range(count):
        opened = START + timedelta(minutes=int(chance.integers(DAYS * 1440)))
        taken = opened + timedelta(seconds=int(chance.integers(900)))
        over = opened + timedelta(minutes=int(chance.integers(1, 90)))
        found.append(
            {
                "rule": f"r{chance.integers(3)}", "component": f"c{chance.integers(2)}",
                "level": LEVELS[chance.integers(4)], "category": "system", "opened": opened,
                "taken": taken if chance.random() < 0.5 else None,
                "over": over if chance.random() < 0.9 else None,
                "by": "auto" if chance.random() < 0.7 else "ana",
                "flaps": bool(chance.random() < 0.1),
            }
        )  # fmt: skip
    return found


def week(alert: dict[str, Any]) -> str:
    local = alert["opened"].astimezone(ZoneInfo(TZ)).date()
    return str(local - timedelta(days=local.weekday()))


def returns(alert: dict[str, Any], everything: list[dict[str, Any]]) -> bool:
    hour = timedelta(hours=1)
    return any(
        other is not alert and other["over"] is not None
        and (other["rule"], other["component"]) == (alert["rule"], alert["component"])
        and alert["opened"] - hour < other["over"] <= alert["opened"]
        for other in everything
    )  # fmt: skip


def spread(values: list[float]) -> list[float | None]:
    if not values:
        return [None, None, None]
    return [float(np.mean(values)), *map(float, np.percentile(values, [50, 90]))]


def expected(group: str, some: list[dict[str, Any]], everything: list[dict[str, Any]]) -> Any:
    taken = [(a["taken"] - a["opened"]).total_seconds() for a in some if a["taken"]]
    over = [(a["over"] - a["opened"]).total_seconds() for a in some if a["over"]]
    return [
        group, len(some), 2 * len(some), len(some) - len(over),
        sum(((a["over"] or NOW) - a["opened"]).total_seconds() for a in some),
        len(taken), *spread(taken), len(over),
        sum(a["by"] == "auto" for a in some if a["over"]), *spread(over),
        sum(a["flaps"] or returns(a, everything) for a in some) / len(some),
    ]  # fmt: skip


async def store(pool: Pool, some: list[dict[str, Any]]) -> None:
    async with pool.connection() as connection, connection.cursor() as cursor:
        for alert in some:
            await cursor.execute(
                "WITH a AS (INSERT INTO system_alerts (rule, component, level, category, title,"
                " message, opened_at, acknowledged_at, acknowledged_by, resolved_at, resolved_by,"
                " is_flapping, state) VALUES (%(rule)s, %(component)s, %(level)s, %(category)s,"
                " 't', 'm', %(opened)s, %(taken)s::timestamptz, 'ana', %(over)s::timestamptz,"
                " CASE WHEN %(over)s::timestamptz IS NOT NULL THEN %(by)s END, %(flaps)s,"
                " CASE WHEN %(over)s::timestamptz IS NULL THEN 'firing' ELSE 'resolved' END)"
                " RETURNING id)"
                " INSERT INTO system_alert_events (alert_id, time, type, level, actor)"
                " SELECT id, now(), 'commented', 'info', 'ana' FROM a, generate_series(1, 2)",
                alert,
            )


@pytest.mark.parametrize("by", ["rule", "level", "category", "component", "week"])
async def test_alerts_are_summed_up_as_plain_python_does(pool: Pool, by: Any) -> None:
    some = made(150)
    await store(pool, some)
    key: Callable[[dict[str, Any]], str] = week if by == "week" else lambda alert: str(alert[by])
    groups = groupby(sorted(some, key=key), key=key)
    wanted = {name: expected(name, list(group), some) for name, group in groups}

    async with pool.connection() as connection:
        found = await analytics.summarize(connection, by, START, NOW, NOW, TZ)

    assert [one.alerts for one in found] == sorted((one.alerts for one in found), reverse=True)
    assert {one.group for one in found} == set(wanted)
    for one in found:
        values = [getattr(one, name) for name in one.__struct_fields__]
        assert values == pytest.approx(wanted[one.group])
