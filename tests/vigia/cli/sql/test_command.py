"""`vigia sql` as a process beside a database in use: it can only read."""

import asyncio
import csv
import io
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from db.engine import Engine, open_engine
from db.queries import Pool
from model.series import Sample, Series
from runtime.settings import Settings
from samples.insert import insert
from samples.series import SeriesNumbers
from tests.vigia.cli.tty import TIMEOUT_S, Environment, terminal

pytestmark = pytest.mark.db  # It starts engines of its own.

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def environment(engine: Engine, tmp_path: Path) -> Environment:
    """What finds the database of the tests, embedded or native."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("VIGIA_")}
    clean |= {"HOME": str(tmp_path)}
    if engine.embedded:
        return clean | {"VIGIA_DATA_DIR": str(conninfo_to_dict(engine.dsn)["host"])}
    return clean | {"VIGIA_DATABASE_URL": address(engine.dsn)}


def address(dsn: str, **changed: str) -> str:
    parts = {name: quote(str(value)) for name, value in conninfo_to_dict(dsn, **changed).items()}
    return "postgresql://{user}:{password}@{host}:{port}/{dbname}".format_map(parts)


async def fill(pool: Pool, count: int = 3, component: str = "a") -> None:
    series = Series(metric="load", component=component)
    samples = [Sample(series, START + timedelta(seconds=i), i / 2) for i in range(count)]
    async with pool.connection() as connection, connection.transaction():
        await insert(connection, SeriesNumbers(), samples)


async def run(environment: Environment, *arguments: str, text: str = "") -> tuple[int, str, str]:
    """Return the exit code of `vigia sql`, and what it wrote on its outputs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "vigia", "sql", *arguments),
        env=environment,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
    )
    async with asyncio.timeout(TIMEOUT_S):
        out, err = await process.communicate(text.encode())
    return process.returncode or 0, out.decode(), err.decode()


async def test_an_answer_is_a_table(pool: Pool, environment: Environment) -> None:
    await fill(pool)
    query = "SELECT time, component, value FROM metrics ORDER BY time LIMIT 2"

    code, out, err = await run(environment, query)

    assert (code, err) == (0, "")
    assert out == (
        " time                   | component | value\n"
        "------------------------+-----------+-------\n"
        " 2026-01-01 00:00:00+00 | a         |     0\n"
        " 2026-01-01 00:00:01+00 | a         |   0.5\n"
        "(2 rows)\n"
    )


async def test_an_answer_is_json_with_the_types_of_its_columns(
    pool: Pool, environment: Environment
) -> None:
    await fill(pool, count=1)
    query = """SELECT time, labels, 1.50 AS a, ARRAY[1, 2] AS b, NULL AS c, 'NaN'::float8 AS d,
               interval '1 hour' AS e, true AS f, int4range(1, 2) AS g FROM metrics"""
    code, out, _ = await run(environment, "--json", query)

    assert code == 0
    assert json.loads(out) == [
        {
            "time": "2026-01-01T00:00:00Z",
            "labels": {},
            "a": 1.5,
            "b": [1, 2],
            "c": None,
            "d": None,
            "e": "PT3600S",
            "f": True,
            "g": "[1, 2)",
        }
    ]
    assert (await run(environment, "--json", "SELECT 1 WHERE false"))[1] == "[]\n"
    code, _, err = await run(environment, "--json", "SELECT 1 AS a, 2 AS a")
    assert (code, err) == (
        1,
        "ERROR:  two columns are named a; rename one with AS\n",
    )


async def test_an_answer_of_many_rows_is_whole_as_csv_and_cut_as_a_table(
    pool: Pool, environment: Environment
) -> None:
    await fill(pool, count=2500, component='a "b", c')
    query = "SELECT value, component FROM metrics ORDER BY time"

    code, out, _ = await run(environment, "--csv", text=query)
    assert code == 0
    head, *rows = csv.reader(io.StringIO(out))
    assert head == ["value", "component"]
    assert rows == [[f"{i / 2:g}", 'a "b", c'] for i in range(2500)]

    lines = (await run(environment, query))[1].splitlines()
    assert len(lines) == 1003
    assert lines[-1] == "(1000 rows; there are more rows: add LIMIT, or use --csv)"


