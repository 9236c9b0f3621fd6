"""Rules in SQL of their own: what they raise, and what none of them can do."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from time import monotonic

import pytest
from msgspec import structs
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool

from alerts.questions import Asker
from db import questions, rule_set, rules
from db.engine import Engine
from db.queries import Connection, Pool
from db.questions import QuestionError
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


async def test_a_question_that_cannot_be_interrupted_keeps_nobody_waiting(world: Asking) -> None:
    """The server looks at its signals between expressions; until then its rule is not asked."""
    md5s = " || ".join(f"md5(r || '{number}')" for number in range(40))
    sql = f"SELECT length({md5s}) AS value FROM (SELECT repeat('x', 60000000) AS r OFFSET 0) AS x"
    await world.add(rule_of(sql, "stubborn"), rule_of("SELECT 7 AS value", "good"))

    began = monotonic()
    assert await world.minute() == ["good rules warning", "rule-error  warning"]
    assert monotonic() - began < 0.5 + questions.GRACE_S + questions.END_S + 1, "5 s more before"

    before = world.put[:]
    assert await world.minute() == ["good rules warning", "rule-error  warning"]
    cursor = await world.connection.execute("SELECT error FROM alert_rules WHERE name = 'stubborn'")
    assert await cursor.fetchone() == ("its earlier question still runs in the database",)
    assert world.asker.lingering == 1
    assert len(before) == 2

    dsn = await login(world)
    async with asyncio.timeout(30):
        while await questions.end_late(dsn, 0.5):
            await asyncio.sleep(0.1)
    await world.minute()
    assert world.asker.lingering == 0


async def test_an_odd_answer_is_in_nobody_s_way(world: Asking) -> None:
    odd = ("SELECT 1e400::numeric + 0.5 AS value", "SELECT 1 AS question")
    await world.add(*(rule_of(sql, f"odd{i}") for i, sql in enumerate(odd)))
    await world.add(rule_of("SELECT 7 AS value", "good"))
    expected = ["good rules warning", "rule-error  warning", "rule-error  warning"]
    assert await world.minute() == expected


async def test_what_nobody_foresaw_is_the_fault_of_one_question(world: Asking) -> None:
    """Python cannot send half of a character, which no rule holds; it stands for all the others."""
    await world.add(rule_of("SELECT 7 AS value"))
    [one] = await questions.due(world.connection)
    strange = structs.replace(one, sql="SELECT '\ud800'")
    dsn = await login(world)
    outcome = await world.asker.ask(dsn, strange, minute(0))
    assert isinstance(outcome, QuestionError)
    assert str(outcome).startswith("UnicodeEncodeError: ")


async def test_a_rule_that_is_off_is_not_asked(world: Asking) -> None:
    await world.add(rule_of("SELECT 7 AS value", enabled=False))
    assert await world.minute() == []
    assert world.put == []


async def test_who_ends_others_questions_ends_only_their_connections(world: Asking) -> None:
    """Those are asked once more, alone."""
    killer = (
        "SELECT 0 * count(pg_terminate_backend(pid)) AS value FROM pg_stat_activity, pg_sleep(0.1) "
        "WHERE usename = user AND pid <> pg_backend_pid()"
    )
    slow = "SELECT 7 AS value FROM pg_sleep(0.3)"
    await world.add(*(rule_of(slow, f"slow{i}") for i in range(3)), rule_of(killer, "killer"))
    assert await world.minute() == [f"slow{i} rules warning" for i in range(3)]


async def test_one_of_several_replicas_asks(world: Asking, pool: Pool) -> None:
    """Two would change the password under each other's questions."""
    await world.add(*(rule_of("SELECT 7 AS value FROM pg_sleep(0.1)", f"r{i}") for i in range(4)))
    others = [Asker(pool, world.put.extend) for _ in range(3)]
    for number in range(3):
        world.put.clear()
        await asyncio.gather(*(one.turn(minute(number)) for one in others))
        assert [sample.value for sample in world.put] == [7, 1] * 4
    cursor = await world.connection.execute("SELECT count(error) FROM alert_rules")
    assert await cursor.fetchone() == (0,)


async def test_a_clock_that_was_set_back_far_is_believed(world: Asking) -> None:
    for at, is_ours in ((500, True), (500, False), (499, False), (439, True), (440, True)):
        assert await questions.claim(world.connection, minute(at)) == is_ours


async def test_what_was_answered_is_stored_whatever_becomes_of_the_turn(world: Asking) -> None:
    await world.add(rule_of("SELECT 7 AS value", "good"), rule_of(SLEEPS, "slow"))
    asker = structs.replace(world.asker, timeout_s=60.0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await asker.turn(minute(0))
    assert [sample.value for sample in world.put] == [7, 1]


async def test_who_may_make_no_roles_is_told(world: Asking, engine: Engine) -> None:
    await world.add(rule_of("SELECT 7 AS value"))
    await world.connection.execute("CREATE ROLE vigia_weak_asker")
    try:
        await world.connection.execute(
            "GRANT SELECT, UPDATE ON alert_rules, question_clock TO vigia_weak_asker;"
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
