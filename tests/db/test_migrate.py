"""Migrations run once, in order, whoever comes together; and refuse what does not fit."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from db import schema
from db.engine import Engine
from db.migrate import MigrationError, migrate, shipped
from db.queries import Connection, Pool

SCHEMA = Path(schema.__file__).with_name("schema.sql")


@pytest.fixture
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    async with pool.connection() as opened:
        yield opened


async def test_second_run_finds_nothing_to_do(connection: Connection) -> None:
    assert await migrate(connection) == 0


async def test_concurrent_runs_take_turns(engine: Engine) -> None:
    async def run() -> int:
        async with await psycopg.AsyncConnection.connect(
            engine.dsn, autocommit=True, prepare_threshold=None
        ) as own:
            return await migrate(own)

    assert await asyncio.gather(*(run() for _ in range(10))) == [0] * 10


async def test_changed_file_is_refused(connection: Connection) -> None:
    update = "UPDATE schema_migrations SET checksum = %s WHERE version = 2"
    await connection.execute(update, ["another"])
    try:
        with pytest.raises(MigrationError, match=r"0002_tiers\.sql was changed"):
            await migrate(connection)
    finally:
        await connection.execute(update, [shipped()[1].checksum])


async def test_newer_database_is_refused(connection: Connection) -> None:
    newer = len(shipped()) + 1
    await connection.execute(
        "INSERT INTO schema_migrations (version, name, checksum) VALUES (%s, 'x', 'x')", [newer]
    )
    try:
        with pytest.raises(MigrationError, match=f"at version {newer}"):
            await migrate(connection)
    finally:
        await connection.execute("DELETE FROM schema_migrations WHERE version = %s", [newer])


async def test_routines_run_again_only_when_their_text_changed(connection: Connection) -> None:
    read = "SELECT applied_at FROM schema_migrations WHERE version = 0"
    before = await (await connection.execute(read)).fetchone()
    await migrate(connection)
    assert await (await connection.execute(read)).fetchone() == before

    await connection.execute("UPDATE schema_migrations SET checksum = 'old' WHERE version = 0")
    await migrate(connection)
    assert await (await connection.execute(read)).fetchone() != before


async def test_failed_migration_leaves_nothing_behind(connection: Connection) -> None:
    """A file that fails is rolled back with its own record, and says its name."""
    from db.migrate import Migration, _apply  # noqa: PLC0415 (only here)

    broken = Migration(len(shipped()) + 1, "0099_broken.sql", b"CREATE TABLE t (); SELECT 1 / 0")
    with pytest.raises(psycopg.errors.DivisionByZero) as caught:
        await _apply(connection, broken)

    assert caught.value.__notes__ == ["while applying 0099_broken.sql"]
    cursor = await connection.execute("SELECT to_regclass('t')")
    assert await cursor.fetchone() == (None,)


async def test_a_file_whose_tables_are_there_already_says_what_that_means(
    connection: Connection,
) -> None:
    words = "does not list that file; restore the database"
    async with connection.transaction(force_rollback=True):
        await connection.execute("DELETE FROM schema_migrations WHERE version = 21")
        with pytest.raises(MigrationError, match=words):
            await migrate(connection)


async def test_dumped_schema_is_that_of_the_migrations(connection: Connection) -> None:
    assert await schema.dump(connection) == SCHEMA.read_text()


async def test_every_table_view_and_column_has_a_comment(connection: Connection) -> None:
    assert await schema.uncommented(connection) == []


async def test_information_views_show_what_the_engine_was_asked_for(connection: Connection) -> None:
    async def names(query: str) -> set[str]:
        cursor = await connection.execute(query)
        return {row[0] for row in await cursor.fetchall()}

    hypertables = await names(
        "SELECT hypertable_name FROM timescaledb_information.hypertables WHERE compression_enabled"
    )
    aggregates = await names("SELECT view_name FROM timescaledb_information.continuous_aggregates")

    assert {"system_metrics", "system_distributions", "component_checks"} <= hypertables
    assert aggregates == {
        "system_metrics_1m",
        *(
            f"system_{family}_{width}"
            for family in ("metrics", "counters", "distributions")
            for width in ("5m", "1h", "1d")
        ),
        "component_uptime_1h",
    }
