"""Samples acknowledged while the database is away wait on disk, and are stored in order."""

import asyncio
import errno
import os
import stat
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import structlog

from db.queries import Pool
from model.errors import UnavailableError
from model.series import Histogram, Kind, Sample, Series, columns_of
from runtime.settings import SettingsError
from runtime.spool import refused_in
from samples import series as db_series
from samples.spooling import spool as spool_module
from samples.spooling.spool import SampleSpool, open_spool, pack, unpack
from samples.write_batch import Stored, WriteBatch
from samples.writer import Writer

START = datetime(2026, 1, 1, tzinfo=UTC)
CPU = Series(metric="cpu_percent", component="a", labels=(("core", "0"),), resolution=2**-6)
UP = Series(metric="component_up", component="a")
SKETCH = Series(metric="latency_ms", component="a", kind=Kind.DISTRIBUTION)


def ignore(_: Sequence[Sample]) -> None:
    """Nobody listens."""


def at(second: float, value: float, series: Series = CPU, reason: str = "") -> Sample:
    return Sample(series, START + timedelta(seconds=second), value, reason)


def batch(*samples: Sample) -> WriteBatch:
    return WriteBatch(columns_of(samples))


async def values(pool: Pool) -> list[float]:
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT value FROM metrics ORDER BY time, metric")
        return [row[0] for row in await cursor.fetchall()]


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[SampleSpool]:
    async with open_spool(tmp_path / "spool") as opened:
        yield opened


async def drain_spool(writer: Writer, spool: SampleSpool) -> None:
    """Let the writer take everything back, and end."""
    task = asyncio.create_task(writer.drain_spool())
    async with asyncio.timeout(20):
        while not spool.is_empty:
            await asyncio.sleep(0.01)
    task.cancel()


@pytest.mark.parametrize("is_own", [False, True])
def test_a_packed_batch_is_unpacked_unchanged(*, is_own: bool) -> None:
    buckets, counts = np.array([-5, 0, 7], np.int32), np.array([1, 2, 2**40], np.int64)
    reported = WriteBatch(
        columns_of([at(0, -0.0), at(0.5, 1e-300), at(1, 0, UP, "refused")]),
        [Histogram(SKETCH, 17, buckets, counts)],
        is_own=is_own,
    )

    back = unpack(pack(reported))

    assert back.is_own == is_own
    assert [c.series for c in back.columns] == [CPU, UP]
    assert [c.reason for c in back.columns] == ["", "refused"]
    for one, other in zip(reported.columns, back.columns, strict=True):
        assert one.times.tobytes() == other.times.tobytes()
        assert one.values.tobytes() == other.values.tobytes()
    [histogram] = back.histograms
    assert (histogram.series, histogram.time) == (SKETCH, 17)
    assert histogram.buckets.tolist() == buckets.tolist()
    assert histogram.counts.tolist() == counts.tolist()


async def test_while_the_database_is_away_a_batch_is_acknowledged_from_disk(
    pool: Pool, away: Pool, spool: SampleSpool
) -> None:
    writer = Writer(away, ignore, spool)

    assert await writer.store(batch(at(0, 1), at(1, 2))) == Stored(2, None)
    assert await writer.store(batch(at(1, 9), at(2, 3))) == Stored(2, None)

    writer._pool = pool
    await drain_spool(writer, spool)
    assert await values(pool) == [1, 2, 3]
    assert spool.status() == {
        "bytes": 0,
        "samples": 4,
        "postponed": 0,
        "damaged_bytes": 0,
        "refused": 0,
        "quarantined": 0,
        "failing": 0,
        "failure": "",
    }
    assert await writer.store(batch(at(3, 4))) == Stored(1, 0)


async def test_waiting_samples_survive_a_restart_of_the_service(
    pool: Pool, away: Pool, tmp_path: Path
) -> None:
    """Its reasons and histograms too."""
    folder = tmp_path / "spool"
    histogram = Histogram(SKETCH, 10**15, np.array([3], np.int32), np.array([5], np.int64))
    async with open_spool(folder) as first:
        writer = Writer(away, ignore, first)
        await writer.store(WriteBatch(columns_of([at(0, 0, UP, "refused")]), [histogram]))
    async with open_spool(folder) as second:
        await drain_spool(Writer(pool, ignore, second), second)

    assert await values(pool) == [0]
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT reason FROM series_state WHERE reason <> ''")
        assert await cursor.fetchall() == [("refused",)]
        cursor = await connection.execute("SELECT log_bucket, count FROM system_distributions")
        assert await cursor.fetchall() == [(3, 5)]


async def test_samples_stored_before_a_crash_are_not_stored_twice(
    pool: Pool, away: Pool, spool: SampleSpool
) -> None:
    """A commit whose answer was lost comes again from disk."""
    await Writer(pool, ignore).store(batch(at(0, 1)))
    writer = Writer(away, ignore, spool)
    await writer.store(batch(at(0, 1), at(1, 2)))

    writer._pool = pool
    await drain_spool(writer, spool)

    assert await values(pool) == [1, 2]


async def test_a_batch_that_the_database_never_accepts_is_quarantined_and_blocks_no_other(
    pool: Pool, away: Pool, spool: SampleSpool, tmp_path: Path
) -> None:
    writer = Writer(away, ignore, spool)
    poison = batch(at(1, 6.5, Series(metric="nul\0", component="a")))
    for each in (batch(at(0, 1)), poison, batch(at(2, 3))):
        await writer.store(each)

    writer._pool = pool
    await drain_spool(writer, spool)

    assert await values(pool) == [1, 3]
    assert spool.status()["refused"] == 1
    [file] = refused_in(tmp_path / "spool" / "quarantine")
    assert unpack(file.read_bytes()).columns[0].newest().value == 6.5


