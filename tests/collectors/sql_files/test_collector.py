"""Folders of SQL files on a real database: what they measure, and what they cannot break."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import pytest
from structlog.testing import capture_logs

from collectors.collector import CollectorRun
from collectors.sql_files.collector import SqlFiles, components
from collectors.sql_files.connection import ReadOnly
from collectors.sql_files.folder import FILES_MAX, sql_paths
from db.engine import Engine
from db.queries import Pool
from model.series import Category, Kind, Sample

SLOT = datetime(2026, 1, 1, tzinfo=UTC)
GOOD = "SELECT 7 AS shop_good"


class Shop:
    """A folder, its collector, and the samples that the collector put."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder = folder
        self.put: list[Sample] = []
        database = ReadOnly(lambda: address)
        self.collector = SqlFiles(
            "shop", Category.EXTERNAL, database, lambda: sql_paths(folder), self.put.extend
        )
        self._run_of = CollectorRun(self.collector, self.put.extend)

    def write(self, **files: str) -> None:
        for name, sql in files.items():
            (self.folder / f"{name}.sql").write_text(sql)

    async def take(self, time: datetime = SLOT, deadline_s: float = 10) -> str:
        """Run once and return the reason of the failure."""
        self.put.clear()
        await self._run_of.run(time, deadline_s)
        up = self.put.pop()
        assert up.series.metric == "component_up"
        assert up.value == (0 if up.reason else 1)
        return up.reason

    @property
    def values(self) -> dict[str, float]:
        return {sample.series.metric: sample.value for sample in self.put}


@pytest.fixture
async def shop(engine: Engine, pool: Pool, tmp_path: Path) -> AsyncIterator[Shop]:
    """A folder of files, and a table that no file may change."""
    async with pool.connection() as connection:
        await connection.execute("DROP TABLE IF EXISTS orders")
        await connection.execute("CREATE TABLE orders AS SELECT 1 AS id")
    made = Shop(tmp_path, engine.dsn)
    try:
        yield made
    finally:
        await made.collector.close()
        async with pool.connection() as connection:
            await connection.execute("DROP TABLE orders")


def only_native(engine: Engine) -> None:
    if engine.embedded:
        pytest.skip("nothing that runs in the embedded engine can be interrupted")


async def test_columns_become_samples_with_labels_units_and_kinds(shop: Shop) -> None:
    shop.write(
        sales="""-- unit: shop_revenue = usd
-- kind: shop_visits = counter
SELECT country AS label_country, revenue AS shop_revenue, visits AS shop_visits,
       '50 %' AS label_share, 12.345::numeric AS shop_share_percent
FROM   (VALUES ('pt', 10.25, 3), ('br', NULL, 5)) AS sales (country, revenue, visits)
WHERE  country NOT LIKE '%x%';
"""
    )

    assert await shop.take() == ""

    found = {(s.series.metric, dict(s.series.labels)["country"]): s for s in shop.put}
    assert {key: sample.value for key, sample in found.items()} == {
        ("shop_revenue", "pt"): 10.25,
        ("shop_visits", "pt"): 3,
        ("shop_share_percent", "pt"): 12.345,
        ("shop_visits", "br"): 5,
        ("shop_share_percent", "br"): 12.345,
    }
    revenue = found["shop_revenue", "pt"].series
    assert (revenue.unit, revenue.kind, revenue.resolution) == ("usd", Kind.GAUGE, None)
    assert revenue.labels == (("country", "pt"), ("share", "50 %"))
    assert (revenue.component, revenue.category) == ("shop", Category.EXTERNAL)
    assert found["shop_visits", "pt"].series.kind is Kind.COUNTER
    assert found["shop_share_percent", "pt"].series.unit == "percent"
    assert {sample.time for sample in shop.put} == {SLOT}


