"""Rules in SQL of their own: what they raise, and what none of them can do."""

from collections.abc import AsyncIterator, Sequence
from time import monotonic

import psycopg
import pytest
from msgspec import structs
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import AsyncConnectionPool

from alerts.questions import Asker
from db import questions, rule_set, rules
from db.engine import Engine
from db.queries import Connection, Pool
from db.questions import Answer, QuestionError
from db.rules import Rule
from db.series import SeriesNumbers
from db.writer import insert
from tests.alerts.world import World, minute, thing
from vigia.model import Category, ConflictError, Level, Sample

SLEEPS = "SELECT 1 AS value FROM pg_sleep(600)"


def rule_of(sql: str, name: str = "own", **more: object) -> Rule:
    return Rule(
        name=name,
        kind="sql",
        metric=f"answers_of_{name}",
        sql=sql,
        no_data="ok",
        levels={Level.WARNING: 5, Level.CRITICAL: 50},
        **more,  # type: ignore[arg-type]
    )


class Asking(World):
    """A world whose minutes ask the questions of rules before they are evaluated."""

    def __init__(self, connection: Connection, pool: Pool) -> None:
        super().__init__(connection)
        self.put: list[Sample] = []
        self.asker = Asker(pool, self.put.extend, timeout_s=0.5)

    async def minute(self, *values: float) -> list[str]:
        """Let a minute pass as it does in the service; return what is open, with its level."""
        self.now += 1
        self.put.clear()
        await self.measure({thing(number): [value] for number, value in enumerate(values)})
        await self.asker.turn(minute(self.now - 1))
        async with self.connection.transaction():
            await insert(self.connection, SeriesNumbers(), self.put)
        await self.announce()
        return sorted(f"{a.rule} {a.component} {a.level}" for a in await self.active())


@pytest.fixture
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    async with pool.connection() as opened:
        yield opened


@pytest.fixture
async def world(connection: Connection, pool: Pool, engine: Engine) -> AsyncIterator[Asking]:
    if engine.embedded:
        pytest.skip("the embedded engine asks no questions of others")
    yield Asking(connection, pool)
    role = await questions.queries.value(connection, questions.ROLE)
    await connection.execute(f"DROP ROLE IF EXISTS {role}".encode())


async def login(world: Asking) -> str:
    return await questions.open_login(world.connection)


async def test_each_row_is_something_to_alert_about(world: Asking) -> None:
    """Its value is compared, moves the alert, and what is no longer returned is well."""
    await world.minute(10, 1)
    query = (
        "SELECT component, metric AS label_what, {} AS value FROM catalogue "
        "WHERE metric = 'load' AND {} ORDER BY component"
    )
    await world.add(rule_of(query.format("10 * right(component, 1)::int + 3", "true")))
    assert await world.minute() == ["own thing-01 warning"]
    [alert] = await world.active()
    assert (alert.labels, alert.value, alert.threshold) == ({"what": "load"}, 13, 5)
    assert alert.message == 'answers_of_own{what="load"} is 13.00, above 5'

    louder = rule_of(query.format("60", "right(component, 1)::int = 1"))
    await rules.update(world.connection, louder, minute(1), "ana")
    assert await world.minute() == ["own thing-01 critical"]

    none = rule_of(query.format("60", "false"))
    await rules.update(world.connection, none, minute(2), "ana")
    assert await world.minute() == []


async def test_an_answer_belongs_to_the_rule_s_component_or_to_the_rules(world: Asking) -> None:
    """And to its category; a row without a value says nothing."""
    sql = "VALUES (7.5, 'a'), (NULL, 'b')"
    await world.add(
        rule_of(f"SELECT column1 AS value, column2 AS label_x FROM ({sql})"),
        rule_of("SELECT 8 AS value", "two", component="shop", category=Category.TRADING),
    )
    assert await world.minute() == ["own rules warning", "two shop warning"]
    assert {a.rule: (a.category, a.labels) for a in await world.active()} == {
        "own": (Category.SYSTEM, {"x": "a"}),
        "two": (Category.TRADING, {}),
    }


async def test_a_hopeless_question_says_so_once_and_the_others_are_evaluated(
    world: Asking,
) -> None:
    """However often it is asked; and it is well with its first answer."""
    await world.add(rule_of(SLEEPS, "hopeless"), rule_of("SELECT 7 AS value", "good"))
    await world.add(Rule(name="plain", metric="load", levels={Level.INFO: 1}))
    expected = ["good rules warning", "plain thing-00 info", "rule-error  warning"]
    for _ in range(7):
        assert await world.minute(10) == expected
    [told] = [a for a in await world.active() if a.rule == "rule-error"]
    assert (told.opened_at, told.message) == (minute(1), "no answer within 0.5 s")

    well = rule_of("SELECT 1 AS value", "hopeless")
    await world.connection.execute(
        "UPDATE alert_rules SET sql = %s WHERE name = %s", [well.sql, well.name]
    )
    assert await world.minute(10) == ["good rules warning", "plain thing-00 info"]


