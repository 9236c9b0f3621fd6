"""A statement runs alone, whatever it is made of, and its answer comes in batches."""

from contextlib import aclosing

import psycopg
import pytest

from db import console
from db.queries import Connection, Pool
from model.errors import InvalidError


async def batches(connection: Connection, statement: str, size: int) -> list[int]:
    async with aclosing(console.ask(connection, statement, 10, size)) as answer:
        return [len(await cursor.fetchall()) async for cursor in answer]


async def test_a_batch_that_is_not_full_is_the_last(pool: Pool) -> None:
    async with pool.connection() as connection:
        assert await batches(connection, "SELECT 1 WHERE false", 2) == [0]
        assert await batches(connection, "TABLE catalogue", 2) == [0]
        assert await batches(connection, "VALUES (1), (2), (3)", 2) == [2, 1]
        assert await batches(connection, "SELECT generate_series(1, 4)", 2) == [2, 2, 0]
        assert await batches(connection, "SHOW timezone", 2) == [1]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1; DELETE FROM schema_migrations",
        "EXPLAIN SELECT 1; COMMIT; DELETE FROM schema_migrations",
        "SHOW timezone; RESET ROLE",
    ],
)
async def test_several_statements_are_refused_whole(pool: Pool, statement: str) -> None:
    async with pool.connection() as connection:
        with pytest.raises(psycopg.errors.SyntaxError, match="multiple commands"):
            await batches(connection, statement, 1)


@pytest.mark.parametrize(
    "statement", ["DELETE FROM series", "/* SELECT */ BEGIN", "-- SELECT\nCOMMIT", "", "((", "\x00"]
)
async def test_what_is_no_query_is_not_even_sent(pool: Pool, statement: str) -> None:
    async with pool.connection() as connection:
        with pytest.raises(InvalidError, match="only reading is allowed; begin with one of"):
            await batches(connection, statement, 1)


async def test_no_parenthesis_leads_out_of_the_cursor(pool: Pool) -> None:
    async with pool.connection() as connection:
        with pytest.raises(psycopg.errors.SyntaxError, match=r'at or near "\)"'):
            await batches(connection, "SELECT 1) AS a UNION ALL SELECT 2 FROM (SELECT 1", 1)


async def test_the_role_and_the_limits_end_with_the_statement(pool: Pool) -> None:
    query = "SELECT current_user, current_setting('timezone'), current_setting('lock_timeout')"
    async with pool.connection() as connection:
        before = await (await connection.execute(query.encode())).fetchone()
        async with aclosing(console.ask(connection, query, 10, 1)) as answer:
            inside = await (await anext(answer)).fetchone()
        assert inside == ("vigia_reader", "UTC", "1s")
        assert await (await connection.execute(query.encode())).fetchone() == before
