"""What the routines say by themselves, of which statements are put together."""

from typing import Any

import pytest

from db.queries import Connection, Pool
from model.severity import Level


async def value(connection: Connection, query: str, *arguments: Any) -> Any:
    row = await (await connection.execute(query.encode(), arguments)).fetchone()
    assert row is not None
    return row[0]


async def test_levels_have_the_same_order_everywhere(migrated_pool: Pool) -> None:
    async with migrated_pool.connection() as connection:
        assert await value(connection, "SELECT alert_levels()") == list(Level)
        for rank, level in enumerate(Level, start=1):
            limits = "SELECT array_position(level_limits(jsonb_build_object(%s::text, 7)), 7)"
            assert await value(connection, limits, level) == rank


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("cpu", 97.716, "percent", ">", 80.0), "cpu is 97.72 percent, above 80 percent"),
        (("cpu", 80.0, "percent", ">=", 80.0), "cpu is 80.00 percent, above 80 percent"),
        (("disk", 3.0, "", "<", 4.5), "disk is 3.00, below 4.5"),
        (("disk", -0.5, None, "<=", 0.0), "disk is -0.50, below 0"),
    ],
)
async def test_a_broken_limit_is_said_with_its_unit_if_there_is_one(
    migrated_pool: Pool, given: tuple[Any, ...], sentence: str
) -> None:
    query = (
        "SELECT breach_message(%s::text, %s::double precision, %s::text, %s::text, "
        "%s::double precision)"
    )
    async with migrated_pool.connection() as connection:
        assert await value(connection, query, *given) == sentence
