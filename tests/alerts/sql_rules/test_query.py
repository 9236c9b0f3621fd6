"""SQL rules: which results are usable, and what their SQL cannot do."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from resource import RUSAGE_SELF, getrusage
from time import monotonic

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from alerts.sql_rules import query
from alerts.sql_rules.collector import samples_of
from alerts.sql_rules.query import SqlRule, SqlRuleError
from db.engine import Engine
from db.queries import Connection, Pool
from model.rows import RowsError
from model.series import Category, Sample


@pytest.fixture
async def connection(pool: Pool, engine: Engine) -> AsyncIterator[Connection]:
    """A connection of the owner's, to a server that can guard questions."""
    if engine.embedded:
        pytest.skip("the embedded engine asks no questions of others")
    async with pool.connection() as opened:
        yield opened
        role = await query.queries.value(opened, query.ROLE)
        await opened.execute(f"DROP ROLE IF EXISTS {role}".encode())


@pytest.fixture
async def dsn(connection: Connection) -> str:
    return await query.open_login(connection)


NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def ask(dsn: str, sql: str) -> list[Sample]:
    """Ask a question, and return the samples of its rows."""
    rule = SqlRule(1, "own", "stuck", "shop", Category.TRADING, sql, has_failed=False)
    *rows, count = samples_of(rule, await query.ask(dsn, sql), NOW)
    assert count.value == len(rows)
    return rows


WIDE = ", ".join(f"repeat('x', 249) || i AS label_{number}" for number in range(8))


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT 'a' AS value", "value is not a number"),
        ("SELECT '{}'::json AS value", "value is not a number"),
        ("SELECT 1 AS label_x", "the query returns no value column"),
        ("SELECT 'NaN'::float8 AS value", "value is not a number"),
        ("SELECT 1e200 AS value", "value is 1e+200, which cannot be stored; write a value from"),
        (
            "SELECT 1 AS value, 2 AS other",
            "column other is not allowed; name it value, component or label_",
        ),
        (
            "SELECT 1 AS value FROM generate_series(1, 2)",
            "two rows of stuck have the same component and labels: none",
        ),
        ("SELECT i AS value, i AS label_i FROM generate_series(1, 1001) i", "more than 1000 rows"),
        ("SELECT 1 AS value, repeat('x', 20000) AS label_x", "more than 10,000 characters"),
        ("SELECT 1 AS value, repeat('x', 1025) AS label_x", "label_x contains control characters"),
        ("SELECT 1 AS value, repeat('x', 1025) AS label_x", "or more than 1024 bytes"),
        ("SELECT 1 AS value, repeat('x', 251) AS component", "or more than 250 characters"),
        (
            "SELECT 1 AS value, repeat('x', 1000) AS label_x, repeat('y', 1000) AS label_y",
            "the component and labels of a row have more than 2000 bytes together",
        ),
        ("SELECT 1 AS value, E'a\\nb' AS label_x", "control characters"),
        ("SELECT 1 AS value, 2 AS label_", "the column label_ names no label"),
        ("SELECT 1 AS value\nFROM nowhere", 'line 2: relation "nowhere" does not exist'),
        ("SELECT 1 / 0 AS value", "division by zero"),
        ("SELECT 1e400::numeric + 0.5 AS value", "a row cannot be read: Number out of range"),
        (
            "SELECT 1 AS value, (repeat('[', 5000) || repeat(']', 4000)) AS label_x",
            "more than 1024 bytes",
        ),
        ("SELECT (repeat('[', 2000) || repeat(']', 2000))::json AS value", "a row cannot be read"),
        ("SELECT 1 AS value, '[]'::json AS component FROM generate_series(1, 2)", "two rows of"),
        (
            "SELECT 1 AS question",
            "column question is not allowed; name it value, component or label_",
        ),
        (f"SELECT i AS value, {WIDE} FROM generate_series(1, 1000) i", "more than 1,000,000 char"),
        ("SELECT 1 AS value;", "syntax error"),
        ("SELECT 1 AS value)\n  AS question, (SELECT 2", "line 1: syntax error"),
        ("SELECT 1 AS value -- ; and no more", ""),
        ("WITH a AS (SELECT 1 AS value) TABLE a", ""),
        ("SELECT 5 % 3 AS value, '%(x)s' AS label_x", ""),
    ],
)
async def test_an_answer_that_is_none_is_refused_with_its_reason(
    dsn: str, sql: str, reason: str
) -> None:
    if not reason:
        assert len(await ask(dsn, sql)) == 1
        return
    with pytest.raises((SqlRuleError, RowsError)) as caught:
        await ask(dsn, sql)
    assert reason in str(caught.value)


