"""The role vigia_reader sees the documented views and functions, and nothing else."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import errors, sql

from db.engine import Engine
from db.migrate import migrate
from db.queries import Connection, Pool
from model.series import Kind, Sample, Series
from retention.tiers import Wanted, maintain, want
from samples.insert import insert
from samples.series import SeriesNumbers

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(days=3)
VIEWS = {
    "metrics",
    *(f"metrics_{width}" for width in ("1m", "5m", "1h", "1d", "json")),
    *(f"{family}_{w}" for family in ("counters", "distributions") for w in ("5m", "1h", "1d")),
    *("catalogue", "components", "checks", "uptime_hourly", "uptime_daily"),
    *("hosts", "alerts", "alert_events", "delivery_log"),
}
EMPTY = {"components", "hosts", "alerts", "alert_events", "delivery_log"}
"""Views of which `fill` makes no row."""
CALLS = [
    "SELECT * FROM history('load', %s, %s, '1 hour')",
    "SELECT * FROM rate('sent_total', %s, %s, '1 hour')",
    "SELECT * FROM percentiles('wait_ms', %s, %s, '1 hour')",
    "SELECT * FROM percentiles('load', %s, %s, '1 hour')",
    (
        "SELECT percentile(0.5, array_agg(log_bucket), array_agg(count)) "
        "FROM distributions_1h WHERE time BETWEEN %s AND %s"
    ),
]


async def rows(connection: Connection, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
    return await (await connection.execute(query.encode(), arguments or None)).fetchall()


@asynccontextmanager
async def reading(connection: Connection, role: str = "vigia_reader") -> AsyncIterator[None]:
    async with connection.transaction(force_rollback=True):
        await connection.execute(f"SET LOCAL ROLE {role}".encode())
        yield


async def fill(connection: Connection) -> None:
    """Samples of each kind for three days: the oldest compressed, the newest not rolled up."""
    series = [
        Series(metric="load", component="a"),
        Series(metric="sent_total", component="a", kind=Kind.COUNTER),
        Series(metric="wait_ms", component="a", kind=Kind.DISTRIBUTION),
    ]
    samples = [
        Sample(one, START + timedelta(minutes=minute), float(minute))
        for one in series
        for minute in range(0, 3 * 1440, 30)
    ]
    async with connection.transaction():
        await insert(connection, SeriesNumbers(), samples)
    for name in ("raw", "5m", "counters_5m", "distributions", "distributions_5m"):
        await want(connection, Wanted(name, None, timedelta(days=1)))
    await connection.execute(
        "INSERT INTO component_checks (time, component, status, stands_for_s) "
        "VALUES (%s, 'a', 'healthy', 30)",
        [START],
    )
    await maintain(connection, START + timedelta(days=2))


async def relations(connection: Connection, schema: str) -> set[str]:
    found = await rows(
        connection,
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'v', 'p') "
        "AND relnamespace = %s::regnamespace",
        schema,
    )
    return {row[0] for row in found}


async def refused(connection: Connection, statement: str, role: str = "vigia_reader") -> None:
    async with reading(connection, role):
        with pytest.raises(errors.InsufficientPrivilege):
            await connection.execute(statement.encode())


async def test_a_reader_reads_every_documented_view_and_function(pool: Pool) -> None:
    """Compressed, rolled up, or computed as it is read."""
    async with pool.connection() as connection:
        await fill(connection)
        compressed = await rows(
            connection,
            "SELECT count(*) FROM timescaledb_information.chunks WHERE is_compressed",
        )
        assert compressed[0][0] > 0
        for view in VIEWS:
            owners = await rows(connection, f"SELECT * FROM {view}")
            async with reading(connection):
                assert await rows(connection, f"SELECT * FROM {view}") == owners, view
            assert owners or view in EMPTY, view
        for call in CALLS:
            async with reading(connection):
                assert await rows(connection, call, START, END), call
        async with reading(connection):
            assert await rows(connection, "SELECT * FROM uptime('a', %s, %s)", START, END) == [
                (30, 0, 100)
            ]


async def test_a_reader_reads_nothing_else(pool: Pool) -> None:
    async with pool.connection() as connection:
        await fill(connection)
        hidden = await relations(connection, "public") - VIEWS
        assert {"series_state", "api_keys", "sessions", "monitoring_config", "series"} <= hidden
        for name in hidden:
            await refused(connection, f"SELECT FROM {name} LIMIT 1")

        inside = await relations(connection, "_timescaledb_internal")
        chunks = {name for name in inside if name.startswith(("_hyper_", "compress_", "_mat"))}
        assert len(chunks) > 5
        for name in chunks:
            await refused(connection, f"SELECT FROM _timescaledb_internal.{name} LIMIT 1")


@pytest.mark.parametrize(
    "statement",
    [
        "CALL maintain(NULL, '{\"force\": true}')",
        "CALL grant_reader()",
        "SELECT make_reader()",
        "SELECT tier_for('system_metrics', now(), '1 hour')",
        "SELECT tier_choices()",
        "SELECT refresh_start('1h')",
        "SELECT drop_chunks('system_metrics', older_than => now())",
        "INSERT INTO components (component) VALUES ('a')",
        "UPDATE alerts SET state = 'resolved'",
        "DELETE FROM alert_events",
        "DELETE FROM system_metrics",
        "TRUNCATE system_metrics",
        "DROP VIEW metrics",
        "CREATE TABLE mine (a integer)",
        "CREATE FUNCTION series_name(integer) RETURNS text LANGUAGE sql AS 'SELECT 1::text'",
        "SELECT pg_read_file('PG_VERSION')",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "ALTER ROLE vigia_reader SUPERUSER",
        "SELECT pg_logical_emit_message(false, 'x', 'y')",
        "SELECT pg_logical_emit_message(false, 'x', 'y'::bytea)",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_advisory_xact_lock_shared(1, 2)",
        "SELECT pg_try_advisory_lock(1)",
    ],
)
async def test_a_reader_does_nothing_but_read(pool: Pool, statement: str) -> None:
    async with pool.connection() as connection:
        await refused(connection, statement)


async def test_a_reader_of_the_embedded_engine_cannot_take_on_another_role(
    pool: Pool, engine: Engine
) -> None:
    """Its session is the superuser's: a query that could choose its role could read anything."""
    if not engine.embedded:
        pytest.skip("a login has no other role to take on")
    async with pool.connection() as connection:
        for statement in (
            "SELECT set_config('role', 'none', true)",
            "UPDATE pg_settings SET setting = 'none' WHERE name = 'role'",
        ):
            await refused(connection, statement)


