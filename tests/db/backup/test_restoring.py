"""A backup made during ingest restores all acknowledged samples."""

import asyncio
import shutil
import subprocess
import tarfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from msgspec import Struct
from msgspec.structs import replace

from db.backup.archive import DamagedError, new_archive, open_archive
from db.backup.making import Made, verify
from db.backup.manifest import Kind, Manifest, read_manifest, write_manifest
from db.backup.progress import Silent
from db.backup.restoring import restore
from db.engine import Engine, open_engine
from db.migrate import migrate
from db.pool import DatabasePool, open_pool
from model.errors import ConflictError
from model.series import Sample, Series
from model.times import utc_now
from runtime.settings import Secret, Settings
from samples.spooling.spool import SampleSpool, open_spool
from samples.write_batch import write_batch_of
from samples.writer import Writer
from tests.conftest import RESET
from tests.db.backup.conftest import back_up, source_of, target_of

START = datetime(2026, 1, 1, tzinfo=UTC)
SERIES = [Series(metric=f"load_{number}", component="a") for number in range(20)]
BEFORE_S, AFTER_S = 0.5, 0.3
SPOOLED_EVERY = 5
FILL = b"""
INSERT INTO series (metric, component, category, labels)
SELECT 'm' || n, 'a', 'system', jsonb_build_object('odd', E'a\\tb\\\\c\\nd"e', 'n', n::text)
FROM generate_series(1, 3) n;
INSERT INTO system_metrics (time, series_id, value)
SELECT time, id, extract(minute FROM time) / 7
FROM series, generate_series('2026-01-01'::timestamptz, '2026-01-03 12:00', '5 minutes') time;
INSERT INTO series_state (series_id, first_time, last_time, last_value, reason)
SELECT id, '-infinity', now(), 1.5, NULLIF('x', 'y') FROM series;
"""
ROLL_UP = b"""CALL maintain(NULL, '{"now": "2026-01-03 12:30+00", "force": true}')"""
DROP_SAMPLES = b"""
SELECT drop_chunks('system_metrics', older_than => timestamptz '2026-01-03');
UPDATE tiers SET dropped_to = '2026-01-03' WHERE name = 'raw';
"""
ROLLED_UP = b"""
SELECT s.metric, h.bucket, h.count, h.min, h.max, round(h.sum::numeric, 9)
FROM system_metrics_1h h JOIN series s ON s.id = h.series_id ORDER BY 1, 2
"""


class Sender:
    """Sends samples of ever new times, and writes down when each was acknowledged."""

    def __init__(self, writer: Writer, spool: SampleSpool) -> None:
        self._writer, self._spool = writer, spool
        self.acknowledged: list[tuple[datetime, int]] = []

    async def run(self) -> None:
        turn = 0
        while True:
            turn += 1
            batch = write_batch_of(
                [Sample(one, START + timedelta(seconds=turn), turn) for one in SERIES]
            )
            if turn % SPOOLED_EVERY:
                await self._writer.store(batch)
            else:
                await self._spool.put(batch)
            self.acknowledged.append((utc_now(), turn))
            await asyncio.sleep(0)


def ignore(_: Sequence[Sample]) -> None:
    """Nobody listens."""


@asynccontextmanager
async def sending(pool: DatabasePool, engine: Engine, folder: Path) -> AsyncIterator[Sender]:
    """Send for as long as the context is open, and drain the spool meanwhile."""
    async with (
        open_spool(folder) as spool,
        Writer(pool, ignore, spool, can_copy=not engine.embedded) as writer,
    ):
        sender = Sender(writer, spool)
        tasks = [asyncio.create_task(sender.run()), asyncio.create_task(writer.drain_spool())]
        try:
            yield sender
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


@asynccontextmanager
async def started(settings: Settings) -> AsyncIterator[DatabasePool]:
    """A database as a service has it that starts: what waits in the spool is stored."""
    async with (
        open_engine(settings) as engine,
        open_pool(engine.dsn, embedded=engine.embedded) as pool,
        open_spool(settings.data_dir / "spool") as spool,
        Writer(pool, ignore, spool) as writer,
    ):
        draining = asyncio.create_task(writer.drain_spool())
        assert await writer.wait_until_stored(30)
        draining.cancel()
        await asyncio.wait([draining])
        yield pool