async def test_a_rule_that_is_off_is_not_asked(world: Asking) -> None:
    await world.add(rule_of("SELECT 7 AS value", enabled=False))
    assert await world.minute() == []
    assert world.put == []


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT 'a' AS value", "value is no number"),
        ("SELECT true AS value", "value is no number"),
        ("SELECT 'NaN'::float8 AS value", "value is no number"),
        ("SELECT 1e200 AS value", "value is no number that can be stored: 1000"),
        ("SELECT 1 AS value, 2 AS other", "column other is neither value, component nor label_"),
        ("SELECT 1 AS value FROM generate_series(1, 2)", "two rows have the same component"),
        ("SELECT i AS value, i AS label_i FROM generate_series(1, 1001) i", "more than 1000 rows"),
        ("SELECT 1 AS value, repeat('x', 20000) AS label_x", "more than 10000 characters"),
        ("SELECT 1 AS value, repeat('x', 300) AS label_x", "or more than 250"),
        ("SELECT 1 AS value, E'a\\nb' AS label_x", "control characters"),
        ("SELECT 1 AS value, 2 AS label_", "one without a name"),
        ("SELECT 1 AS value\nFROM nowhere", 'line 2: relation "nowhere" does not exist'),
        ("SELECT 1 / 0 AS value", "division by zero"),
        ("SELECT 1 AS value -- ; and no more", ""),
        ("WITH a AS (SELECT 1 AS value) TABLE a", ""),
        ("SELECT 5 % 3 AS value, '%(x)s' AS label_x", ""),
    ],
)
async def test_an_answer_that_is_none_is_refused_with_its_reason(
    world: Asking, sql: str, reason: str
) -> None:
    dsn = await login(world)
    if not reason:
        assert len(await questions.ask(dsn, sql)) == 1
        return
    with pytest.raises(QuestionError) as caught:
        await questions.ask(dsn, sql)
    assert reason in str(caught.value)