async def test_temporary_tables_of_a_reader_deceive_no_function(pool: Pool) -> None:
    async with pool.connection() as connection:
        await fill(connection)
        async with reading(connection):
            await connection.execute(
                "CREATE TEMP TABLE series AS SELECT 1 AS id, 'load' AS metric, 'mine' AS component;"
                "CREATE TEMP TABLE tiers AS SELECT 'api_keys' AS relation"
            )
            found = await rows(
                connection, "SELECT DISTINCT component FROM (" + CALLS[0] + ")", START, END
            )
    assert found == [("a",)]


async def test_nobody_without_the_role_calls_what_reads_for_them(pool: Pool) -> None:
    async with pool.connection() as connection, connection.transaction(force_rollback=True):
        await connection.execute("CREATE ROLE vigia_nobody")
        for name in ("history", "rate", "percentiles"):
            call = f"SELECT {name}('load', now(), now(), '1 hour')"
            await refused(connection, call, role="vigia_nobody")
        await refused(connection, "SELECT uptime('a', now(), now())", role="vigia_nobody")


async def test_views_that_are_made_anew_are_granted_anew(pool: Pool) -> None:
    async with pool.connection() as connection:
        await connection.execute("DROP VIEW metrics_json, metrics_1h")
        await connection.execute("UPDATE schema_migrations SET checksum = '' WHERE version = 0")
        await migrate(connection)
        async with reading(connection):
            assert await rows(connection, "SELECT * FROM metrics_json, metrics_1h") == []


def named(routine: str, name: str) -> bytes:
    """Return the routine for a role of the test's own: the server's other databases use ours."""
    return routine.replace("vigia_reader", name).replace("make_reader", name).encode()


@pytest.fixture
async def routine(pool: Pool) -> str:
    async with pool.connection() as connection:
        query = "SELECT pg_get_functiondef('make_reader'::regproc)"
        text: str = (await rows(connection, query))[0][0]
        return text


