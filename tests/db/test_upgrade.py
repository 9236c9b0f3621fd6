"""A database full of an earlier version's data answers as before, and loses nothing afterwards."""

import math
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from alerts import store as alerts
from alerts.rules import store as rules
from alerts.rules.model import Rule
from alerts.store import Filter
from db import migrate, queries
from db.engine import open_engine
from db.pool import open_pool
from db.queries import Connection
from history import reader as history
from history.grid import Grid
from history.reader import TierRead
from retention import tiers
from runtime.settings import Secret, Settings
from tests.api.metrics.recomputation import differences
from tests.conftest import _native_database

pytestmark = pytest.mark.db  # It starts engines of its own.

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 4, 11, 12, tzinfo=UTC)
DAY = timedelta(days=1)
KINDS = {"gauge": 1, "counter": 2, "distribution": 3}
WIDTHS = {
    "1m": timedelta(minutes=1),
    "5m": timedelta(minutes=5),
    "1h": timedelta(hours=1),
    "1d": DAY,
}
KEPT = {"raw": 30 * DAY, "1m": 7 * DAY, "5m": 90 * DAY}
VERSION_7 = 7
VERSION_20 = 20

Samples = Mapping[int, Mapping[datetime, float]]
"""Values by time, by the number of the series."""


@pytest.fixture
async def old(server_url: str, tmp_path: Path) -> AsyncIterator[Connection]:
    """A database of its own, as version 7 made it."""
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(_native(server_url)) if server_url else ""
        yield await stack.enter_async_context(_version_7(dsn, tmp_path))


@pytest.fixture
async def old_of_a_plain_user(server_url: str, tmp_path: Path) -> AsyncIterator[Connection]:
    """The same, but its owner is no superuser, as where others run the server."""
    if not server_url:
        pytest.skip("the embedded engine has one user, who may do everything")
    name = f"vigia_plain_{os.getpid()}"
    role = sql.Identifier(name)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            await psycopg.AsyncConnection.connect(server_url, autocommit=True)
        )
        await server.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(role))
        stack.push_async_callback(server.execute, sql.SQL("DROP ROLE {}").format(role))
        dsn = await stack.enter_async_context(_native(server_url))
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as own:
            await own.execute(sql.SQL("ALTER SCHEMA public OWNER TO {}").format(role))
            await own.execute(
                sql.SQL("ALTER DATABASE {} OWNER TO {}").format(
                    sql.Identifier(own.info.dbname), role
                )
            )
        plain = make_conninfo(dsn, user=name, password="x")
        yield await stack.enter_async_context(_version_7(plain, tmp_path))


def _native(server_url: str) -> AbstractAsyncContextManager[str]:
    return _native_database(server_url, f"vigia_upgrade_{os.getpid()}")


@asynccontextmanager
async def _version_7(dsn: str, data_dir: Path) -> AsyncIterator[Connection]:
    url = Secret(dsn) if dsn else None
    async with (
        open_engine(Settings(data_dir=data_dir, database_url=url)) as engine,
        open_pool(engine.dsn, embedded=engine.embedded) as pool,
        pool.connection() as connection,
    ):
        await make_version_7(connection)
        yield connection


async def make_version_7(connection: Connection) -> None:
    async with connection.transaction():
        await queries.run(connection, migrate.CREATE_EXTENSION)
        await queries.run(connection, migrate.CREATE_TABLE)
    for migration in migrate.shipped()[:VERSION_7]:
        await migrate._apply(connection, migration)
    await connection.execute(
        "INSERT INTO series (metric, component, category, kind) "
        "SELECT name, 'app', 'system', name FROM unnest(%s::text[]) AS name",
        [list(KINDS)],
    )


def measured(days: int) -> dict[int, dict[datetime, float]]:
    """Return pairs of samples until NOW, of three series; the mean of the first is large."""
    found: dict[int, dict[datetime, float]] = {number: {} for number in KINDS.values()}
    hours = (NOW - timedelta(hours=n) for n in range(24 * days, 0, -4))
    for i, time in enumerate(hour + timedelta(seconds=s) for hour in hours for s in (0, 100)):
        found[1][time] = 1e9 + i * 37 % 101
        found[2][time] = float(i % 500)
        found[3][time] = (i * 7919 % 1000 - 100) / 8
    return found


async def put(connection: Connection, samples: Samples) -> None:
    for series, points in samples.items():
        await connection.execute(
            "INSERT INTO system_metrics (series_id, time, value) "
            "SELECT %s, * FROM unnest(%s::timestamptz[], %s::float8[])",
            [series, list(points), list(points.values())],
        )