FOREVER = [
    SLEEPS,
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
    "SELECT open_questions('x', 'y')::text::int AS value",
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
async def test_a_question_without_an_end_is_ended(world: Asking, sql: str) -> None:
    dsn = await login(world)
    began = monotonic()
    with pytest.raises(QuestionError):
        await questions.ask(dsn, sql, timeout_s=1)
    assert monotonic() - began < 1.2 + 0.8, "the machine may be busy; a minute would be a failure"
    await nothing_is_left(world.connection)


async def test_forty_hostile_questions_get_and_leave_nothing(world: Asking) -> None:
    dsn = await login(world)
    answered = []
    for sql in REFUSED:
        try:
            answered.append((sql, await questions.ask(dsn, sql, timeout_s=1)))
        except QuestionError:
            continue
    assert answered == []
    assert len(REFUSED) + len(FOREVER) >= 40
    await nothing_is_left(world.connection)


async def nothing_is_left(connection: Connection) -> None:
    """No session, lock or table of the login."""
    role = await questions.queries.value(connection, questions.ROLE)
    cursor = await connection.execute(
        "SELECT (SELECT count(*) FROM pg_stat_activity WHERE usename = %(r)s AND state = 'active'),"
        " (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
        "  AND pid IN (SELECT pid FROM pg_stat_activity WHERE usename = %(r)s)),"
        " (SELECT count(*) FROM pg_class WHERE relowner = %(r)s::regrole)",
        {"r": role},
    )
    assert await cursor.fetchone() == (0, 0, 0)


async def test_locks_and_notices_end_with_the_question(world: Asking, engine: Engine) -> None:
    dsn = await login(world)
    for sql in (
        "SELECT 1 AS value FROM pg_advisory_lock(7)",
        "SELECT 1 AS value FROM (SELECT pg_notify('vigia', 'boo'))",
        "SELECT 1 AS value FROM (SELECT set_config('search_path', 'x', false))",
    ):
        async with await psycopg.AsyncConnection.connect(engine.dsn, autocommit=True) as ear:
            await ear.execute("LISTEN vigia")
            assert await questions.ask(dsn, sql) == [Answer(None, (), 1)]
            # A session that was left ends by itself, a moment later.
            await ear.execute("SET lock_timeout = '5s'")
            await ear.execute("SELECT pg_advisory_lock(7)")
            assert [notice async for notice in ear.notifies(timeout=0.05)] == []


async def test_who_ends_others_questions_ends_only_their_connections(world: Asking) -> None:
    """Those are asked once more, alone."""
    killer = (
        "SELECT 0 * count(pg_terminate_backend(pid)) AS value FROM pg_stat_activity, pg_sleep(0.1) "
        "WHERE usename = user AND pid <> pg_backend_pid()"
    )
    slow = "SELECT 7 AS value FROM pg_sleep(0.3)"
    await world.add(*(rule_of(slow, f"slow{i}") for i in range(3)), rule_of(killer, "killer"))
    assert await world.minute() == [f"slow{i} rules warning" for i in range(3)]


async def test_the_login_is_good_for_a_minute(world: Asking) -> None:
    """And its password, of which the server has a digest, is another each time."""
    query = (
        "SELECT rolpassword, rolvaliduntil - now() BETWEEN '0' AND interval '1 minute' "
        "FROM pg_authid WHERE rolname = %s"
    )
    seen = []
    for _ in range(2):
        dsn = conninfo_to_dict(await login(world))
        cursor = await world.connection.execute(query, [dsn["user"]])
        [digest, is_short] = await cursor.fetchone() or ["", False]
        assert is_short
        assert digest.startswith("SCRAM-SHA-256$")
        assert str(dsn["password"]) not in digest
        seen.append(digest)
    assert seen[0] != seen[1]


async def test_a_login_that_could_do_more_is_not_used(world: Asking) -> None:
    dsn = await login(world)
    role = await questions.queries.value(world.connection, questions.ROLE)
    for power in ("CREATEROLE", "CREATEDB", "BYPASSRLS"):
        await world.connection.execute(f"ALTER ROLE {role} {power}".encode())
        with pytest.raises(QuestionError, match="may do more than read"):
            await questions.ask(dsn, "SELECT 1 AS value")
        await world.connection.execute(f"ALTER ROLE {role} NO{power}".encode())
    await world.connection.execute(f"GRANT pg_read_all_data TO {role}".encode())
    with pytest.raises(QuestionError, match="may do more than read"):
        await questions.ask(dsn, "SELECT 1 AS value")


async def test_nobody_is_asked_as_the_owner(engine: Engine) -> None:
    """On the embedded engine everybody is."""
    with pytest.raises(QuestionError, match="may do more than read"):
        await questions.ask(engine.dsn, "SELECT 1 AS value")


async def test_who_may_make_no_roles_is_told(world: Asking, engine: Engine) -> None:
    await world.add(rule_of("SELECT 7 AS value"))
    await world.connection.execute("CREATE ROLE vigia_weak_asker")
    try:
        await world.connection.execute(
            "GRANT SELECT, UPDATE ON alert_rules TO vigia_weak_asker;"
            "GRANT EXECUTE ON FUNCTION open_questions TO vigia_weak_asker"
        )
        dsn = make_conninfo(engine.dsn, options="-c role=vigia_weak_asker")
        async with AsyncConnectionPool(dsn, min_size=1, kwargs={"autocommit": True}) as weak:
            await Asker(weak, world.put.extend).turn(minute(0))
    finally:
        await world.connection.execute("DROP OWNED BY vigia_weak_asker")
        await world.connection.execute("DROP ROLE vigia_weak_asker")
    cursor = await world.connection.execute("SELECT error FROM alert_rules WHERE name = 'own'")
    [error] = await cursor.fetchone() or [""]
    assert error.startswith("rules of kind 'sql' need a role: ")


async def refused(connection: Connection, *some: Rule) -> str:
    with pytest.raises(ConflictError) as caught:  # noqa: PT012 (what was inserted has to go again)
        async with connection.transaction():
            for rule in some:
                await rules.insert(connection, rule, minute(0), "ana")
            await rule_set.check(connection, [rule.name for rule in some])
    return str(caught.value)


async def test_questions_need_an_engine_that_can_guard_them(
    connection: Connection, engine: Engine
) -> None:
    if not engine.embedded:
        pytest.skip("a server can")
    told = await refused(connection, rule_of("SELECT 1 AS value"))
    assert "need a TimescaleDB server (VIGIA_DATABASE_URL)" in told


async def test_there_are_as_many_as_are_asked_in_time_and_none_share_a_name(world: Asking) -> None:
    many: Sequence[Rule] = [rule_of("SELECT 1 AS value", f"r{i}") for i in range(51)]
    assert "there may be 50 rules" in await refused(world.connection, *many)
    twice = rule_of("SELECT 1 AS value", "other")
    double = structs.replace(twice, name="double")
    assert "another rule of kind 'sql'" in await refused(world.connection, twice, double)
