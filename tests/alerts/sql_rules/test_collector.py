"""SQL rules: the alerts that they raise, and what their SQL cannot do."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from time import monotonic

import pytest
from msgspec import structs
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool

from alerts.rules import changes as rule_set
from alerts.rules import store as rules
from alerts.rules.model import Rule
from alerts.sql_rules import query
from alerts.sql_rules.collector import SqlRuleCollector
from alerts.sql_rules.query import SqlRuleError
from db.engine import Engine
from db.queries import Connection, Pool
from model.errors import ConflictError
from model.series import Category, Sample
from model.severity import Level
from samples.insert import insert
from samples.series import SeriesNumbers
from tests.alerts.simulation import Simulation, instance, minute

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


class Asking(Simulation):
    """A simulation whose minutes run SQL rules before they are evaluated."""

    def __init__(self, connection: Connection, pool: Pool) -> None:
        super().__init__(connection)
        self.put: list[Sample] = []
        self.asker = SqlRuleCollector(pool, self.put.extend, timeout_s=0.5)

    async def minute(self, *values: float) -> list[str]:
        """Let a minute pass as it does in the service; return what is open, with its level."""
        self.now += 1
        self.put.clear()
        await self.measure({instance(number): [value] for number, value in enumerate(values)})
        await self.asker.run(minute(self.now - 1))
        async with self.connection.transaction():
            await insert(self.connection, SeriesNumbers(), self.put)
        await self.announce()
        return sorted(f"{a.rule} {a.component} {a.level}" for a in await self.active())


@pytest.fixture
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    async with pool.connection() as opened:
        yield opened


@pytest.fixture
async def simulation(connection: Connection, pool: Pool, engine: Engine) -> AsyncIterator[Asking]:
    if engine.embedded:
        pytest.skip("the embedded engine asks no questions of others")
    yield Asking(connection, pool)
    role = await query.queries.value(connection, query.ROLE)
    await connection.execute(f"DROP ROLE IF EXISTS {role}".encode())


async def login(simulation: Asking) -> str:
    return await query.open_login(simulation.connection)


async def test_each_row_is_something_to_alert_about(simulation: Asking) -> None:
    """Its value is compared, moves the alert, and what is no longer returned is well."""
    await simulation.minute(10, 1)
    query = (
        "SELECT component, metric AS label_what, {} AS value FROM catalogue "
        "WHERE metric = 'load' AND {} ORDER BY component"
    )
    await simulation.add(rule_of(query.format("10 * right(component, 1)::int + 3", "true")))
    assert await simulation.minute() == ["own thing-01 warning"]
    [alert] = await simulation.active()
    assert (alert.labels, alert.value, alert.threshold) == ({"what": "load"}, 13, 5)
    assert alert.message == "Answers of own (what load) at 13 (limit 5)"

    more_severe = rule_of(query.format("60", "right(component, 1)::int = 1"))
    await rules.update(simulation.connection, more_severe, minute(1), "ana")
    assert await simulation.minute() == ["own thing-01 critical"]

    none = rule_of(query.format("60", "false"))
    await rules.update(simulation.connection, none, minute(2), "ana")
    assert await simulation.minute() == []


async def test_an_answer_belongs_to_the_rule_s_component_or_to_the_rules(
    simulation: Asking,
) -> None:
    """And to its category; a row without a value says nothing."""
    sql = "VALUES (7.5, 'a'), (NULL, 'b')"
    await simulation.add(
        rule_of(f"SELECT column1 AS value, column2 AS label_x FROM ({sql})"),
        rule_of("SELECT 8 AS value", "two", component="shop", category=Category.TRADING),
    )
    assert await simulation.minute() == ["own rules warning", "two shop warning"]
    assert {a.rule: (a.category, a.labels) for a in await simulation.active()} == {
        "own": (Category.SYSTEM, {"x": "a"}),
        "two": (Category.TRADING, {}),
    }


async def test_a_hopeless_sql_rule_says_so_once_and_the_others_are_evaluated(
    simulation: Asking,
) -> None:
    """However often it is asked; and it is well with its first answer."""
    await simulation.add(rule_of(SLEEPS, "hopeless"), rule_of("SELECT 7 AS value", "good"))
    await simulation.add(Rule(name="plain", metric="load", levels={Level.INFO: 1}))
    expected = ["good rules warning", "plain thing-00 info", "rule-error  warning"]
    for _ in range(7):
        assert await simulation.minute(10) == expected
    [reported] = [a for a in await simulation.active() if a.rule == "rule-error"]
    assert (reported.opened_at, reported.message) == (minute(1), "no answer within 0.5 s")

    well = rule_of("SELECT 1 AS value", "hopeless")
    await simulation.connection.execute(
        "UPDATE alert_rules SET sql = %s WHERE name = %s", [well.sql, well.name]
    )
    assert await simulation.minute(10) == ["good rules warning", "plain thing-00 info"]


async def test_a_sql_rule_that_cannot_be_interrupted_keeps_nobody_waiting(
    simulation: Asking,
) -> None:
    """The server looks at its signals between expressions; until then its rule is not asked."""
    md5s = " || ".join(f"md5(r || '{number}')" for number in range(40))
    sql = f"SELECT length({md5s}) AS value FROM (SELECT repeat('x', 60000000) AS r OFFSET 0) AS x"
    await simulation.add(rule_of(sql, "stubborn"), rule_of("SELECT 7 AS value", "good"))

    began = monotonic()
    assert await simulation.minute() == ["good rules warning", "rule-error  warning"]
    assert monotonic() - began < 0.5 + query.GRACE_S + query.END_S + 1, "5 s more before"

    before = simulation.put[:]
    assert await simulation.minute() == ["good rules warning", "rule-error  warning"]
    cursor = await simulation.connection.execute(
        "SELECT error FROM alert_rules WHERE name = 'stubborn'"
    )
    assert await cursor.fetchone() == ("its earlier statement still runs in the database",)
    assert simulation.asker.lingering == 1
    assert len(before) == 2

    dsn = await login(simulation)
    async with asyncio.timeout(30):
        while await query.end_late(dsn, 0.5):
            await asyncio.sleep(0.1)
    await simulation.minute()
    assert simulation.asker.lingering == 0


async def test_an_odd_answer_is_in_nobody_s_way(simulation: Asking) -> None:
    odd = ("SELECT 1e400::numeric + 0.5 AS value", "SELECT 1 AS question")
    await simulation.add(*(rule_of(sql, f"odd{i}") for i, sql in enumerate(odd)))
    await simulation.add(rule_of("SELECT 7 AS value", "good"))
    expected = ["good rules warning", "rule-error  warning", "rule-error  warning"]
    assert await simulation.minute() == expected


async def test_an_unexpected_error_quarantines_only_the_rule_that_caused_it(
    simulation: Asking,
) -> None:
    """Python cannot send half of a character, which no rule holds; it stands for all the others."""
    await simulation.add(rule_of("SELECT 7 AS value"))
    [one] = await query.due(simulation.connection)
    strange = structs.replace(one, sql="SELECT '\ud800'")
    dsn = await login(simulation)
    outcome = await simulation.asker.ask(dsn, strange, minute(0))
    assert isinstance(outcome, SqlRuleError)
    assert str(outcome).startswith("UnicodeEncodeError: ")


async def test_a_rule_that_is_off_is_not_asked(simulation: Asking) -> None:
    await simulation.add(rule_of("SELECT 7 AS value", enabled=False))
    assert await simulation.minute() == []
    assert simulation.put == []


async def test_a_rule_that_ends_sessions_of_others_only_ends_their_connections(
    simulation: Asking,
) -> None:
    """Those are asked once more, alone."""
    killer = (
        "SELECT 0 * count(pg_terminate_backend(pid)) AS value FROM pg_stat_activity, pg_sleep(0.1) "
        "WHERE usename = user AND pid <> pg_backend_pid()"
    )
    slow = "SELECT 7 AS value FROM pg_sleep(0.3)"
    await simulation.add(*(rule_of(slow, f"slow{i}") for i in range(3)), rule_of(killer, "killer"))
    assert await simulation.minute() == [f"slow{i} rules warning" for i in range(3)]


async def test_one_of_several_replicas_asks(simulation: Asking, pool: Pool) -> None:
    """Two would change the password under each other's questions."""
    await simulation.add(
        *(rule_of("SELECT 7 AS value FROM pg_sleep(0.1)", f"r{i}") for i in range(4))
    )
    others = [SqlRuleCollector(pool, simulation.put.extend) for _ in range(3)]
    for number in range(3):
        simulation.put.clear()
        await asyncio.gather(*(one.run(minute(number)) for one in others))
        assert [sample.value for sample in simulation.put] == [7, 1] * 4
    cursor = await simulation.connection.execute("SELECT count(error) FROM alert_rules")
    assert await cursor.fetchone() == (0,)