HOSTILE = {
    "two statements": ("SELECT 1 AS a; SELECT 2 AS b", "cannot insert multiple commands"),
    "a second after a commit": ("SELECT 1 AS a; COMMIT; DROP TABLE orders", "multiple commands"),
    "an insert": ("INSERT INTO orders VALUES (2) RETURNING id", "line 1: syntax error"),
    "a hidden insert": (
        "WITH added AS (INSERT INTO orders VALUES (2) RETURNING id) SELECT id AS a FROM added",
        "must not contain data-modifying statements",
    ),
    "a drop": ("DROP TABLE orders", 'syntax error at or near "DROP"'),
    "a block": ("DO $$BEGIN DELETE FROM orders; END$$", "syntax error"),
    "a program": ("COPY (SELECT 1) TO PROGRAM 'touch /tmp/owned'", "syntax error"),
    "a new table": ("SELECT 1 AS a INTO loot", "INTO is not allowed here"),
    "a lock of rows": ("SELECT id AS a FROM orders FOR UPDATE", "in a read-only transaction"),
    "a large object": ("SELECT lo_create(0)::int AS a", "in a read-only transaction"),
    "a sequence": (
        "SELECT nextval(pg_get_serial_sequence('series', 'id')) AS a",
        "in a read-only transaction",
    ),
    "a way out of read-only": (
        "SELECT set_config('transaction_read_only', 'off', true)::int AS a",
        "must be set before any query",
    ),
    "too many rows": (
        "SELECT n AS label_n, 1 AS a FROM generate_series(1, 10000) AS n",
        "1000 rows",
    ),
    "endless rows": ("SELECT generate_series(1, 1e15) AS a", "1000 rows"),
    "a mistake": ("SELECT id AS a,\n       amount AS b\nFROM orders", 'line 2: column "amount"'),
    "an error": ("SELECT 1 / (id - 1) AS a FROM orders", "division by zero"),
    "nothing": ("-- Only prose.", "syntax error at end of input"),
    "a bad comment": ("-- evry: 1 s\nSELECT 1 AS a", "line 1: 'evry' is not one of"),
    "text": ("SELECT 'x' AS a", "a is not a number"),
}


@pytest.mark.parametrize(("sql", "reason"), HOSTILE.values(), ids=HOSTILE)
async def test_a_bad_file_is_named_and_the_others_are_stored(
    shop: Shop, pool: Pool, sql: str, reason: str
) -> None:
    shop.write(a_good=GOOD, bad=sql, z_good="SELECT 8 AS shop_other")

    reported = [await shop.take(), await shop.take()]

    assert reported[0] == reported[1]
    assert reported[0].startswith("SqlError: bad.sql: ")
    assert reason in reported[0]
    assert shop.values == {"shop_good": 7, "shop_other": 8}
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT (SELECT count(*) FROM orders), to_regclass('loot') IS NULL"
        )
        assert await cursor.fetchone() == (1, True)


async def test_two_bad_files_are_both_named(shop: Shop) -> None:
    shop.write(a="SELECT FROM WHERE", b=GOOD, c="SELECT 1 AS d, 1 AS d")

    reason = await shop.take()

    assert "a.sql: line 1: syntax error" in reason
    assert "c.sql: two columns are named d" in reason
    assert shop.values == {"shop_good": 7}


async def test_two_files_with_one_series_are_refused(shop: Shop) -> None:
    shop.write(first=GOOD, second=GOOD.replace("7", "9"))

    assert await shop.take() == (
        "SqlError: second.sql: first.sql already measures shop_good; rename one"
    )
    assert shop.values == {"shop_good": 7}


async def test_a_slow_query_ends_after_its_timeout_and_runs_last_from_then_on(
    engine: Engine, shop: Shop
) -> None:
    only_native(engine)
    shop.write(a_slow="-- timeout: 0.2 s\nSELECT 1 AS shop_slow FROM pg_sleep(60)", b=GOOD)
    started = monotonic()

    reported = await shop.take()

    assert monotonic() - started < 2
    assert reported == "SqlError: a_slow.sql: canceling statement due to statement timeout"
    assert shop.values == {"shop_good": 7}
    shop.write(a_slow="-- timeout: 10 s\nSELECT 1 AS shop_slow FROM pg_sleep(60)")
    assert await shop.take(deadline_s=1) == "DeadlineError: no answer within 1 s"
    assert shop.values == {"shop_good": 7}
    shop.write(a_slow="SELECT 1 AS shop_slow")
    assert await shop.take() == ""


async def test_a_file_that_ends_its_connection_stops_the_others_only_once(
    engine: Engine, shop: Shop
) -> None:
    only_native(engine)
    shop.write(a="SELECT pg_terminate_backend(pg_backend_pid())::int AS shop_end", b=GOOD)

    reported = [await shop.take(), await shop.take()]

    assert reported == ["SqlError: a.sql: terminating connection due to administrator command"] * 2
    assert shop.values == {"shop_good": 7}