async def test_a_row_is_a_sample_of_what_it_names(dsn: str) -> None:
    sql = """SELECT * FROM (VALUES (1, 'x', 'a', 1.50), (2.5, NULL, '', NULL), (NULL, 'z', 'b', 3))
             AS rows (value, component, label_a, label_b)"""
    found = await ask(dsn, sql)

    assert {sample.time for sample in found} == {NOW}
    assert [(s.series.component, s.series.labels, s.value) for s in found] == [
        ("x", (("a", "a"), ("b", "1.5")), 1),
        ("shop", (), 2.5),
    ]
    assert [s.value for s in await ask(dsn, "SELECT true AS value")] == [1]
    assert await ask(dsn, "SELECT 1 AS value WHERE false") == []


@pytest.mark.parametrize(
    "sql",
    [
        """SELECT 1 AS value) AS question UNION ALL SELECT repeat('x', 100000000)
        FROM generate_series(1, 50) UNION ALL SELECT left('', 1) FROM (SELECT 1""",
        """SELECT 1 AS value) AS q UNION ALL SELECT '{"value": 7}' FROM (SELECT 1""",
        "SELECT 1 AS value) AS question LIMIT 1 --",
        "SELECT 1 AS value) AS question, LATERAL (SELECT 1 /*",
    ],
)
async def test_sql_that_closes_the_surrounding_parenthesis_is_refused(dsn: str, sql: str) -> None:
    """Else it would return as much as it likes, whatever is allowed."""
    with pytest.raises(SqlRuleError, match=r"syntax error|unterminated"):
        await query.ask(dsn, sql)


async def test_neither_rows_nor_errors_are_too_large(dsn: str) -> None:
    """Who asks would have to hold them, and be ended with all else that it does."""
    before = getrusage(RUSAGE_SELF).ru_maxrss
    for sql, reason in (
        (
            "SELECT repeat('x', 30000000)::int AS value",
            'invalid input syntax for type integer: "xxx',
        ),
        ("SELECT repeat('x', 30000000) AS label_x FROM generate_series(1, 9)", "than 10,000 char"),
        (
            "SELECT 1 AS value, repeat('x', 9000) AS label_x FROM generate_series(1, 1000)",
            "together",
        ),
        ("SELECT set_config('search_path', repeat('x', 30000000), false)", ""),
    ):
        with pytest.raises(SqlRuleError) as caught:
            await ask(dsn, sql)
        assert reason in str(caught.value)
        assert len(str(caught.value)) <= 500
    assert getrusage(RUSAGE_SELF).ru_maxrss - before < 20_000, "KiB; one alone would be more"


FOREVER = [
    "SELECT 1 AS value FROM pg_sleep(600)",
    "SELECT count(*) AS value FROM generate_series(1, 1000000000000)",
    "WITH RECURSIVE a(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM a) SELECT max(n) AS value FROM a",
    "SELECT count(*) AS value FROM generate_series(1, 100000) a, generate_series(1, 100000) b",
    "SELECT length(repeat('x', 1000000000) || repeat('y', 70000000)) AS value",
    "SELECT length(factorial(300000)::text) AS value",
    "SELECT count(set_config('statement_timeout', '0', false)) AS value FROM pg_sleep(60)",
    "SELECT cardinality(array_agg(md5(i::text))) AS value FROM generate_series(1, 1000000000) i",
    "SELECT 1 AS value FROM (SELECT md5(i::text) FROM generate_series(1, 100000000) i ORDER BY 1)",
    "SELECT 1 AS value FROM pg_sleep_until(now() + interval '1 hour')",
]
REFUSED = [
    "SELECT 1 AS value; DROP TABLE series",
    "SELECT 1 AS value) AS a; DELETE FROM series; SELECT 1 FROM (SELECT 1",
    "DELETE FROM series",
    "INSERT INTO components (component) VALUES ('x')",
    "WITH gone AS (DELETE FROM system_alerts RETURNING 1) SELECT 1 AS value FROM gone",
    "CREATE TABLE mine (a int)",
    "CREATE TEMP TABLE mine AS SELECT 1",
    "COPY (SELECT 1) TO PROGRAM 'id'",
    "DO $$ BEGIN PERFORM 1; END $$",
    "CALL maintain()",
    "SET ROLE vigia",
    "RESET ROLE",
    "SET statement_timeout = 0",
    "LISTEN vigia",
    "LOCK TABLE series",
    "EXPLAIN ANALYZE SELECT 1",
    "PREPARE a AS SELECT 1",
    "COMMIT",
    "/*",
    "",
    "SELECT count(*) AS value FROM api_keys",
    "SELECT count(*) AS value FROM system_metrics",
    "SELECT count(*) AS value FROM alert_rules",
    "SELECT count(*) AS value FROM monitoring_config",
    "SELECT 1 AS value FROM alerts FOR UPDATE",
    "SELECT length(pg_read_file('PG_VERSION')) AS value",
    "SELECT count(*) AS value FROM pg_ls_dir('.')",
    "SELECT lo_import('/etc/passwd')::int AS value",
    "SELECT lo_creat(-1)::int AS value",
    "SELECT count(*) AS value FROM pg_authid",
    "SELECT count(*) AS value FROM dblink('host=127.0.0.1', 'SELECT 1') AS t (a int)",
    "SELECT open_sql_rule_login('x', 'y')::text::int AS value",
    "SELECT set_config('role', 'vigia', true)::int AS value",
    "SELECT set_config('transaction_read_only', 'off', true)::int AS value",
    "SELECT set_config('default_transaction_read_only', 'off', false)::int AS value",
    "SELECT pg_reload_conf()::int AS value",
    "SELECT count(pg_terminate_backend(pid)) AS value FROM pg_stat_activity WHERE usename <> user",
    "SELECT pg_switch_wal()::text::int AS value",
    "SELECT query_to_xml('DELETE FROM series', true, true, '')::text::int AS value",
    "SELECT pg_sleep(0)::text::int AS value",
]