async def test_samples_of_series_beyond_the_limit_are_quarantined(
    pool: Pool, away: Pool, spool: SampleSpool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db_series, "SERIES_MAX", 1)
    writer = Writer(away, ignore, spool)
    await writer.store(batch(at(0, 1), at(0, 2, UP)))

    writer._pool = pool
    await drain_spool(writer, spool)

    assert await values(pool) == [1]
    [file] = refused_in(tmp_path / "spool" / "quarantine")
    assert unpack(file.read_bytes()).series() == [UP]


async def test_the_service_s_own_series_have_room_when_senders_filled_theirs_in_an_outage(
    pool: Pool, away: Pool, spool: SampleSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db_series, "SERIES_MAX", 2)
    monkeypatch.setattr("samples.writer.DRAIN_TIMEOUT_S", 0.1)
    writer = Writer(away, ignore, spool)
    sent = [Series(metric=f"sent{number}", component="a") for number in range(3)]
    await writer.store(batch(*(at(0, 1, series) for series in sent)))
    writer.put([at(1, 2, UP, "refused"), at(1, 3)])
    await writer.drain()

    writer._pool = pool
    await drain_spool(writer, spool)

    assert await values(pool) == [1, 1, 2, 3]
    assert spool.status()["refused"] == 1


async def test_unreadable_records_are_quarantined(pool: Pool, tmp_path: Path) -> None:
    async with open_spool(tmp_path) as opened:
        opened._spool.append([b"what another version wrote", pack(batch(at(0, 1)))])
        await drain_spool(Writer(pool, ignore, opened), opened)

        assert opened.status()["refused"] == 1
    assert await values(pool) == [1]


async def test_spooled_samples_are_not_refused_while_many_writes_wait(
    pool: Pool, away: Pool, spool: SampleSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they do when the database comes back: it was acknowledged, and nobody sends it again."""
    writer = Writer(away, ignore, spool)
    await writer.store(batch(at(0, 1)))
    monkeypatch.setattr("samples.writer.WAITING_WRITES_MAX", 0)

    writer._pool = pool
    await drain_spool(writer, spool)

    assert await values(pool) == [1]
    assert spool.status()["refused"] == 0


async def test_a_disk_that_fails_while_the_spool_is_drained_is_tried_again(
    pool: Pool, away: Pool, spool: SampleSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(away, ignore, spool)
    await writer.store(batch(at(0, 1)))
    writer._pool = pool
    failures = iter([True, True])
    unlink = os.unlink

    def fail_twice(path: Path) -> None:
        if next(failures, False):
            raise OSError(errno.EIO, "Input/output error")
        unlink(path)

    monkeypatch.setattr(os, "unlink", fail_twice)
    await drain_spool(writer, spool)

    assert await values(pool) == [1]


async def test_a_full_disk_refuses_and_keeps_what_it_has(
    pool: Pool, away: Pool, tmp_path: Path
) -> None:
    async with open_spool(tmp_path, budget_bytes=2000) as opened:
        writer = Writer(away, ignore, opened)
        await writer.store(batch(at(0, 1)))
        with pytest.raises(UnavailableError, match="full"):
            await writer.store(batch(*(at(i, i) for i in range(1000))))

        writer._pool = pool
        await drain_spool(writer, opened)
    assert await values(pool) == [1]


async def test_a_disk_that_takes_nothing_is_logged_once_until_it_works_again(
    away: Pool, spool: SampleSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    writer = Writer(away, ignore, spool)
    with structlog.testing.capture_logs() as logged:
        with monkeypatch.context() as full:
            full.setattr(os, "pwrite", refuse)
            for number in range(5):
                with pytest.raises(UnavailableError, match="the disk of the spool fails"):
                    await writer.store(batch(at(number, number)))
        await writer.store(batch(at(9, 9)))

    reported = [entry["event"] for entry in logged if entry["event"].startswith("spool_")]
    assert reported == ["spool_failed", "spool_works_again"]


async def test_the_rest_of_the_buffer_at_the_end_waits_on_disk(
    pool: Pool, away: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("samples.writer.DRAIN_TIMEOUT_S", 0.1)
    async with open_spool(tmp_path) as first:
        writer = Writer(away, ignore, first)
        writer.put([at(0, 1), at(1, 2)])
        await writer.drain()
        assert (writer.pending, writer.dropped) == (0, 0)
    async with open_spool(tmp_path) as second:
        await drain_spool(Writer(pool, ignore, second), second)

    assert await values(pool) == [1, 2]


async def test_two_services_do_not_share_a_spool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "LOCK_WAIT_S", 0.3)
    async with open_spool(tmp_path):
        with pytest.raises(SettingsError, match="VIGIA_DATA_DIR"):
            async with open_spool(tmp_path):
                pass


async def test_the_data_directory_is_its_owner_s_alone(tmp_path: Path) -> None:
    data_dir = tmp_path / "made" / "data"

    async with open_spool(data_dir / "spool"):
        modes = [stat.S_IMODE(folder.stat().st_mode) for folder in (data_dir, data_dir / "spool")]

    assert modes == [0o700, 0o700]
