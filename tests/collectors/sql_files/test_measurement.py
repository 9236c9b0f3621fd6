"""SQL files as measurements, on a real database."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool

from collectors.sql_files.header import Header, MeasurementError, parse
from collectors.sql_files.measurement import load
from model.rows import ROWS_MAX
from model.series import Kind, Labels, Sample, Series

Pool = AsyncConnectionPool[Any]

SLOT = datetime(2026, 1, 1, tzinfo=UTC)

SHARES = b"""-- every: 60 s
SELECT label_side, label_none, trading_share_percent, trading_unknown
FROM (VALUES ('long', NULL, 12.5, NULL), ('short', NULL, 50, NULL))
     AS share (label_side, label_none, trading_share_percent, trading_unknown)
"""


HEADER = b"""-- Orders of the day: prose, as https://shop.example is.

--every:5 m
-- timeout: 1.5 s
-- unit: revenue = usd
-- unit: items
-- kind: orders = counter
SELECT 1 -- odd: prose
"""


def series_of(metric: str, component: str, labels: Labels) -> Series:
    return Series(metric=metric, component=component, labels=labels)


async def read(pool: Pool, directory: Path, sql: bytes) -> list[Sample]:
    (directory / "trading_shares.sql").write_bytes(sql)
    (only,) = load("trading", directory)
    async with pool.connection() as connection, connection.transaction():
        return await only.read(connection, SLOT, "trading", series_of)


async def test_label_columns_are_labels_and_null_is_left_out(pool: Pool, tmp_path: Path) -> None:
    assert await read(pool, tmp_path, SHARES) == [
        Sample(series_of("trading_share_percent", "trading", (("side", side),)), SLOT, value)
        for side, value in (("long", 12.5), ("short", 50.0))
    ]


async def test_too_many_rows_are_refused(pool: Pool, tmp_path: Path) -> None:
    sql = b"SELECT number AS label_number, 1 AS trading_one FROM generate_series(1, 1001) AS number"

    with pytest.raises(MeasurementError, match=f"trading_shares.sql: .* more than {ROWS_MAX} rows"):
        await read(pool, tmp_path, sql)


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        (
            b"SELECT 'much' AS share",
            "share is not a number; cast it to one, or name the column label_share",
        ),
        (b"SELECT now() AS share", "share is not a number; cast it to one"),
        (b"SELECT 'NaN'::numeric AS share", "share is nan, which cannot be stored"),
        (b"SELECT 1e300::float8 AS share", "share is 1e+300, which cannot be stored"),
        (b"SELECT 1", "?column? cannot be the name of a metric; rename it with AS"),
        (b"SELECT 1 AS component_up", "component_up cannot be the name of a metric"),
        (b"SELECT 1 AS share, 2 AS share", "two columns are named share"),
        (b"SELECT 'a' AS label_a, 'b' AS label_a, 1 AS share", "two columns are named label_a"),
        (b"SELECT 'a' AS label_a", "the query returns no value column"),
        (b"SELECT 'a' AS label_, 1 AS share", "the column label_ names no label"),
        (b"SELECT E'a\\nb' AS label_a, 1 AS share", "label_a contains control characters"),
        (b"SELECT repeat('a', 1025) AS label_a, 1 AS share", "more than 1024 bytes"),
        (
            b"SELECT 'x' AS label_a, 1 AS share FROM generate_series(1, 2)",
            "two rows of share have the same component and labels: a=x",
        ),
        (b"-- unit: shear = usd\nSELECT 1 AS share", "the comment names shear, which is not a"),
    ],
)
async def test_rows_that_cannot_be_stored_are_refused_as_a_whole(
    pool: Pool, tmp_path: Path, sql: bytes, reason: str
) -> None:
    with pytest.raises(MeasurementError, match=r"^trading_shares\.sql: ") as e:
        await read(pool, tmp_path, sql)

    assert reason in str(e.value)


def test_the_first_line_may_set_how_long_samples_are_reused(tmp_path: Path) -> None:
    (tmp_path / "trading_a.sql").write_bytes(SHARES)
    (tmp_path / "trading_b.sql").write_bytes(b"SELECT 1 AS trading_one")
    (tmp_path / "other_c.sql").write_bytes(b"SELECT 1 AS other_one")

    assert [(each.name, each.every_s) for each in load("trading", tmp_path)] == [
        ("trading_a", 60),
        ("trading_b", 0),
    ]


def test_the_comment_sets_timeout_units_and_kinds() -> None:
    header = parse("orders", HEADER)

    assert (header.every_s, header.timeout_s) == (300, 1.5)
    assert (header.unit("revenue"), header.unit("orders")) == ("usd", "items")
    assert (header.kind("orders"), header.kind("revenue")) == (Kind.COUNTER, None)
    assert header.columns() == {"revenue", "orders"}
    assert parse("plain", b"SELECT 1") == Header()


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        (b"-- evry: 60 s", "line 1: 'evry' is not one of every, timeout, unit, kind"),
        (b"\n-- Prose.\n-- Every: 60 s", "line 3: 'Every' is not one of"),
        (b"-- every: 60", "line 1: every must be a number and a unit (s, m or h): 60 s"),
        (b"-- every: -1 s", "line 1: every must be a number"),
        (b"-- every: 1 s\n-- every: 2 s", "line 2: every is repeated; remove one"),
        (b"-- unit: a = x\n-- unit: a = y", "line 2: unit is repeated; remove one"),
        (b"-- timeout: 0 s", "line 1: timeout must be above 0 s and at most 10 s"),
        (b"-- timeout: 11 s", "line 1: timeout must be above 0 s"),
        (b"-- unit: a =", "line 1: unit must have 1 to 32 printable characters"),
        (b"-- kind: guage", "line 1: kind must be one of gauge, counter, distribution"),
        (b"-- \xff", "is not UTF-8"),
    ],
)
def test_a_bad_comment_is_refused_with_the_file_and_the_line(sql: bytes, reason: str) -> None:
    with pytest.raises(MeasurementError, match=re.escape(f"orders.sql: {reason}")):
        parse("orders", sql + b"\nSELECT 1")
