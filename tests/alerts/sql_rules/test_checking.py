"""The SQL of a rule is parsed and planned when the rule is saved."""

from collections.abc import AsyncIterator

import pytest

from alerts.rules import store as rules
from alerts.rules.model import Rule
from alerts.sql_rules import checking, query
from db.engine import Engine
from db.queries import Connection, Pool
from model.errors import InvalidError
from model.severity import Level
from model.times import utc_now


@pytest.fixture
async def connection(pool: Pool, engine: Engine) -> AsyncIterator[Connection]:
    """A connection of the owner's, to a server that runs SQL rules."""
    if engine.embedded:
        pytest.skip("the embedded engine runs no SQL rules")
    async with pool.connection() as opened:
        yield opened
        role = await query.queries.value(opened, query.ROLE)
        await opened.execute(f"DROP ROLE IF EXISTS {role}".encode())


def rule(sql: str, name: str = "stuck") -> Rule:
    return Rule(
        name=name, kind="sql", metric="orders_stuck", sql=sql, no_data="ok", levels={Level.INFO: 1}
    )


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELEC 1 AS value", 'syntax error at or near "SELEC"'),
        ("SELECT 1 AS value\nFROM nowhere", 'line 2: relation "nowhere" does not exist'),
        ("SELECT 1 AS value; SELECT 2", "it has several statements; write exactly one"),
        ("SELECT 1 AS value;", 'syntax error at or near ";"'),
        ("SELECT nope AS value FROM metrics", 'column "nope" does not exist'),
        ("SELECT rolpassword::text AS value FROM pg_authid", "permission denied"),
    ],
)
async def test_sql_that_cannot_run_is_refused_with_the_reason(
    connection: Connection, sql: str, reason: str
) -> None:
    with pytest.raises(InvalidError) as caught:
        await checking.refuse(connection, [rule("SELECT 1 AS value", "good"), rule(sql)])

    assert str(caught.value).startswith("the SQL of rule stuck cannot run: ")
    assert reason in str(caught.value)
    assert "good" not in str(caught.value)


async def test_sql_is_planned_and_not_run(connection: Connection) -> None:
    await checking.refuse(connection, [rule("SELECT 1 AS value FROM pg_sleep(60)")])
    await checking.refuse(connection, [rule("SELECT count(*) AS value FROM metrics")])


async def test_sql_that_is_stored_already_is_not_checked_again(connection: Connection) -> None:
    broken = rule("SELECT 1 AS value FROM gone")
    async with connection.transaction(force_rollback=True):
        assert await rules.insert(connection, broken, utc_now(), "ana")

        await checking.refuse(connection, [broken])


async def test_rules_of_other_kinds_need_no_login(connection: Connection) -> None:
    await checking.refuse(connection, [Rule(name="cpu", metric="m", levels={Level.INFO: 1})])

    role = await query.queries.value(connection, query.ROLE)
    cursor = await connection.execute("SELECT to_regrole(%s) IS NULL", [role])
    assert await cursor.fetchone() == (True,)
