"""The queries of the documentation run as a reader runs them, and their answers are right."""

import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import psycopg
import pytest

from db.engine import Engine
from db.queries import Pool
from model.series import Kind
from tests.docs import sample_weeks as weeks
from tests.docs.asked import DAY, HOUR, WEEK, Asked, Row, floor
from tests.docs.sample_weeks import SLOT_S, WATCHED, Values, bucketed

ROOT = Path(__file__).parent.parent.parent
REFERENCE = (ROOT / "docs" / "reference" / "sql.md").read_text(encoding="utf-8")
HOW_TO = (ROOT / "docs" / "how-to" / "query-with-sql.md").read_text(encoding="utf-8")
RESET = (ROOT / "tests" / "reset.sql").read_bytes()
BLOCK = re.compile(r"```sql\n(.*?)```(?:\n\n```text\n(.*?)\n)?", re.DOTALL)
BLOCKS = [(sql, answer.split()) for sql, answer in BLOCK.findall(REFERENCE + HOW_TO)]
QUESTIONS = {
    int(number): sql
    for number, sql in re.findall(
        r"^### (\d+)\. [^`]*```sql\n(.*?)```", HOW_TO, re.MULTILINE | re.DOTALL
    )
}


@pytest.fixture(scope="module")
async def asked(migrated_pool: Pool, engine: Engine) -> AsyncIterator[Asked]:
    data = weeks.make(datetime.now(UTC))
    async with migrated_pool.connection() as connection:
        await connection.execute(RESET)
    async with await psycopg.AsyncConnection.connect(
        engine.dsn, autocommit=True, prepare_threshold=None
    ) as connection:
        await weeks.store(connection, data)
        yield Asked(data, connection)


async def answer(asked: Asked, number: int) -> list[Row]:
    return (await asked.ask(QUESTIONS[number]))[1]


def test_there_are_twenty_questions() -> None:
    assert list(QUESTIONS) == list(range(1, 21))


@pytest.mark.parametrize(("sql", "shown"), BLOCKS)
async def test_every_example_runs_and_answers_what_the_page_shows(
    asked: Asked, sql: str, shown: list[str]
) -> None:
    columns, rows = await asked.ask(sql)

    assert rows != []
    assert all(any(row[i] is not None for row in rows) for i in range(len(columns)))
    if shown:
        assert columns == " ".join(shown).split(" | ")


async def test_the_page_names_each_view_with_its_columns_and_each_function(asked: Asked) -> None:
    found: dict[str, list[str]] = defaultdict(list)
    cursor = await asked.connection.execute(
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
        "WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'v' AND a.attnum > 0 "
        "AND EXISTS (SELECT FROM aclexplode(relacl) WHERE grantee = 'vigia_reader'::regrole) "
        "ORDER BY c.relname, a.attnum"
    )
    for view, column in await cursor.fetchall():
        found[view].append(column)
    cursor = await asked.connection.execute(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace "
        "AND EXISTS (SELECT FROM aclexplode(proacl) WHERE grantee = 'vigia_reader'::regrole)"
    )

    said = {
        view: re.match(r"`([^`]*)`", row[3].strip())[1].split(", ")  # type: ignore[index]
        for line in REFERENCE.split("## Functions")[0].splitlines()
        if (row := line.split("|"))[0] == "" and len(row) == 5 and "`" in row[1]
        for view in re.findall(r"`(\w+)`", row[1])
    }
    assert said == found
    for (name,) in await cursor.fetchall():
        assert f"`{name}(" in REFERENCE, name


async def test_1_the_busiest_five_minutes_are_those_of_the_spike(asked: Asked) -> None:
    rows = await answer(asked, 1)
    cpu = {
        time: some
        for time, some in bucketed(asked.data.of("server_cpu_percent"), 300).items()
        if time > asked.now - timedelta(days=7)
    }
    worst = sorted(cpu, key=lambda time: -np.mean(cpu[time]))[:10]

    assert [row[0] for row in rows] == worst
    assert [float(row[1]) for row in rows] == pytest.approx(
        [np.mean(cpu[time]) for time in worst], abs=0.051
    )