async def test_a_clock_that_was_set_back_far_is_believed(simulation: Asking) -> None:
    for at, is_ours in ((500, True), (500, False), (499, False), (439, True), (440, True)):
        assert await query.claim(simulation.connection, minute(at)) == is_ours


async def test_results_are_stored_even_if_the_run_is_cut_short(simulation: Asking) -> None:
    await simulation.add(rule_of("SELECT 7 AS value", "good"), rule_of(SLEEPS, "slow"))
    asker = structs.replace(simulation.asker, timeout_s=60.0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await asker.run(minute(0))
    assert [sample.value for sample in simulation.put] == [7, 1]


async def test_a_user_without_the_right_to_create_roles_gets_the_reason(
    simulation: Asking, engine: Engine
) -> None:
    await simulation.add(rule_of("SELECT 7 AS value"))
    await simulation.connection.execute("CREATE ROLE vigia_weak_asker")
    try:
        await simulation.connection.execute(
            "GRANT SELECT, UPDATE ON alert_rules, sql_rule_clock TO vigia_weak_asker;"
            "GRANT EXECUTE ON FUNCTION open_sql_rule_login TO vigia_weak_asker"
        )
        dsn = make_conninfo(engine.dsn, options="-c role=vigia_weak_asker")
        async with AsyncConnectionPool(dsn, min_size=1, kwargs={"autocommit": True}) as weak:
            await SqlRuleCollector(weak, simulation.put.extend).run(minute(0))
    finally:
        await simulation.connection.execute("DROP OWNED BY vigia_weak_asker")
        await simulation.connection.execute("DROP ROLE vigia_weak_asker")
    cursor = await simulation.connection.execute("SELECT error FROM alert_rules WHERE name = 'own'")
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
    reported = await refused(connection, rule_of("SELECT 1 AS value"))
    assert "need a TimescaleDB server (set VIGIA_DATABASE_URL)" in reported


async def test_there_are_as_many_as_are_asked_in_time_and_none_share_a_name(
    simulation: Asking,
) -> None:
    many: Sequence[Rule] = [rule_of("SELECT 1 AS value", f"r{i}") for i in range(51)]
    assert "at most 50 rules" in await refused(simulation.connection, *many)
    twice = rule_of("SELECT 1 AS value", "other")
    double = structs.replace(twice, name="double")
    assert "another rule of kind 'sql'" in await refused(simulation.connection, twice, double)