async def test_two_databases_of_a_server_may_make_the_role_at_once(
    engine: Engine, routine: str
) -> None:
    if engine.embedded:
        pytest.skip("it has one session")
    name = f"vigia_twice_{os.getpid()}"
    async with await connect(engine) as one, await connect(engine) as other:
        await one.execute(named(routine, name))
        try:
            async with asyncio.TaskGroup() as tasks, one.transaction():
                await one.execute(f"SELECT {name}()".encode())
                second = tasks.create_task(rows(other, f"SELECT {name}()"))
                await wait_for_lock(one, other.info.backend_pid)
            assert second.result() == [(True,)]
        finally:
            await one.execute(f"DROP FUNCTION {name}; DROP ROLE IF EXISTS {name}".encode())


async def connect(engine: Engine, **options: Any) -> Connection:
    return await psycopg.AsyncConnection.connect(engine.dsn, autocommit=True, **options)


async def wait_for_lock(connection: Connection, pid: int) -> None:
    async with asyncio.timeout(10):
        while (await rows(connection, "SELECT pg_blocking_pids(%s)", pid))[0][0] == []:
            await asyncio.sleep(0.01)


async def test_who_may_not_make_roles_goes_without(pool: Pool, routine: str) -> None:
    async with pool.connection() as connection, connection.transaction(force_rollback=True):
        await connection.execute(named(routine, "vigia_missing"))
        await connection.execute("CREATE ROLE vigia_weak")
        await connection.execute("SET LOCAL ROLE vigia_weak")
        assert await rows(connection, "SELECT vigia_missing()") == [(False,)]
        assert await rows(connection, "SELECT to_regrole('vigia_missing')") == [(None,)]


async def test_who_may_make_roles_may_take_it_on(pool: Pool, routine: str) -> None:
    async with pool.connection() as connection, connection.transaction(force_rollback=True):
        await connection.execute(named(routine, "vigia_made"))
        await connection.execute("CREATE ROLE vigia_maker CREATEROLE")
        await connection.execute("SET LOCAL ROLE vigia_maker")
        assert await rows(connection, "SELECT vigia_made()") == [(True,)]
        assert await rows(connection, "SELECT vigia_made()") == [(True,)]
        may = "SELECT pg_has_role('vigia_maker', 'vigia_made', 'SET')"
        assert await rows(connection, may) == [(True,)]


async def test_a_database_whose_owner_is_nobody_special_is_read_too(
    engine: Engine, server_url: str
) -> None:
    """The role is there already; the owner may grant it what is theirs, but not take it on."""
    if engine.embedded:
        pytest.skip("it has one user")
    owner = sql.Identifier(f"vigia_owner_{os.getpid()}")
    async with await psycopg.AsyncConnection.connect(server_url, autocommit=True) as server:
        await server.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'p'").format(owner))
        await server.execute(sql.SQL("CREATE DATABASE {0} OWNER {0}").format(owner))
        try:
            given = {"user": owner._obj[0], "password": "p", "dbname": owner._obj[0]}
            dsn = psycopg.conninfo.make_conninfo(server_url, **given)
            async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as own:
                await migrate(own)
                with pytest.raises(errors.InsufficientPrivilege):
                    await own.execute("SET ROLE vigia_reader")
            await check_login(server_url, owner._obj[0])
        finally:
            await server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(owner))
            await server.execute(sql.SQL("DROP ROLE {}").format(owner))


async def check_login(server_url: str, database: str) -> None:
    """A login made as the documentation says reads the views, with a deadline, and no more."""
    ana = f"ana_{os.getpid()}"
    at = psycopg.conninfo.make_conninfo(server_url, dbname=database)
    async with await psycopg.AsyncConnection.connect(at, autocommit=True) as server:
        await server.execute(
            f"CREATE ROLE {ana} LOGIN PASSWORD 'p' IN ROLE vigia_reader;"
            f"ALTER ROLE {ana} SET statement_timeout = '30s'".encode()
        )
        try:
            dsn = psycopg.conninfo.make_conninfo(at, user=ana, password="p")
            async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
                assert await rows(connection, "SHOW statement_timeout") == [("30s",)]
                for view in VIEWS:
                    assert await rows(connection, f"SELECT * FROM {view}") == []
                for call in CALLS:
                    await rows(connection, call, START, END)
                for statement in (
                    "SELECT FROM api_keys",
                    f'SET ROLE "{database}"',
                    "CALL maintain()",
                    "CALL refresh_continuous_aggregate('system_metrics_1h', NULL, NULL)",
                ):
                    with pytest.raises(errors.InsufficientPrivilege):
                        await connection.execute(statement.encode())
        finally:
            await server.execute(f"DROP ROLE {ana}".encode())