async def test_2_the_one_gap_is_found(asked: Asked) -> None:
    times = [floor(time, 300) for time in asked.data.of("server_cpu_percent")]
    gaps = [
        (before + timedelta(minutes=5), time - before - timedelta(minutes=5))
        for before, time in pairwise(times)
        if time - before > timedelta(minutes=20)
    ]

    assert await answer(asked, 2) == gaps
    assert len(gaps) == 1


async def test_3_the_one_series_that_ended_is_found(asked: Asked) -> None:
    [row] = await answer(asked, 3)
    last = max(asked.data.of("external_latency_ms", "openai"))

    assert row[:3] == ("openai", "external_latency_ms", last)
    assert abs(row[3] - (asked.now - last)) < timedelta(minutes=1)


async def test_4_the_slope_of_a_disk_is_that_of_a_fitted_line(asked: Asked) -> None:
    rows = await answer(asked, 4)
    for mount, slope, newest, full in rows:
        hours = asked.hours(asked.data.of("server_disk_percent", mount=mount), 28)
        days = [time.timestamp() / DAY for time in hours]
        fitted = np.polyfit(np.array(days) - days[0], list(hours.values()), 1)[0]
        assert float(slope) == pytest.approx(fitted, abs=0.006)
        assert float(newest) == pytest.approx(list(hours.values())[-1], abs=0.051)
        left = timedelta(days=(90 - list(hours.values())[-1]) / fitted)
        assert full == (asked.now + left).date()
    assert [row[0] for row in rows] == ["/", "/data"]


async def test_5_hours_of_the_week_are_those_of_the_office(asked: Asked) -> None:
    hours: dict[str, list[float]] = defaultdict(list)
    for time, value in asked.data.of("server_cpu_percent").items():
        if floor(time, HOUR) > asked.now - timedelta(days=28):
            local = time.astimezone(ZoneInfo("America/Sao_Paulo"))
            hours[f"{local:%a %H:00}"].append(value)
    means = {hour: float(np.mean(some)) for hour, some in hours.items()}
    rows = await answer(asked, 5)

    assert [float(row[1]) for row in rows] == pytest.approx(
        sorted(means.values(), reverse=True)[:5], abs=0.051
    )
    assert all(float(mean) == pytest.approx(means[hour], abs=0.051) for hour, mean in rows)


def grown(values: list[float]) -> float:
    return sum(b if b < a else b - a for a, b in pairwise(values))


async def test_6_a_restart_takes_nothing_from_what_was_received(asked: Asked) -> None:
    values = asked.data.of("server_network_received_bytes_total")
    assert any(b < a for a, b in pairwise(values.values()))
    days = asked.whole(values, 7, DAY)
    list_of_all = list(values.items())
    expected = []
    for day in days:
        places = [i for i, (time, _) in enumerate(list_of_all) if floor(time, DAY) == day]
        first = max(0, places[0] - 1)
        expected.append(grown([value for _, value in list_of_all[first : places[-1] + 1]]) / 1e9)

    rows = await answer(asked, 6)
    assert [row[0] for row in rows] == [day.date() for day in days]
    assert [float(row[2]) for row in rows] == pytest.approx(expected, abs=0.0051)


async def test_7_the_share_of_two_counters_is_that_of_their_increases(asked: Asked) -> None:
    rows = await answer(asked, 7)

    assert 24 <= len(rows) <= 26
    assert all(94 < float(row[1]) < 100 for row in rows)


async def test_8_the_spike_is_unlike_the_weeks_before(asked: Asked) -> None:
    rows = await answer(asked, 8)
    cpu = asked.hours(asked.data.of("server_cpu_percent"), 29)
    for time, component, series, avg, usual, deviations in rows:
        if series == "server_cpu_percent":
            same = [cpu[t] for w in (1, 2, 3, 4) if (t := time - timedelta(days=7 * w)) in cpu]
            assert component == "server"
            assert float(avg) == pytest.approx(cpu[time], abs=0.051)
            assert float(usual) == pytest.approx(np.mean(same), abs=0.051)
            assert float(deviations) == pytest.approx(
                (cpu[time] - np.mean(same)) / np.std(same), rel=0.05
            )
    assert "server_cpu_percent" in {row[2] for row in rows}