async def test_an_error_is_told_with_its_place_and_the_next_statement_runs(
    pool: Pool, environment: Environment
) -> None:
    await fill(pool)
    text = (
        "SELECT 1 AS one;\n\n-- what\nSELECT value,\n\tvolume FROM metrics;\n"
        "SELECT 1 / 0;\n\\nope\n\\d nope\nSELECT 2 AS two"
    )
    code, out, err = await run(environment, text=text)

    assert code == 1
    assert out == " one\n-----\n   1\n(1 row)\n two\n-----\n   2\n(1 row)\n"
    assert err == (
        'ERROR:  column "volume" does not exist\n'
        "LINE 3:  volume FROM metrics\n"
        "         ^\n"
        'HINT:  Perhaps you meant to reference the column "metrics.value".\n'
        "ERROR:  division by zero\n"
        r"ERROR:  unknown command \nope; use \d, \d NAME or \q" + "\n"
        "ERROR:  there is no view or function named nope; \\d lists them\n"
    )


async def test_wrong_usage_is_2(environment: Environment) -> None:
    assert (await run(environment, "--json", "--csv", "SELECT 1"))[0] == 2
    assert (await run(environment, "SELECT", "1"))[0] == 2
    assert (await run(environment, "--timeout", "0", "SELECT 1"))[0] == 2
    assert (await run({**environment, "VIGIA_PORT": "x"}, "SELECT 1"))[0] == 2


async def test_commands_say_what_there_is(environment: Environment) -> None:
    code, out, _ = await run(environment, text="\\d\n\\d uptime_daily\n\\d uptime\n\\q\nSELECT 1")

    assert code == 0
    assert " metrics_1h       | view     | Roll-up by hour." in out.splitlines()
    assert " availability | column | double precision         | up_s / (up_s + down_s)" in out
    assert " start        | argument | timestamp with time zone |" in out.splitlines()
    assert "api_keys" not in out
    assert "1 row" not in out


WRITING = [
    "INSERT INTO components (component) VALUES ('a')",
    "DELETE FROM system_metrics",
    "SELECT 1 AS a; DELETE FROM system_metrics; SELECT 2 AS a",
    "WITH gone AS (DELETE FROM system_metrics RETURNING 1) SELECT count(*) FROM gone",
    "EXPLAIN ANALYZE DELETE FROM system_metrics",
    "DO $$ BEGIN RESET ROLE; DELETE FROM system_metrics; END $$",
    "CALL maintain()",
    "RESET ROLE",
    "COMMIT",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "CREATE TABLE mine (a integer)",
    "SELECT 1 AS a INTO mine",
    "SELECT * FROM api_keys",
    "SELECT nextval('series_id_seq')",
    "SELECT query_to_xml('DELETE FROM system_metrics', true, true, '')",
]


async def test_nothing_is_written_and_nothing_else_is_read(
    pool: Pool, environment: Environment
) -> None:
    await fill(pool)
    code, out, err = await run(environment, text=";\n".join([*WRITING, "SELECT current_user"]))

    assert code == 1
    assert out.count(" a\n---\n") == 2
    assert out.endswith(" current_user\n--------------\n vigia_reader\n(1 row)\n")
    assert err.count("ERROR:") == len(WRITING)
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM system_metrics")
        assert await cursor.fetchone() == (3,)


async def test_a_statement_leaves_nothing_behind(environment: Environment) -> None:
    text = """SELECT count(pg_advisory_lock(42)) AS locked;
        SELECT set_config('timezone', 'Asia/Tokyo', false);
        SELECT count(*) AS held FROM pg_locks WHERE locktype = 'advisory' AND objid = 42;
        SHOW transaction_read_only; SHOW timezone"""
    code, out, err = await run(environment, "--csv", text=text)

    assert code == 1
    assert "permission denied for function pg_advisory_lock" in err
    assert out.split()[-6:] == ["held", "0", "transaction_read_only", "on", "TimeZone", "UTC"]


async def test_a_statement_ends_after_its_time(engine: Engine, environment: Environment) -> None:
    if engine.embedded:
        pytest.skip("nothing interrupts it")
    code, out, err = await run(
        environment, "--timeout", "0.3", text="SELECT pg_sleep(60); SELECT 2 AS two"
    )

    assert (code, err) == (1, "ERROR:  canceling statement due to statement timeout\n")
    assert "   2\n" in out