async def refresh(connection: Connection) -> None:
    """Roll up as version 7 did."""
    for name, width in WIDTHS.items():
        to = START + (NOW - timedelta(minutes=10) - START) // width * width
        await connection.execute(
            "CALL refresh_continuous_aggregate(%s::regclass, NULL, %s::timestamptz)",
            [f"system_metrics_{name}", to],
        )
        await connection.execute("UPDATE tiers SET refreshed_to = %s WHERE name = %s", [to, name])


async def compress(connection: Connection) -> None:
    await connection.execute(
        "SELECT compress_chunk(format('%%I.%%I', chunk_schema, chunk_name)::regclass) "
        "FROM timescaledb_information.chunks WHERE range_end <= %s",
        [NOW - 10 * DAY],
    )


async def drop(connection: Connection, name: str, before: datetime) -> None:
    """Drop chunks, and note it, as version 7 did."""
    relation = "system_metrics" if name == "raw" else f"system_metrics_{name}"
    await connection.execute(
        "WITH dropped AS ("
        "    SELECT max(range_end) AS dropped_to FROM timescaledb_information.chunks c"
        "    LEFT JOIN timescaledb_information.continuous_aggregates a"
        "      ON a.materialization_hypertable_name = c.hypertable_name"
        "    WHERE coalesce(a.view_name, c.hypertable_name) = %(relation)s AND range_end <= %(to)s)"
        "UPDATE tiers SET dropped_to = dropped.dropped_to FROM dropped WHERE name = %(name)s",
        {"relation": relation, "name": name, "to": before},
    )
    await connection.execute(
        "SELECT drop_chunks(%s::regclass, older_than => %s::timestamptz)", [relation, before]
    )


async def add_fresh(connection: Connection, samples: dict[int, dict[datetime, float]]) -> None:
    for number, points in samples.items():
        fresh = {NOW + 3 * DAY: float(number)}
        await put(connection, {number: fresh})
        points.update(fresh)


async def dropped_to(connection: Connection) -> dict[str, datetime]:
    return {tier.name: tier.dropped_to or START for tier in await tiers.read(connection)}


async def check(connection: Connection, samples: Samples, known_from: datetime) -> None:
    """Hold every roll-up against the samples; the spread is known from a moment on."""
    dropped = await dropped_to(connection)
    for name in ("5m", "1h", "1d"):
        buckets: dict[tuple[int, datetime], list[float]] = defaultdict(list)
        for series, points in samples.items():
            for time, value in sorted(points.items()):
                begins = START + (time - START) // WIDTHS[name] * WIDTHS[name]
                if begins >= dropped[name]:
                    buckets[series, begins].append(value)
        cursor = await connection.execute(
            "SELECT series_id, bucket, count, min, max, first, last, sum, m2 "
            f"FROM system_metrics_{name} WHERE bucket >= %s",
            [dropped[name]],
        )
        found = {(row[0], row[1]): row[2:] for row in await cursor.fetchall()}
        assert found.keys() == buckets.keys(), name
        for (series, begins), values in buckets.items():
            *plain, total, m2 = found[series, begins]
            where = (name, series, begins)
            assert plain == [len(values), min(values), max(values), values[0], values[-1]], where
            assert math.isclose(total, math.fsum(values), rel_tol=1e-12), where
            if begins < known_from:
                assert math.isnan(m2), where
            else:
                wanted = float(np.var(values)) * len(values)
                assert math.isclose(m2, wanted, rel_tol=1e-6, abs_tol=1e-3), where


async def check_what_is_new(connection: Connection, samples: Samples, known_from: datetime) -> None:
    """Rates, percentiles and the spread are there as far as there are samples, and null before."""
    about = await history.series_and_tiers(connection, list(KINDS), None, [], 10)
    first, end = int((known_from - 3 * DAY).timestamp()), int(NOW.timestamp())
    grid = Grid(range(first, end + 1, 3600), 3600, first - 3600)
    for family, kind, names in (
        (history.Family.COUNTERS, "counter", ["rate"]),
        (history.Family.DISTRIBUTIONS, "distribution", ["p50", "p99"]),
        (history.Family.METRICS, "gauge", ["stddev", "count"]),
    ):
        number = KINDS[kind]
        reading = TierRead(about.tier(family, grid), grid, [number])
        assert reading.tier.name == "1h"
        if kind == "counter":
            [(_, slots, *columns)] = await history.rates(connection, reading, names)
        elif kind == "distribution":
            [(_, slots, *columns)] = await history.percentiles(connection, reading, names)
        else:
            [(_, slots, *columns)] = await history.fold(connection, reading, names)
        points = {time.timestamp(): value for time, value in samples[number].items()}
        kept = {time: value for time, value in points.items() if time >= known_from.timestamp()}
        for name, values in zip(names, columns, strict=True):
            column = dict(zip(slots, values, strict=True))
            found = [column.get(i) for i in range(grid.points)]
            reported = points if name == "count" else kept
            assert not differences(name, found, [reported], grid, sketch=kind == "distribution"), (
                name
            )