@pytest.mark.parametrize("sql", FOREVER)
async def test_a_sql_rule_without_an_end_is_ended(
    connection: Connection, dsn: str, sql: str
) -> None:
    began = monotonic()
    with pytest.raises(SqlRuleError):
        await query.ask(dsn, sql, timeout_s=1)
    assert monotonic() - began < 1.2 + 0.8, "the machine may be busy; a minute would be a failure"
    await nothing_is_left(connection)


async def test_forty_hostile_sql_rules_get_and_leave_nothing(
    connection: Connection, dsn: str
) -> None:
    answered = []
    for sql in REFUSED:
        try:
            answered.append((sql, await query.ask(dsn, sql, timeout_s=1)))
        except SqlRuleError:
            continue
    assert answered == []
    assert len(REFUSED) + len(FOREVER) >= 40
    await nothing_is_left(connection)


async def nothing_is_left(connection: Connection) -> None:
    """No session, lock or table of the login."""
    role = await query.queries.value(connection, query.ROLE)
    cursor = await connection.execute(
        "SELECT (SELECT count(*) FROM pg_stat_activity WHERE usename = %(r)s AND state = 'active'),"
        " (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
        "  AND pid IN (SELECT pid FROM pg_stat_activity WHERE usename = %(r)s)),"
        " (SELECT count(*) FROM pg_class WHERE relowner = %(r)s::regrole)",
        {"r": role},
    )
    assert await cursor.fetchone() == (0, 0, 0)


async def test_locks_and_notices_end_with_the_sql_rule(dsn: str, engine: Engine) -> None:
    with pytest.raises(SqlRuleError, match="permission denied"):
        await query.ask(dsn, "SELECT 1 AS value FROM pg_advisory_lock(7)")
    for sql in (
        "SELECT 1 AS value FROM (SELECT pg_notify('vigia', 'boo'))",
        "SELECT 1 AS value FROM (SELECT set_config('search_path', 'x', false))",
    ):
        async with await psycopg.AsyncConnection.connect(engine.dsn, autocommit=True) as ear:
            await ear.execute("LISTEN vigia")
            assert [sample.value for sample in await ask(dsn, sql)] == [1]
            # A session that was left ends by itself, a moment later.
            await ear.execute("SET lock_timeout = '5s'")
            await ear.execute("SELECT pg_advisory_lock(7)")
            assert [notice async for notice in ear.notifies(timeout=0.05)] == []


async def test_the_login_is_good_for_a_minute(connection: Connection) -> None:
    """And its password, of which the server has a digest, is another each time."""
    statement = (
        "SELECT rolpassword, rolvaliduntil - now() BETWEEN '0' AND interval '1 minute' "
        "FROM pg_authid WHERE rolname = %s"
    )
    seen = []
    for _ in range(2):
        dsn = conninfo_to_dict(await query.open_login(connection))
        cursor = await connection.execute(statement, [dsn["user"]])
        [digest, is_short] = await cursor.fetchone() or ["", False]
        assert is_short
        assert digest.startswith("SCRAM-SHA-256$")
        assert str(dsn["password"]) not in digest
        seen.append(digest)
    assert seen[0] != seen[1]


async def test_a_login_that_could_do_more_is_not_used(connection: Connection, dsn: str) -> None:
    role = await query.queries.value(connection, query.ROLE)
    for power in ("CREATEROLE", "CREATEDB", "BYPASSRLS"):
        await connection.execute(f"ALTER ROLE {role} {power}".encode())
        with pytest.raises(SqlRuleError, match="has more rights than reading"):
            await query.ask(dsn, "SELECT 1 AS value")
        await connection.execute(f"ALTER ROLE {role} NO{power}".encode())
    await connection.execute(f"GRANT pg_read_all_data TO {role}".encode())
    with pytest.raises(SqlRuleError, match="has more rights than reading"):
        await query.ask(dsn, "SELECT 1 AS value")


async def test_nobody_is_asked_as_the_owner(engine: Engine) -> None:
    """On the embedded engine everybody is."""
    with pytest.raises(SqlRuleError, match="has more rights than reading"):
        await query.ask(engine.dsn, "SELECT 1 AS value")