async def test_9_the_change_of_a_week_is_that_of_its_mean(asked: Asked) -> None:
    rows = await answer(asked, 9)
    [row] = [row for row in rows if row[1] == 'server_disk_percent{mount="/"}']
    samples = asked.data.of("server_disk_percent", mount="/")
    middle, start = asked.now - timedelta(days=7), asked.now - timedelta(days=14)
    now = np.mean([v for t, v in samples.items() if floor(t, HOUR) >= middle])
    then = np.mean([v for t, v in samples.items() if start < floor(t, HOUR) < middle])

    assert [float(value) for value in row[2:]] == pytest.approx(
        [now, then, 100 * (now - then) / then], abs=0.051
    )
    gauges = [series for series in asked.data.samples if series.kind is Kind.GAUGE]
    assert len(rows) == len(gauges)


async def test_10_what_95_of_100_stay_below_is_exact(asked: Asked) -> None:
    rows = await answer(asked, 10)
    expected = [
        (time.date(), component, pytest.approx(np.quantile(some, 0.95), abs=0.51))
        for component in ("binance", "bybit")
        for time, some in asked.whole(
            asked.data.of("external_latency_ms", component), 28, WEEK
        ).items()
    ]

    assert [(row[0], row[1], float(row[2])) for row in rows] == expected


def together(asked: Asked, one: Values, other: Values) -> list[tuple[float, float]]:
    """Return the means of two series in each hour of four weeks in which both are."""
    first, second = (asked.whole(values, 28, HOUR) for values in (one, other))
    return [(float(np.mean(first[t])), float(np.mean(second[t]))) for t in first if t in second]


async def test_11_slow_hours_are_those_that_earn_less(asked: Asked) -> None:
    latency = asked.data.of("external_latency_ms", "binance")
    hours = together(asked, latency, asked.data.of("trading_pnl_24h"))
    rows = await answer(asked, 11)

    for (name, count, pnl, ms), is_slow in zip(rows, (True, False), strict=True):
        some = [pair for pair in hours if (pair[0] > 1000) == is_slow]
        assert (name, count) == ("slow" if is_slow else "usual", len(some))
        assert float(ms) == pytest.approx(np.mean([a for a, _ in some]), abs=0.51)
        assert float(pnl) == pytest.approx(np.mean([b for _, b in some]), abs=0.51)
    assert rows[0][2] < rows[1][2] - 4000


