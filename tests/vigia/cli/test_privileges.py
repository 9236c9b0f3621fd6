"""Work left to an administrator: functions that affect the whole server, and left-over roles."""

from typing import Any

import psycopg
import pytest
from psycopg import sql

from db import migrate
from db.engine import Engine
from db.migrate import MigrationError
from db.queries import Connection, Pool
from runtime.settings import Secret, Settings
from vigia.cli import doctor, privileges

PRIVATE = "_timescaledb_"


@pytest.fixture
async def connection(pool: Pool) -> Any:
    async with pool.connection() as opened:
        yield opened


@pytest.fixture
def server(engine: Engine) -> Engine:
    if engine.embedded:
        pytest.skip("the embedded engine has one user")
    return engine


async def test_a_migrated_database_of_a_superuser_leaves_readers_no_side_effects(
    connection: Connection,
) -> None:
    assert await privileges.side_effects(connection) == []


async def test_doctor_names_what_an_administrator_runs(
    server: Engine, connection: Connection
) -> None:
    oid = 4_294_000_001
    async with await psycopg.AsyncConnection.connect(server.dsn, autocommit=True) as own:
        await own.execute("GRANT EXECUTE ON FUNCTION pg_advisory_lock(bigint) TO PUBLIC")
        await own.execute(f"CREATE ROLE vigia_rules_{oid}".encode())
        await own.execute("CREATE ROLE vigia_plain_owner LOGIN PASSWORD 'x'")
        try:
            assert await privileges.side_effects(connection) == ["pg_advisory_lock(bigint)"]
            words = psycopg.conninfo.conninfo_to_dict(server.dsn)
            plain = words | {"user": "vigia_plain_owner", "password": "x"}
            url = "postgresql://{user}:{password}@{host}:{port}/{dbname}".format_map(plain)
            found = await doctor.examine(Settings(database_url=Secret(url)))
            advice = {one.check: one.advice for one in found}
            assert f"DROP ROLE vigia_rules_{oid};" in advice["roles of SQL rules"]
            assert "REVOKE EXECUTE ON FUNCTION pg_advisory_lock(bigint)" in advice["readers"]
            await own.execute(advice["readers"].partition(": ")[2].encode())
            assert await privileges.side_effects(connection) == []
        finally:
            await own.execute(f"DROP ROLE vigia_rules_{oid}".encode())
            await own.execute("DROP OWNED BY vigia_plain_owner")
            await own.execute("DROP ROLE vigia_plain_owner")
            await own.execute("CALL revoke_side_effects()")


async def test_a_timescaledb_without_what_the_maintenance_needs_is_refused_at_the_start(
    connection: Connection,
) -> None:
    renamed = sql.SQL("ALTER FUNCTION _timescaledb_functions.chunk_status(regclass) RENAME TO gone")
    async with connection.transaction(force_rollback=True):
        await connection.execute(renamed)
        with pytest.raises(MigrationError, match=r"lacks _timescaledb_functions\.chunk_status"):
            await migrate.migrate(connection)


def test_every_private_name_of_timescaledb_that_is_used_is_looked_for() -> None:
    names = set()
    for folder in ("migrations", "routines"):
        for file in migrate._sql_files(folder):
            names |= {word.split("(")[0] for word in file.read_text().split() if PRIVATE in word}
    names = {name.strip(",;)") for name in names}
    looked_for = migrate.MISSING_INTERNALS.decode()  # type: ignore[union-attr]

    assert names
    assert {name for name in names if name not in looked_for} == set()
