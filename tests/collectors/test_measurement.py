"""SQL files as measurements, on a real database."""

from pathlib import Path
from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool

from collectors import measurement
from collectors.measurement import load
from collectors.metrics import Reading

Pool = AsyncConnectionPool[Any]

SHARES = b"""-- every: 60 s
SELECT label_side, label_none, trading_share_percent, trading_unknown
FROM (VALUES ('long', NULL, 12.5, NULL), ('short', NULL, 50, NULL))
     AS share (label_side, label_none, trading_share_percent, trading_unknown)
"""


async def read(pool: Pool, directory: Path, sql: bytes) -> list[Reading]:
    (directory / "trading_shares.sql").write_bytes(sql)
    (only,) = load("trading", directory)
    async with pool.connection() as connection:
        return await only.read(connection)


async def test_label_columns_are_labels_and_null_is_left_out(pool: Pool, tmp_path: Path) -> None:
    assert await read(pool, tmp_path, SHARES) == [
        Reading("trading_share_percent", 12.5, (("side", "long"),)),
        Reading("trading_share_percent", 50.0, (("side", "short"),)),
    ]


async def test_too_many_rows_are_refused(pool: Pool, tmp_path: Path) -> None:
    sql = b"SELECT number AS label_number, 1 AS trading_one FROM generate_series(1, 1001) AS number"

    with pytest.raises(ValueError, match=f"trading_shares: more than {measurement.ROWS_MAX} rows"):
        await read(pool, tmp_path, sql)


async def test_a_column_that_is_no_number_is_refused(pool: Pool, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="could not convert"):
        await read(pool, tmp_path, b"SELECT 'much' AS trading_share_percent")


def test_the_first_line_may_say_how_long_an_answer_holds(tmp_path: Path) -> None:
    (tmp_path / "trading_a.sql").write_bytes(SHARES)
    (tmp_path / "trading_b.sql").write_bytes(b"SELECT 1 AS trading_one")
    (tmp_path / "other_c.sql").write_bytes(b"SELECT 1 AS other_one")

    assert [(each.name, each.every_s) for each in load("trading", tmp_path)] == [
        ("trading_a", 60),
        ("trading_b", 0),
    ]