async def test_a_locked_table_is_a_failure_of_its_file(
    engine: Engine, pool: Pool, shop: Shop
) -> None:
    only_native(engine)
    shop.write(a="SELECT count(*) AS shop_orders FROM orders", b=GOOD)

    async with pool.connection() as other, other.transaction():
        await other.execute("LOCK TABLE orders")
        reported = await shop.take()

    assert reported == "SqlError: a.sql: line 1: canceling statement due to lock timeout"
    assert shop.values == {"shop_good": 7}
    assert await shop.take() == ""


async def test_nothing_of_a_session_outlives_a_file(pool: Pool, shop: Shop) -> None:
    shop.write(
        a="SELECT length(set_config('statement_timeout', '77s', false)) AS shop_timeout",
        b="SELECT length(set_config('search_path', 'nowhere', false)) AS shop_path",
        c="SELECT 1 AS shop_locks FROM pg_advisory_lock(4711)",
        d="SELECT count(*) AS shop_orders FROM orders",
        e="SELECT (current_setting('statement_timeout') = '77s')::int AS shop_outlived",
    )

    assert await shop.take() == ""

    assert shop.values["shop_orders"] == 1
    assert shop.values["shop_outlived"] == 0
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        )
        assert await cursor.fetchone() == (0,)


async def test_files_are_read_again_when_they_change(shop: Shop) -> None:
    shop.write(a=GOOD, b="SELECT 1 AS shop_gone")
    assert await shop.take() == ""

    shop.write(a="SELECT 10 AS shop_good", c="SELECT 3 AS shop_new")
    (shop.folder / "b.sql").unlink()
    assert await shop.take() == ""

    assert shop.values == {"shop_good": 10, "shop_new": 3}


async def test_samples_are_repeated_while_they_are_valid(pool: Pool, shop: Shop) -> None:
    shop.write(a="-- every: 60 s\nSELECT count(*) AS shop_orders FROM orders")

    async def orders_at(offset_s: int) -> float:
        assert await shop.take(SLOT + timedelta(seconds=offset_s)) == ""
        return shop.values["shop_orders"]

    assert await orders_at(0) == 1
    async with pool.connection() as connection:
        await connection.execute("INSERT INTO orders VALUES (2)")
    assert await orders_at(15) == 1
    assert await orders_at(45) == 1
    assert shop.put[0].time == SLOT + timedelta(seconds=45)
    assert await orders_at(60) == 2


async def test_a_clock_set_back_ends_the_repetition_of_samples(pool: Pool, shop: Shop) -> None:
    shop.write(a="-- every: 1 h\nSELECT count(*) AS shop_orders FROM orders")
    await shop.take()
    async with pool.connection() as connection:
        await connection.execute("INSERT INTO orders VALUES (2)")

    await shop.take(SLOT - timedelta(days=1))

    assert shop.values == {"shop_orders": 2}


async def test_an_empty_folder_and_too_many_files_are_failures(shop: Shop) -> None:
    assert await shop.take() == "SqlError: the folder has no .sql file"

    shop.write(
        **{f"f{number:03}": f"SELECT 1 AS shop_f{number}" for number in range(FILES_MAX + 1)}
    )
    assert await shop.take() == (
        f"SqlError: the folder has more than {FILES_MAX} .sql files; the rest is ignored"
    )
    assert len(shop.put) == FILES_MAX


async def test_each_unreadable_file_is_a_separate_failure(shop: Shop) -> None:
    shop.write(a=GOOD, large="-- " + "x" * 70_000)
    (shop.folder / "broken.sql").symlink_to("nowhere.sql")
    (shop.folder / ".hidden.sql").write_text("SELECT")

    reported = await shop.take()

    assert "broken.sql: No such file or directory" in reported
    assert "large.sql: is larger than 65536 bytes" in reported
    assert "hidden" not in reported
    assert shop.values == {"shop_good": 7}


def test_every_folder_with_a_valid_name_is_a_component(tmp_path: Path) -> None:
    for name in ("shop", "trading", "server", "Bad Name", "warehouse-2"):
        (tmp_path / name).mkdir()
    (tmp_path / "notes").write_text("no folder")

    with capture_logs() as logs:
        found = components(tmp_path, {"server"}, list[Sample]().extend)

    assert [collector.name for collector in found] == ["shop", "warehouse-2"]
    assert [line["folder"] for line in logs] == ["Bad Name", "server"]
    assert components(tmp_path / "none", (), list[Sample]().extend) == []