async def fetch(pool: DatabasePool, query: bytes) -> list[tuple[object, ...]]:
    async with pool.connection() as connection:
        return await (await connection.execute(query)).fetchall()


async def turns_of(pool: DatabasePool) -> dict[int, int]:
    """Return how many series have a sample of each turn."""
    found = await fetch(pool, b"SELECT value::int, count(*) FROM system_metrics GROUP BY 1")
    return {int(str(turn)): int(str(count)) for turn, count in found}


async def filled(pool: DatabasePool) -> None:
    async with pool.connection() as connection:
        await connection.execute(FILL)
        await connection.execute(ROLL_UP)


class Whole(Struct):
    """A backup, and what the roll-ups showed when it was made."""

    path: Path
    made: Made
    rolled_up: list[tuple[object, ...]]


@pytest.fixture(scope="module")
async def whole(
    migrated_pool: DatabasePool, engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Whole:
    """A backup of a database that holds something; made once, since it starts an engine."""
    folder = tmp_path_factory.mktemp("whole")
    async with migrated_pool.connection() as connection:
        await connection.execute(RESET)
    await filled(migrated_pool)
    source = source_of(engine, folder)
    made = await back_up(engine, source, folder / "backups", folder / "spool")
    return Whole(Path(made.path), made, await fetch(migrated_pool, ROLLED_UP))


@pytest.mark.slow
async def test_samples_acknowledged_before_the_time_of_the_manifest_are_restored(
    pool: DatabasePool, engine: Engine, source: Settings, fresh: Settings, tmp_path: Path
) -> None:
    async with sending(pool, engine, tmp_path / "spool") as sender:
        await asyncio.sleep(BEFORE_S)
        made = await back_up(engine, source, tmp_path / "backups", tmp_path / "spool")
        await asyncio.sleep(AFTER_S)
    time = made.manifest.time
    before = [turn for at, turn in sender.acknowledged if at < time]
    during = [turn for at, turn in sender.acknowledged if time <= at < made.manifest.finished_at]
    assert before
    assert during

    restored = await restore(Path(made.path), target_of(fresh), Silent())
    assert restored == made.manifest
    async with started(fresh) as pool_of_the_copy:
        found = await turns_of(pool_of_the_copy)
    assert {turn: found.get(turn) for turn in before} == dict.fromkeys(before, len(SERIES))


async def test_roll_ups_of_dropped_samples_are_restored(
    pool: DatabasePool, engine: Engine, source: Settings, fresh: Settings, tmp_path: Path
) -> None:
    await filled(pool)
    async with pool.connection() as connection:
        await connection.execute(DROP_SAMPLES)
    before = await fetch(pool, ROLLED_UP)
    assert len(before) == 3 * 61

    made = await back_up(engine, source, tmp_path / "backups", tmp_path / "spool")
    await restore(Path(made.path), target_of(fresh), Silent())
    async with started(fresh) as copy:
        assert await fetch(copy, ROLLED_UP) == before
        labels = b"SELECT labels FROM series ORDER BY id"
        assert await fetch(copy, labels) == await fetch(pool, labels)
        [(number,)] = await fetch(copy, b"SELECT nextval(pg_get_serial_sequence('series', 'id'))")
        assert number == 4


async def test_a_backup_says_what_it_holds(whole: Whole, engine: Engine) -> None:
    manifest = whole.made.manifest
    held = {table.name: table.rows for table in manifest.tables}

    assert manifest.kind is (Kind.FILES if engine.embedded else Kind.ROWS)
    assert (held["series"], held["system_metrics"], held["system_metrics_1d"]) == (3, 3 * 721, 6)
    assert "replica_tokens" not in held
    assert verify(whole.path, Silent()) == manifest
    assert whole.made.bytes == len(await asyncio.to_thread(whole.path.read_bytes))


def damaged(path: Path, copy: Path, how: str) -> Path:
    content = bytearray(path.read_bytes())
    if how == "truncated":
        del content[len(content) // 2 :]
    else:
        content[len(content) // 2] ^= 1
    copy.write_bytes(content)
    return copy


@pytest.mark.parametrize("how", ["truncated", "flipped"])
async def test_a_damaged_backup_is_refused_before_anything_is_changed(
    whole: Whole, fresh: Settings, how: str, tmp_path: Path
) -> None:
    path = damaged(whole.path, tmp_path / "damaged.backup", how)

    reason = "file was truncated" if how == "truncated" else "was changed after it was written"
    with pytest.raises(DamagedError, match=reason):
        await restore(path, target_of(fresh), Silent())
    assert not fresh.data_dir.exists()
    if fresh.database_url is not None:
        async with await psycopg.AsyncConnection.connect(fresh.database_url.reveal()) as connection:
            cursor = await connection.execute("SELECT to_regclass('schema_migrations')")
            assert await cursor.fetchone() == (None,)


async def test_a_database_that_is_there_is_not_written_over(whole: Whole, fresh: Settings) -> None:
    path = whole.path
    await restore(path, target_of(fresh), Silent())
    with pytest.raises(ConflictError, match=r"already contains a database|is not empty"):
        await restore(path, target_of(fresh), Silent())

    if fresh.database_url is None:
        (fresh.data_dir / "postgres" / "mark").touch()
        await restore(path, target_of(fresh, replace=True), Silent())
        assert not (fresh.data_dir / "postgres" / "mark").exists()
        assert sorted(each.name for each in fresh.data_dir.iterdir()) == [
            "lock",
            "postgres",
            "spool",
        ]


async def test_a_restore_is_refused_while_a_service_runs(whole: Whole, fresh: Settings) -> None:
    async with open_spool(fresh.data_dir / "spool"):
        with pytest.raises(ConflictError, match=r"a service uses .*fresh; stop it first"):
            await restore(whole.path, target_of(fresh), Silent())


async def test_rows_that_differ_from_the_snapshot_are_detected(
    whole: Whole, fresh: Settings, tmp_path: Path
) -> None:
    """The file is whole, but says another number of rows than it has."""
    forged = tmp_path / "forged.backup"
    with open_archive(whole.path, Silent()) as archive, new_archive(forged) as writer:
        manifest = read_manifest(archive)
        for folder in archive.folders:
            writer.add_folder(folder)
        for name in archive.names[:-1]:
            writer.add(name, archive.read(name))
        write_manifest(writer, _with_another_row(manifest))

    with pytest.raises(DamagedError, match=r"table series: .*3 rows .* 4"):
        await restore(forged, target_of(fresh), Silent())
    assert not (fresh.data_dir / "postgres").exists()


def _with_another_row(manifest: Manifest) -> Manifest:
    tables = [
        replace(table, rows=4) if table.name == "series" else table for table in manifest.tables
    ]
    return replace(manifest, tables=tables)


async def test_a_backup_of_the_other_kind_of_database_is_refused(
    whole: Whole, engine: Engine, tmp_path: Path
) -> None:
    url = Secret("postgresql://127.0.0.1:1/none") if engine.embedded else None
    other = Settings(data_dir=tmp_path / "other", database_url=url)
    with pytest.raises(ConflictError, match="VIGIA_DATABASE_URL"):
        await restore(whole.path, target_of(other), Silent())


async def test_psql_alone_can_restore_a_backup(
    whole: Whole, engine: Engine, fresh: Settings
) -> None:
    if engine.embedded or fresh.database_url is None:
        pytest.skip("of the embedded engine a backup has files")
    if shutil.which("psql") is None:
        pytest.skip("there is no psql")
    with open_archive(whole.path, Silent()) as archive:
        rows = [name for name in archive.names if name.startswith("rows/")]
        script = b"".join(b"".join(archive.pieces(name)) for name in rows)
    with tarfile.open(whole.path) as tar:
        assert [name for name in tar.getnames() if name.startswith("rows/")] == rows
    command = ["psql", "-X", "-q", fresh.database_url.reveal()]
    said = await asyncio.to_thread(
        subprocess.run, command, input=script, capture_output=True, check=False
    )

    assert (said.returncode, said.stderr) == (0, b"")
    async with started(fresh) as copy:
        assert await fetch(copy, ROLLED_UP) == whole.rolled_up
        assert await fetch(copy, b"SELECT paused_by FROM notification_pause") == [
            ("vigia restore",)
        ]
        async with copy.connection() as connection:
            assert await migrate(connection) == 0
