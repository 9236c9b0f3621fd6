"""The table of the audit describes what it holds."""

import re

from audit.log import Type
from db.queries import Pool


async def test_the_comment_of_the_table_names_every_type(pool: Pool) -> None:
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT col_description(attrelid, attnum) FROM pg_attribute "
            "WHERE attrelid = 'security_events'::regclass AND attname = 'type'"
        )
        [[comment]] = await cursor.fetchall()
    named = re.split(", | or ", comment.removeprefix("What: ").removesuffix("."))
    assert sorted(named) == sorted(Type)
