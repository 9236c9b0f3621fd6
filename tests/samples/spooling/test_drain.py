"""A file of the spool that fails or was changed by a person does not block other samples."""

import errno
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import structlog
from psycopg import errors

from db.queries import Pool
from model.errors import UnavailableError
from model.series import Series
from samples.spooling import quarantine
from samples.spooling.drain import Drain
from samples.spooling.spool import SampleSpool, open_spool
from samples.write_batch import WriteBatch
from samples.writer import Writer
from tests.samples.spooling.test_quarantine import (
    BAD,
    GOOD,
    Database,
    batch,
    ignore,
    let_time_pass,
    no,
    yes,
)


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[SampleSpool]:
    async with open_spool(tmp_path / "spool") as opened:
        yield opened


@contextmanager
def refusing(
    monkeypatch: pytest.MonkeyPatch, call: str, concerns: Callable[[str], bool], number: int
) -> Iterator[None]:
    """Let the system refuse a call for some of the files."""
    real = getattr(os, call)

    def refuse(path: str | Path, *rest: object, **named: object) -> object:
        if concerns(str(path)):
            raise OSError(number, os.strerror(number), str(path))
        return real(path, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        yield


def let_files_rest(spool: SampleSpool) -> None:
    """Let the time pass for which a file rests that the disk refused."""
    failures = spool.failures._failures
    spool.failures._failures = {
        path: type(one)(one.cause, one.rest_s, 0.0) for path, one in failures.items()
    }


async def put_in_segments(spool: SampleSpool, *series: Series) -> None:
    for each in series:
        await spool.put(batch(each))
        await spool.segments()


async def run_often(drain: Drain, spool: SampleSpool, times: int = 5) -> None:
    for _ in range(times):
        if await drain.is_due():
            await drain.run()
        let_files_rest(spool)


def unreadable(segment: Path) -> None:
    """Put something in a file's place that cannot be read, as by a disk that fails."""
    segment.unlink()
    segment.mkdir()


async def test_a_full_spool_is_stored_even_with_a_requeued_record(tmp_path: Path) -> None:
    async with open_spool(tmp_path / "spool", budget_bytes=2000) as spool:
        await spool.refuse(batch(BAD), "out of range")
        quarantine.requeue(tmp_path / "spool", [])
        with suppress(UnavailableError):
            while True:
                await spool.put(batch(GOOD))
        database = Database(None)

        await Drain(spool, database.store, yes).run()

        assert spool.is_empty
        assert set(database.stored[:-1]) == {"good"}
        assert database.stored[-1] == "bad"


async def test_a_postponed_record_is_tried_at_its_time_however_many_are_refused_after_it(
    spool: SampleSpool,
) -> None:
    drain = Drain(spool, Database(errors.InternalError_("no chunk")).store, yes)
    await spool.put(batch(BAD, 0))
    await drain.run()
    due_at = drain._resting_until

    for number in range(1, 4):
        await spool.put(batch(BAD, number))
        await drain.run()

    assert spool.postponed == 4
    assert drain._resting_until == due_at


async def test_an_unreadable_segment_does_not_block_later_ones(
    pool: Pool, spool: SampleSpool
) -> None:
    await put_in_segments(spool, BAD, GOOD)
    unreadable(spool.closed[0])
    writer = Writer(pool, ignore, spool, is_away=True)
    assert writer._drain is not None

    await writer._return_to(writer._drain)

    assert not writer.is_away
    assert len(spool.closed) == 1
    assert (spool.is_empty, spool.is_stored) == (False, True)
    assert spool.status()["failure"] == f"Is a directory: {spool.closed[0].name}"
    assert not await writer._drain.is_due()


async def test_a_segment_that_can_be_read_again_is_stored(spool: SampleSpool) -> None:
    await put_in_segments(spool, BAD, GOOD)
    [segment, _] = spool.closed
    content = segment.read_bytes()
    unreadable(segment)
    database = Database(None)
    drain = Drain(spool, database.store, yes)
    with structlog.testing.capture_logs() as logged:
        await run_often(drain, spool)
        segment.rmdir()
        segment.write_bytes(content)
        await run_often(drain, spool)

    assert database.stored == ["good", "bad"]
    assert spool.is_empty
    reported = [entry["event"] for entry in logged if entry["event"].startswith("spool_file")]
    assert reported == ["spool_file_failed", "spool_file_works_again"]
    assert (spool.status()["failing"], spool.status()["failure"]) == (0, "")


async def test_a_segment_that_cannot_be_deleted_is_stored_once_and_deleted_later(
    spool: SampleSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put_in_segments(spool, BAD, GOOD)
    [first, _] = spool.closed
    database = Database(None)
    drain = Drain(spool, database.store, yes)
    with refusing(monkeypatch, "unlink", lambda path: path == str(first), errno.EROFS):
        await run_often(drain, spool)
        assert database.stored == ["bad", "good"]
        assert (spool.is_empty, first.exists()) == (True, True)
        assert spool.status()["failure"] == f"Read-only file system: {first.name}"
    await run_often(drain, spool)

    assert (database.stored, first.exists()) == (["bad", "good"], False)
    assert spool.status()["failing"] == 0


async def test_a_segment_that_stays_is_not_reported_as_damage_at_the_next_start(
    tmp_path: Path,
) -> None:
    async with open_spool(tmp_path / "spool") as first:
        await put_in_segments(first, BAD, GOOD, GOOD, GOOD)
        [segment, *_] = first.closed
        content = segment.read_bytes()
        unreadable(segment)
        await Drain(first, Database(None).store, yes).run()
        await put_in_segments(first, GOOD)
    segment.rmdir()
    segment.write_bytes(content)
    with structlog.testing.capture_logs() as logged:
        async with open_spool(tmp_path / "spool") as second:
            database = Database(None)
            await Drain(second, database.store, yes).run()

    assert database.stored == ["bad", "good"]
    assert [entry for entry in logged if entry["event"] == "spool_damaged"] == []
    assert not list((tmp_path / "spool").glob("*.passed"))


async def test_a_spool_with_a_segment_that_cannot_be_read_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_spool(tmp_path / "spool") as first:
        await put_in_segments(first, BAD, GOOD)
        [segment, _] = first.closed
    read = Path.read_bytes

    def fail(path: Path) -> bytes:
        if path == segment:
            raise OSError(errno.EIO, "Input/output error")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", fail)
    async with open_spool(tmp_path / "spool") as second:
        database = Database(None)
        await Drain(second, database.store, yes).run()

    assert database.stored == ["good"]
    assert segment.exists()


async def test_a_requeued_record_that_cannot_be_deleted_is_stored_once(
    spool: SampleSpool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await spool.refuse(batch(BAD), "out of range")
    quarantine.requeue(tmp_path / "spool", [])
    database = Database(None)
    drain = Drain(spool, database.store, yes)
    with refusing(monkeypatch, "unlink", lambda path: "/requeued/" in path, errno.EACCES):
        await run_often(drain, spool)
        assert database.stored == ["bad"]
        assert (spool.status()["bytes"], spool.status()["failing"]) == (0, 1)
    await run_often(drain, spool)

    assert database.stored == ["bad"]
    assert list((tmp_path / "spool" / "requeued").iterdir()) == []


async def test_an_unreadable_postponed_record_does_not_block_others(spool: SampleSpool) -> None:
    await spool.postpone(batch(BAD))
    [record] = await spool.postponed_paths()
    unreadable(record)
    os.utime(record, (1, 1))
    await spool.postpone(batch(GOOD))
    database = Database(None)

    await Drain(spool, database.store, yes).run()

    assert database.stored == ["good"]
    assert (spool.postponed, spool.status()["failing"]) == (1, 1)


async def test_a_postponed_record_that_cannot_be_deleted_is_stored_once(
    spool: SampleSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await spool.postpone(batch(BAD))
    database = Database(None)
    drain = Drain(spool, database.store, yes)
    with refusing(monkeypatch, "unlink", lambda path: "/postponed/" in path, errno.EROFS):
        for _ in range(3):
            let_time_pass(drain)
            await run_often(drain, spool)
    await run_often(drain, spool)

    assert database.stored == ["bad"]
    assert (spool.postponed, spool.status()["failing"]) == (0, 0)


@pytest.mark.parametrize(
    "error", [errors.InternalError_("no chunk"), errors.NumericValueOutOfRange("too large")]
)
async def test_on_a_full_disk_a_refused_record_stays_in_its_segment(
    spool: SampleSpool, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    await put_in_segments(spool, BAD, GOOD)
    database = Database(error)
    drain = Drain(spool, database.store, yes)
    with refusing(monkeypatch, "replace", lambda _: True, errno.ENOSPC):
        await run_often(drain, spool)
        assert database.stored == ["good"]
        assert (len(spool.closed), spool.postponed) == (1, 0)
        assert "No space left on device" in str(spool.status()["failure"])
    await run_often(drain, spool)

    assert spool.is_empty
    assert spool.postponed + spool.quarantined == 1
    assert spool.status()["failing"] == 0


async def test_other_records_of_a_segment_are_stored_if_one_cannot_be_put_aside(
    spool: SampleSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for series in (BAD, GOOD):
        await spool.put(batch(series))
    database = Database(errors.NumericValueOutOfRange("too large"))
    drain = Drain(spool, database.store, yes)
    with refusing(monkeypatch, "replace", lambda _: True, errno.ENOSPC):
        await drain.run()

    assert database.stored == ["good"]
    assert not spool.is_empty


async def test_a_quarantine_that_cannot_be_listed_blocks_nothing(
    spool: SampleSpool, tmp_path: Path
) -> None:
    folder = tmp_path / "spool" / "quarantine"
    shutil.rmtree(folder)
    folder.write_bytes(b"")
    await spool.put(batch(GOOD))
    database = Database(None)
    drain = Drain(spool, database.store, yes)

    assert await drain.is_due()
    await drain.run()

    assert database.stored == ["good"]
    assert spool.status()["failure"] == "File exists: quarantine"


async def test_requeued_records_that_cannot_be_listed_are_reported(
    spool: SampleSpool, tmp_path: Path
) -> None:
    """As of root, who gave them back in a folder of its own."""
    (tmp_path / "spool" / "requeued").write_bytes(b"")
    await spool.put(batch(GOOD))
    database = Database(None)
    with structlog.testing.capture_logs() as logged:
        await run_often(Drain(spool, database.store, yes), spool)

    assert database.stored == ["good"]
    reported = [entry for entry in logged if entry["event"] == "spool_file_failed"]
    assert [(entry["file"], entry["error"]) for entry in reported] == [
        ("requeued", "Not a directory")
    ]


async def test_a_database_that_stores_nothing_causes_no_new_segment_in_each_run(
    spool: SampleSpool, tmp_path: Path
) -> None:
    drain = Drain(spool, Database(errors.InsufficientPrivilege()).store, yes)
    for number in range(10):
        await spool.put(batch(BAD, number))
        with pytest.raises(errors.InsufficientPrivilege):
            await drain.run()

    assert len(list((tmp_path / "spool").glob("*.spool"))) == 2


async def test_a_timeout_of_the_database_is_not_a_failure_of_the_disk(spool: SampleSpool) -> None:
    await spool.put(batch(GOOD))
    with pytest.raises(TimeoutError):
        await Drain(spool, _never, no).run()

    assert spool.status()["failing"] == 0


async def _never(_: WriteBatch) -> WriteBatch:
    raise TimeoutError


async def test_a_segment_that_was_cut_short_is_noticed_before_the_next_acknowledgement(
    spool: SampleSpool, tmp_path: Path
) -> None:
    await spool.put(batch(BAD))
    [segment] = (tmp_path / "spool").glob("*.spool")
    os.truncate(segment, 0)

    await spool.put(batch(GOOD))

    database = Database(None)
    await Drain(spool, database.store, yes).run()
    assert database.stored == ["good"]


async def test_a_folder_among_the_refused_records_is_passed_over(
    spool: SampleSpool, tmp_path: Path
) -> None:
    for name in ("quarantine", "requeued"):
        (tmp_path / "spool" / name / "refused-3").mkdir(parents=True)
    await spool.put(batch(GOOD))

    database = Database(None)
    await Drain(spool, database.store, yes).run()
    assert database.stored == ["good"]
    assert quarantine.read(tmp_path / "spool") == []
