"""What the writer does when the database fails, or a part of it, or the writer itself."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psycopg
import pytest
import structlog

from db.engine import Engine
from db.pool import open_pool
from db.queries import Pool
from model.series import Series
from samples import writer as db_writer
from samples.spooling.spool import SampleSpool, open_spool
from samples.write_batch import Stored, write_batch_of
from samples.writer import Writer
from tests.conftest import NATIVE_URL
from tests.samples.test_writer import at, ignore, stored

DRAINING = "samples.spooling.drain.grouped"


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("place", ["samples.database.write_check.try_write", DRAINING])
@pytest.mark.parametrize(
    "mistake",
    [
        TypeError("'>' not supported between instances of 'NoneType' and 'int'"),
        UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed"),
        psycopg.ProgrammingError("the query has 1 placeholder but 2 parameters were passed"),
    ],
    ids=lambda mistake: type(mistake).__name__,
)
async def test_a_mistake_of_the_program_is_no_outage_and_costs_no_sample(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, mistake: Exception
) -> None:
    tries = 0

    def fail(*_: object, **__: object) -> None:
        nonlocal tries
        tries += 1
        raise mistake

    monkeypatch.setattr(db_writer, "LOOK_S", 0.02)
    async with open_spool(tmp_path / "spool") as spool:
        writer = Writer(pool, ignore, spool)
        await spool.put(write_batch_of([at(0, 1)]))
        with structlog.testing.capture_logs() as logs:
            with monkeypatch.context() as broken:
                broken.setattr(place, fail)
                draining = asyncio.create_task(writer.drain_spool())
                await until(lambda: tries >= 3 or draining.done())
                assert not spool.is_empty
                assert (writer.is_away, writer.cause) == (False, "")
            await writer.store(write_batch_of([at(1, 2)]))
            await until(lambda: spool.is_empty or draining.done())
            await until(lambda: len(logs) > 1)
        assert not draining.done()
        draining.cancel()

    assert [(line["event"], line.get("exc_info")) for line in logs] == [
        ("drain_failed", mistake),
        ("drain_works_again", None),
    ]
    assert [value for _, _, value in await stored(pool)] == [1, 2]


async def test_a_mistake_in_the_drain_does_not_make_an_outage_last(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise TypeError("nobody foresaw this")

    monkeypatch.setattr(db_writer, "TRY_S", 0.02)
    async with open_spool(tmp_path / "spool") as spool:
        writer = Writer(pool, ignore, spool, is_away=True)
        await spool.put(write_batch_of([at(0, 1)]))
        monkeypatch.setattr(spool, "read", fail)
        draining = asyncio.create_task(writer.drain_spool())
        await until(lambda: not writer.is_away or draining.done())

        assert await writer.store(write_batch_of([at(1, 2)])) == Stored(1, 0, series=1)
        assert not spool.is_empty
        draining.cancel()


POISON = """
CREATE FUNCTION fail_inside() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_stat_activity
        WHERE pid = pg_backend_pid() AND backend_start < '{now}'::timestamptz
    ) THEN
        RAISE EXCEPTION 'could not open relation with OID 60676' USING ERRCODE = 'XX000';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER fail_inside BEFORE INSERT ON series FOR EACH ROW EXECUTE FUNCTION fail_inside();
CREATE TRIGGER fail_inside BEFORE INSERT ON replica_tokens
FOR EACH ROW EXECUTE FUNCTION fail_inside();
"""
"""As an extension that is dropped and made anew leaves the sessions that were open meanwhile."""


@pytest.fixture
async def poisoned(engine: Engine, pool: Pool) -> AsyncIterator[Pool]:
    """A pool of which no session takes a new series, and each made from now on does."""
    async with open_pool(engine.dsn, embedded=False, connections_max=4) as old:
        used = [await old.getconn() for _ in range(4)]
        for connection in used:
            await old.putconn(connection)
        async with pool.connection() as own:
            now = await (await own.execute("SELECT clock_timestamp()::text")).fetchone()
            assert now is not None
            await own.execute(POISON.replace("{now}", now[0]).encode())
            yield old
            await own.execute("DROP FUNCTION fail_inside CASCADE")


@pytest.mark.skipif(not NATIVE_URL, reason="the embedded engine has one session")
async def test_sessions_that_fail_for_ever_keep_no_sample_from_the_database(
    poisoned: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.pool.YOUNG_S", 0.0)
    async with open_spool(tmp_path / "spool") as spool:
        writer = Writer(poisoned, ignore, spool)
        assert await writer.store(write_batch_of([at(0, 1)])) == Stored(1, 0, series=1)
        assert (spool.is_empty, writer.is_away) == (True, False)


@pytest.mark.skipif(not NATIVE_URL, reason="the embedded engine has one session")
async def test_a_row_that_is_locked_holds_up_its_own_samples_alone(
    engine: Engine, pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db_writer, "WRITE_TIMEOUT_S", 1.0)
    locked, free = (Series(metric=name, component="a") for name in ("locked", "free"))
    other = await psycopg.AsyncConnection.connect(engine.dsn)
    async with open_spool(tmp_path / "spool") as spool, other:
        writer = Writer(pool, ignore, spool)
        await writer.store(write_batch_of([at(0, 1, locked), at(0, 1, free)]))
        await other.execute(
            "SELECT FROM series_state JOIN series ON id = series_id WHERE metric = 'locked' "
            "FOR UPDATE OF series_state"
        )
        assert await writer.store(write_batch_of([at(1, 2, locked)])) == Stored(1, None)
        assert not writer.is_away
        assert await writer.store(write_batch_of([at(1, 2, free)])) == Stored(1, 0)

        await other.rollback()
        await drained(writer, spool)
    assert len(await stored(pool)) == 4


async def drained(writer: Writer, spool: SampleSpool) -> None:
    draining = asyncio.create_task(writer.drain_spool())
    await until(lambda: spool.is_empty)
    draining.cancel()


UNREADABLE = Series(metric="server_disk_up", component="server", labels=(("mount", "/m\udcff"),))


async def test_a_name_that_is_no_text_costs_no_sample(pool: Pool, tmp_path: Path) -> None:
    async with open_spool(tmp_path / "spool") as spool:
        writer = Writer(pool, ignore, spool)
        writer.put([at(0, 1, UNREADABLE), at(0, 2)])
        assert await writer._flush()
        assert (writer.dropped, spool.is_empty) == (0, True)
    assert [value for _, _, value in await stored(pool)] == [2, 1]


async def test_a_batch_that_fails_in_a_way_that_nobody_foresaw_waits_on_disk(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise TypeError("nobody foresaw this")

    async with open_spool(tmp_path / "spool") as spool:
        writer = Writer(pool, ignore, spool)
        running = asyncio.create_task(writer.run())
        with monkeypatch.context() as broken:
            broken.setattr(db_writer, "insert_batch", fail)
            writer.put([at(0, 1)])
            await until(lambda: not spool.is_empty or running.done())
        writer.put([at(1, 2)])
        await drained(writer, spool)
        await until(lambda: writer.stored == 2)
        assert (running.done(), writer.dropped) == (False, 0)
        running.cancel()


async def test_an_outage_is_logged_once_by_the_flush(away: Pool) -> None:
    writer = Writer(away, ignore)
    writer.put([at(0, 1)])
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            assert not await writer._flush()
    assert [line["event"] for line in logs].count("flush_failed") == 1