async def test_the_embedded_engine_ends_what_holds_it_up_and_the_console_goes_on(
    engine: Engine, environment: Environment, tmp_path: Path
) -> None:
    if not engine.embedded:
        pytest.skip("it has sessions enough")
    endless = "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b"
    async with open_engine(Settings(data_dir=tmp_path / "own"), deadline_s=4) as own:
        given = {**environment, "VIGIA_DATA_DIR": str(tmp_path / "own")}
        code, out, err = await run(given, text=f"{endless}; SELECT 2 AS two")
        assert own.restarts == 1

    assert (code, out) == (1, " two\n-----\n   2\n(1 row)\n")
    assert "ERROR:  the connection was lost" in err


async def test_without_the_service_the_console_starts_the_engine(
    engine: Engine, environment: Environment, tmp_path: Path
) -> None:
    if not engine.embedded:
        pytest.skip("a server runs by itself")
    given = {**environment, "VIGIA_DATA_DIR": str(tmp_path / "new")}
    code, out, _ = await run(given, "--csv", "SELECT count(*) FROM catalogue")

    assert (code, out) == (0, "count\n0\n")


async def test_a_reader_who_has_seen_enough_is_no_error(
    pool: Pool, environment: Environment
) -> None:
    await fill(pool, count=20_000)
    command = (
        f"{sys.executable} -m vigia sql --csv 'TABLE metrics' | head -1; echo ${{PIPESTATUS[0]}}"
    )
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", command), env=environment, stdout=PIPE, stderr=PIPE
    )
    out, err = await process.communicate()

    assert out.decode().splitlines()[1:] == ["0"]
    assert err == b""


async def test_a_database_without_the_role_says_so(
    engine: Engine, server_url: str, environment: Environment
) -> None:
    if engine.embedded:
        pytest.skip("it has one user, who may do anything")
    name = f"vigia_plain_{os.getpid()}"
    async with await psycopg.AsyncConnection.connect(server_url, autocommit=True) as server:
        await server.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'p'".encode())
        await server.execute(f"CREATE DATABASE {name} OWNER {name}".encode())
        try:
            url = address(server_url, dbname=name, user=name, password="p")
            given = {**environment, "VIGIA_DATABASE_URL": url}
            code, _, err = await run(given, "SELECT 1")
        finally:
            await server.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
            await server.execute(f"DROP ROLE {name}".encode())

    assert code == 1
    assert 'permission denied to set role "vigia_reader"; an administrator must' in err


async def until_it_runs(pool: Pool) -> None:
    running = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    async with pool.connection() as connection, asyncio.timeout(TIMEOUT_S):
        while await (await connection.execute(running)).fetchone() == (0,):
            await asyncio.sleep(0.01)


async def test_at_the_prompt_a_person_asks_errs_gives_up_and_goes_on(
    pool: Pool, engine: Engine, environment: Environment, tmp_path: Path
) -> None:
    await fill(pool)
    async with terminal(environment, "sql") as person:
        await person.see("\\q quits.")
        await person.see("vigia=> ")
        person.type("SELECT count(*)\n")
        await person.see("vigia-> ")
        person.type("FROM metrics;\n")
        await person.see("     3\r\n(1 row)")
        await person.see("vigia=> ")

        await fill(pool, component="b")
        person.type("SELECT 'given up\n")
        await person.see("vigia-> ")
        person.process.send_signal(signal.SIGINT)
        await person.see("vigia=> ")
        person.type("SELECT nope;\n")
        await person.see('ERROR:  column "nope" does not exist')
        await person.see("vigia=> ")
        if not engine.embedded:
            person.type("SELECT pg_sleep(50);\n")
            await until_it_runs(pool)
            person.process.send_signal(signal.SIGINT)
            await person.see("Cancelled.")
            await person.see("vigia=> ")
        person.type("SELECT count(*) FROM metrics;\n")
        await person.see("     6\r\n(1 row)")
        await person.see("vigia=> ")
        person.type("\\q\n")
        async with asyncio.timeout(TIMEOUT_S):
            assert await person.process.wait() == 0

    assert "FROM metrics;" in (tmp_path / ".vigia_sql_history").read_text()


async def test_the_end_of_the_input_ends_the_prompt(environment: Environment) -> None:
    async with terminal(environment, "sql") as person:
        await person.see("vigia=> ")
        person.type("\x04")
        async with asyncio.timeout(TIMEOUT_S):
            assert await person.process.wait() == 0
