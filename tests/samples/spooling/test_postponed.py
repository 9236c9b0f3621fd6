"""Samples are postponed only for an error about them, and are kept until they are stored."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from psycopg import errors

from db.queries import Pool
from db.unfit import UNFIT
from samples.database.incarnation import UnfitError
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
    several,
    values_of,
    yes,
)


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[SampleSpool]:
    async with open_spool(tmp_path / "spool") as opened:
        yield opened


@pytest.mark.parametrize(
    "error",
    [
        errors.ProgramLimitExceeded("index row size 8200 exceeds maximum"),
        errors.QueryCanceled("statement timeout"),
        errors.OperationalError("of a kind that nobody has seen"),
        TimeoutError(),
    ],
)
async def test_a_batch_that_always_fails_like_an_outage_is_postponed_alone(
    spool: SampleSpool, error: Exception
) -> None:
    database = Database(error)
    drain = Drain(spool, database.store, yes)
    for each in (batch(GOOD), batch(BAD), batch(GOOD)):
        await spool.put(each)

    await drain.run()

    assert database.stored == ["good", "good"]
    assert (spool.postponed, spool.status()["refused"], spool.is_empty) == (1, 0, True)


@pytest.mark.parametrize("error", [UnfitError("the database was replaced"), *(e() for e in UNFIT)])
async def test_a_state_of_the_database_is_never_about_a_sample(
    spool: SampleSpool, error: Exception
) -> None:
    database = Database(error)
    for each in (batch(BAD), batch(GOOD)):
        await spool.put(each)

    with pytest.raises(type(error)):
        await Drain(spool, database.store, yes).run()

    assert (database.stored, spool.postponed, spool.status()["refused"]) == ([], 0, 0)


async def test_a_failure_to_create_series_does_not_quarantine_samples(
    pool: Pool, spool: SampleSpool
) -> None:
    """As between the data and the indexes of a restore: rows are taken, and no series."""
    writer = Writer(pool, ignore, spool)
    async with pool.connection() as connection:
        await connection.execute(
            "ALTER TABLE series DROP CONSTRAINT series_metric_component_labels_key"
        )
    draining = asyncio.create_task(writer.drain_spool())
    try:
        assert (await writer.store(several(*range(50)))).duplicate is None
        async with asyncio.timeout(20):
            while not writer.is_away:
                await asyncio.sleep(0.05)
        assert "no unique or exclusion constraint" in writer.cause
    finally:
        async with pool.connection() as connection:
            await connection.execute("ALTER TABLE series ADD UNIQUE (metric, component, labels)")
    assert spool.postponed == 0
    assert await writer.wait_until_stored(20)
    draining.cancel()

    assert await values_of(pool) == list(range(50))


async def test_one_lost_connection_postpones_nothing(spool: SampleSpool) -> None:
    errors_of_the_first = [errors.AdminShutdown("terminating connection")]

    async def store(_: WriteBatch) -> WriteBatch:
        if errors_of_the_first:
            raise errors_of_the_first.pop()
        return WriteBatch()

    await spool.put(batch(GOOD))
    await Drain(spool, store, yes).run()

    assert (spool.postponed, spool.is_empty) == (0, True)


async def test_a_batch_that_fails_by_a_defect_does_not_block_others(
    spool: SampleSpool,
) -> None:
    database = Database(ZeroDivisionError("a defect of ours"))
    for each in (batch(BAD), batch(GOOD)):
        await spool.put(each)

    await Drain(spool, database.store, yes).run()

    assert (database.stored, spool.postponed, spool.is_empty) == (["good"], 1, True)


async def test_postponed_records_survive_a_restart(tmp_path: Path) -> None:
    async with open_spool(tmp_path / "spool") as first:
        await first.postpone(batch(BAD))
        await first.postpone(batch(BAD))
    async with open_spool(tmp_path / "spool") as second:
        database = Database(None)
        assert second.postponed == 1
        await Drain(second, database.store, yes).run()

    assert database.stored == ["bad"]


async def test_a_postponed_record_that_was_deleted_can_be_postponed_again(
    spool: SampleSpool, tmp_path: Path
) -> None:
    await spool.postpone(batch(BAD))
    [record] = (tmp_path / "spool" / "postponed").iterdir()
    record.unlink()

    await spool.postpone(batch(BAD))

    assert record.exists()