async def test_what_was_rolled_up_is_still_answered_and_the_rest_is_rolled_up_anew(
    old: Connection,
) -> None:
    """Samples are gone in part, chunks compressed, and late samples not taken in yet."""
    samples = measured(100)
    await put(old, samples)
    await refresh(old)
    for name, keep in KEPT.items():
        await drop(old, name, NOW - keep)
        await old.execute(
            "UPDATE tiers SET keep = %(keep)s, keep_applied = %(keep)s WHERE name = %(name)s",
            {"keep": keep, "name": name},
        )
    await compress(old)
    late = {n: {START + 85 * DAY + timedelta(minutes=7): 1e6 * n} for n in KINDS.values()}
    await put(old, late)
    await old.execute(
        "INSERT INTO late_ranges (start_time, end_time) VALUES (%(t)s, %(t)s)",
        {"t": START + 85 * DAY + timedelta(minutes=7)},
    )
    for number, points in late.items():
        samples[number] |= points
    upgraded_from = (await dropped_to(old))["raw"]
    assert START < (await dropped_to(old))["5m"] < upgraded_from < NOW - 29 * DAY

    assert await migrate.migrate(old) == len(migrate.shipped()) - VERSION_7

    await check(old, samples, upgraded_from)
    for hours in (0, 30):
        await tiers.maintain(old, NOW + timedelta(hours=hours))
        await check(old, samples, upgraded_from)
    await check_what_is_new(old, samples, upgraded_from)

    # Kept for longer, then for less long: in between, nothing may be rolled up from what is gone.
    for raw, five in ((60, 180), (60, 180), (4, 20), (4, 20)):
        for name, days in (("raw", raw), ("5m", five), ("distributions", raw)):
            await tiers.want(old, tiers.Wanted(name, days * DAY, 2 * DAY))
        await tiers.maintain(old, NOW + timedelta(hours=31))
        await check(old, samples, upgraded_from)
    await tiers.maintain(old, NOW + 40 * DAY)
    await check(old, samples, upgraded_from)
    assert (await dropped_to(old))["raw"] > NOW - 5 * DAY


async def test_roll_ups_of_which_no_sample_is_left_are_answered_too(old: Connection) -> None:
    """Nothing was sent for longer than samples are kept; and the maintenance runs before any is."""
    samples = measured(30)
    await put(old, samples)
    await refresh(old)
    await drop(old, "raw", NOW + DAY)
    await compress(old)
    newest = (await dropped_to(old))["raw"]

    await migrate.migrate(old)

    for hours in (0, 1, 30):
        await check(old, samples, newest)
        await tiers.maintain(old, NOW + DAY + timedelta(hours=hours))
    await add_fresh(old, samples)
    await tiers.maintain(old, NOW + 4 * DAY)
    await check(old, samples, newest)


async def test_a_user_who_may_not_touch_the_catalogue_loses_nothing_either(
    old_of_a_plain_user: Connection,
) -> None:
    """What was carried over shows with the first refresh; until then it is not rolled up away."""
    connection = old_of_a_plain_user
    samples = measured(30)
    await put(connection, samples)
    await refresh(connection)
    await drop(connection, "raw", NOW + DAY)
    newest = (await dropped_to(connection))["raw"]

    await migrate.migrate(connection)

    for hours in (0, 1, 30):
        await tiers.maintain(connection, NOW + DAY + timedelta(hours=hours))
    await add_fresh(connection, samples)
    await tiers.maintain(connection, NOW + 4 * DAY)
    await check(connection, samples, newest)


async def test_rules_lose_what_has_no_meaning_and_a_name_that_is_taken(old: Connection) -> None:
    for migration in migrate.shipped()[VERSION_7:VERSION_20]:
        await migrate._apply(old, migration)
    await old.execute(
        "INSERT INTO alert_rules (name, kind, metric, agg, window_s, op, levels, all_of, labels) "
        "VALUES ('preview', 'threshold', 'm', 'max', 300, '<', %(levels)s, '{}', %(labels)s), "
        "('both', 'composite', NULL, 'max', 300, '<', NULL, '{preview}', %(labels)s)",
        {"levels": '{"info": 1}', "labels": '{"a": "b"}'},
    )
    await old.execute(
        "INSERT INTO system_alerts (rule, level, category, component, title, message, opened_at) "
        "VALUES ('preview', 'info', 'system', 'app', '', '', now())"
    )

    await migrate.migrate(old)

    one, both = [stored.rule for stored in await rules.read_page(old)]
    assert (one.name, one.agg, one.window, one.labels) == ("preview-rule", "max", "5m", {"a": "b"})
    assert both == Rule(name="both", kind="composite", all_of=["preview-rule"])
    [alert] = await alerts.active(old, Filter(), 10)
    assert alert.rule == "preview-rule"