async def test_12_the_success_rate_is_that_of_its_band_of_latency(asked: Asked) -> None:
    latency = asked.data.of("external_latency_ms", "binance")
    bands: dict[int, list[float]] = defaultdict(list)
    for ms, success in together(asked, latency, asked.data.of("trading_success_percent")):
        bands[min(5, int(ms // 250)) * 250].append(success)

    assert [(int(row[0]), row[1], float(row[2])) for row in await answer(asked, 12)] == [
        (band, len(some), pytest.approx(np.mean(some), abs=0.051))
        for band, some in sorted(bands.items())
    ]


async def test_13_the_strongest_correlation_is_the_one_made_up(asked: Asked) -> None:
    rows = await answer(asked, 13)
    success = asked.hours(asked.data.of("trading_success_percent"), 28)
    for component, series, correlation, hours in rows:
        if "{" not in series:
            other = asked.hours(asked.data.of(series, component), 28)
            both = [(success[t], value) for t, value in other.items() if t in success]
            assert hours == len(both)
            assert float(correlation) == pytest.approx(
                np.corrcoef(np.array(both).T)[0, 1], abs=0.0051
            )
    assert rows[0][:2] == ("binance", "external_latency_ms")
    assert rows[0][2] < -0.9


async def test_14_percentiles_over_series_are_within_one_percent(asked: Asked) -> None:
    orders: dict[datetime, list[float]] = defaultdict(list)
    for exchange in ("binance", "bybit"):
        days = bucketed(asked.data.of("order_latency_ms", exchange=exchange), DAY)
        for day, some in days.items():
            orders[day] += some if day > asked.now - timedelta(days=7) else []
    rows = await answer(asked, 14)

    assert [(row[0], row[1]) for row in rows] == [
        (day.date(), len(some)) for day, some in orders.items() if some
    ]
    for (_, _, p50, p99), some in zip(rows, filter(None, orders.values()), strict=True):
        for answered, q in ((p50, 0.5), (p99, 0.99)):
            # One percent, and the answer is a whole number.
            true = np.quantile(some, q)
            assert abs(float(answered) - true) <= 0.01 * true + 0.5


async def test_15_the_share_of_slow_orders_is_right(asked: Asked) -> None:
    for exchange, count, percent in await answer(asked, 15):
        orders = asked.data.of("order_latency_ms", exchange=exchange)
        recent = [
            value
            for time, value in orders.items()
            if floor(time, HOUR) > asked.now - timedelta(days=28)
        ]
        assert count == len(recent)
        share = [100 * np.mean([v > 1000 * edge for v in recent]) for edge in (1.01, 0.99)]
        assert share[0] - 0.0051 <= float(percent) <= share[1] + 0.0051


def outages(asked: Asked, days: float) -> list[list[datetime]]:
    """Return the times of the checks of each outage, the newest first."""
    start = asked.now - timedelta(days=days)
    down = [c.time for c in asked.data.checks if c.status == "down" and c.time > start]
    found: list[list[datetime]] = []
    for time in down:
        if found and time - found[-1][-1] == timedelta(seconds=SLOT_S):
            found[-1].append(time)
        else:
            found.append([time])
    return found[::-1]


async def test_16_days_with_outages_come_first(asked: Asked) -> None:
    down = Counter(floor(time, DAY).date() for some in outages(asked, 30) for time in some)
    rows = await answer(asked, 16)

    found = {row[0]: float(row[3]) for row in rows[: len(down)]}
    assert found == {day: count * SLOT_S / 60 for day, count in down.items()}
    assert all(row[1] == "binance" for row in rows[: len(down)])


async def test_17_the_budget_is_gone_as_outages_took_it(asked: Asked) -> None:
    start = asked.now - timedelta(days=30)
    rows = await answer(asked, 17)

    assert {row[0] for row in rows} == set(WATCHED)
    for component, availability, down_min, gone in rows:
        some = [c for c in asked.data.checks if c.component == component and c.time >= start]
        seen = [c for c in some if c.status is not None]
        down = [c for c in seen if c.status == "down"]
        assert float(availability) == pytest.approx(100 - 100 * len(down) / len(seen), abs=5.1e-4)
        assert float(down_min) == len(down) * SLOT_S / 60
        assert float(gone) == pytest.approx(1e5 * len(down) / len(seen), abs=0.51)
    assert rows[0][0] == "binance"


async def test_18_checks_in_a_row_are_one_outage(asked: Asked) -> None:
    assert await answer(asked, 18) == [
        ("binance", some[0], timedelta(seconds=len(some) * SLOT_S), "ConnectionTimeoutError")
        for some in outages(asked, 30)
    ]


async def test_19_alerts_are_counted_by_week_and_level(asked: Asked) -> None:
    rows = await answer(asked, 19)
    recent = [a for a in asked.data.alerts if a.opened_at > asked.now - timedelta(days=28)]
    found = Counter(
        (a.opened_at.date() - timedelta(days=a.opened_at.weekday()), a.level) for a in recent
    )

    for week, count, *levels in rows:
        expected = [found[week, level] for level in ("warning", "critical", "emergency")]
        assert (count, levels) == (sum(expected), expected)
    assert sum(row[1] for row in rows) == len(recent)


async def test_20_rules_cost_what_their_alerts_lasted(asked: Asked) -> None:
    rows = await answer(asked, 20)
    start = asked.now - timedelta(days=28)

    for rule, times, acknowledged, half, altogether in rows:
        alerts = [a for a in asked.data.alerts if a.rule == rule and a.opened_at > start]
        waits = [a.acknowledged_at - a.opened_at for a in alerts if a.acknowledged_at]
        lasted = sorted(a.resolved_at - a.opened_at for a in alerts if a.resolved_at)
        total = sum(((a.resolved_at or asked.now) - a.opened_at for a in alerts), timedelta())
        assert times == len(alerts)
        assert abs(acknowledged - sum(waits, timedelta()) / len(waits)) < timedelta(seconds=1)
        assert lasted[(len(lasted) - 1) // 2] <= half <= lasted[len(lasted) // 2]
        assert abs(altogether - total) < timedelta(seconds=1)
    assert [row[4] for row in rows] == sorted((row[4] for row in rows), reverse=True)
