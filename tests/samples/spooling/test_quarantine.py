"""A refused record is listed with its reason, and is stored after it was requeued."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from psycopg import errors

from db.queries import Pool
from model.series import Sample, Series, columns_of
from samples.spooling import quarantine
from samples.spooling.drain import Drain
from samples.spooling.spool import SampleSpool, open_spool
from samples.write_batch import WriteBatch
from samples.writer import Writer
from vigia.cli.main import main

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GOOD, BAD = (Series(metric=name, component="a") for name in ("good", "bad"))


def batch(series: Series, value: float = 1.0) -> WriteBatch:
    return WriteBatch(columns_of([Sample(series, NOW, value)]))


def ignore(_: Sequence[Sample]) -> None:
    """Nobody listens."""


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[SampleSpool]:
    async with open_spool(tmp_path / "spool") as opened:
        yield opened


class Database:
    """Stores loads in a list, but for those of one series, which it answers with an error."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.stored: list[str] = []

    async def store(self, given: WriteBatch) -> WriteBatch:
        names = [column.series.metric for column in given.columns]
        if self.error is not None and "bad" in names:
            raise self.error
        self.stored += names
        return WriteBatch()


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


def let_time_pass(drain: Drain) -> None:
    drain._resting_until = 0


async def test_a_batch_refused_without_a_clear_error_does_not_block_others(
    spool: SampleSpool,
) -> None:
    database = Database(errors.InternalError_("no chunk"))
    drain = Drain(spool, database.store, yes)
    for each in (batch(BAD), batch(GOOD), batch(GOOD)):
        await spool.put(each)

    await drain.run()

    assert database.stored == ["good", "good"]
    assert (spool.postponed, spool.status()["refused"], spool.is_empty) == (1, 0, True)
    assert not await drain.is_due()

    database.error = None
    let_time_pass(drain)
    assert await drain.is_due()
    await drain.run()
    assert (database.stored, spool.postponed) == (["good", "good", "bad"], 0)


async def test_a_segment_that_is_read_again_quarantines_and_postpones_nothing_twice(
    spool: SampleSpool, tmp_path: Path
) -> None:
    """The database fails in the middle of a segment, several times."""
    kinds: dict[str, Exception] = {
        "refused": errors.NumericValueOutOfRange("too large"),
        "unclear": errors.InternalError_("no chunk"),
        "away": errors.AdminShutdown(),
    }

    async def store(given: WriteBatch) -> WriteBatch:
        for column in given.columns:
            if error := kinds.get(column.series.metric):
                raise error
        return WriteBatch()

    async def is_well() -> bool:
        return not isinstance(kinds.get("away"), errors.AdminShutdown) or not is_away

    is_away = False

    async def store_and_note(given: WriteBatch) -> WriteBatch:
        nonlocal is_away
        is_away = any(column.series.metric == "away" for column in given.columns)
        return await store(given)

    for metric in ("refused", "unclear", "away"):
        await spool.put(batch(Series(metric=metric, component="a")))
    drain = Drain(spool, store_and_note, is_well)
    [segment] = await spool.segments()
    for _ in range(3):
        for each in await spool.read(segment):
            with suppress(errors.AdminShutdown):
                await drain._take(each)

    assert (spool.postponed, spool.status()["refused"]) == (1, 1)
    assert spool.quarantined == 1
    assert len(quarantine.read(tmp_path / "spool")) == 1
    assert not spool.is_empty


async def test_a_database_that_refuses_everything_without_a_clear_reason_is_away(
    spool: SampleSpool,
) -> None:
    database = Database(errors.InternalError_("a broken extension"))
    drain = Drain(spool, database.store, no)
    series = [Series(metric="bad", component=f"c{number}") for number in range(100)]
    await spool.put(WriteBatch(columns_of([Sample(each, NOW, 1.0) for each in series])))

    with pytest.raises(errors.InternalError_):
        await drain.run()

    assert (spool.postponed, spool.is_empty) == (0, False)


async def test_nothing_is_quarantined_while_the_database_accepts_no_writes(
    spool: SampleSpool,
) -> None:
    drain = Drain(spool, Database(errors.ReadOnlySqlTransaction()).store, no)
    await spool.put(batch(BAD))

    with pytest.raises(errors.ReadOnlySqlTransaction):
        await drain.run()

    assert (spool.status()["refused"], spool.is_empty) == (0, False)


async def test_refused_records_are_listed_and_requeued_beside_the_running_service(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIGIA_DATA_DIR", str(tmp_path))
    runner = CliRunner()

    async def spool_command(*arguments: str) -> tuple[int, str]:
        found = await asyncio.to_thread(runner.invoke, main, ["spool", *arguments])
        return found.exit_code, found.output

    async with open_spool(tmp_path / "spool") as spool:
        await spool.refuse(batch(GOOD, 6.5), "too many series")
        code, listed = await spool_command("list", "--json")
        [record] = json.loads(listed)["items"]
        assert (code, record["samples"], record["reason"]) == (0, 1, "too many series")
        assert (await spool_command("requeue"))[0] == 2
        code, said = await spool_command("requeue", "refused-0")
        assert code == 1
        assert "refused-0" in said

        draining = asyncio.create_task(Writer(pool, ignore, spool).drain_spool())
        code, said = await spool_command("requeue", record["name"])
        assert code == 0
        assert said.startswith("1 record waits to be stored")
        assert "or by the next one that starts" in said
        async with asyncio.timeout(20):
            while not await _stored(pool):
                await asyncio.sleep(0.05)
        draining.cancel()

    assert quarantine.read(tmp_path / "spool") == []
    assert await spool_command("list") == (0, "the quarantine is empty\n")


async def _stored(pool: Pool) -> bool:
    async with pool.connection() as connection:
        found = await connection.execute("SELECT FROM metrics WHERE value = 6.5")
        return found.rowcount == 1


async def test_a_folder_that_was_deleted_is_noticed_before_the_next_acknowledgement(
    spool: SampleSpool, tmp_path: Path
) -> None:
    await spool.put(batch(BAD))
    shutil.rmtree(tmp_path / "spool")

    await spool.put(batch(GOOD))

    database = Database(None)
    await Drain(spool, database.store, yes).run()
    assert database.stored == ["good"]
    assert spool.status()["damaged_bytes"] > 0


@pytest.fixture
async def picky(pool: Pool) -> AsyncIterator[Pool]:
    """A database that never takes 667, has no clear answer to 666, and stores the rest."""
    async with pool.connection() as connection:
        await connection.execute(
            """CREATE FUNCTION picky() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF NEW.value = 666 THEN RAISE 'no chunk' USING ERRCODE = 'XX000'; END IF;
                IF NEW.value = 667 THEN RAISE 'too large' USING ERRCODE = '22003'; END IF;
                RETURN NEW;
            END $$"""
        )
        await connection.execute(
            """CREATE TRIGGER picky BEFORE INSERT ON system_metrics
            FOR EACH ROW EXECUTE FUNCTION picky()"""
        )
    yield pool
    async with pool.connection() as connection:
        await connection.execute("DROP TRIGGER IF EXISTS picky ON system_metrics")
        await connection.execute("DROP FUNCTION IF EXISTS picky()")


async def values_of(pool: Pool) -> list[float]:
    async with pool.connection() as connection:
        found = await connection.execute("SELECT value FROM metrics ORDER BY value")
        return [row[0] for row in await found.fetchall()]


def several(*values: float) -> WriteBatch:
    series = [Series(metric=f"m{number}", component="a") for number in range(len(values))]
    return WriteBatch(columns_of([Sample(s, NOW, v) for s, v in zip(series, values, strict=True)]))


async def test_only_the_refused_series_of_a_request_waits(picky: Pool, spool: SampleSpool) -> None:
    writer = Writer(picky, ignore, spool)

    assert (await writer.store(several(1, 666, 3))).duplicate is None
    draining = asyncio.create_task(writer.drain_spool())
    async with asyncio.timeout(20):
        while not spool.postponed or not spool.is_empty:
            await asyncio.sleep(0.05)
    draining.cancel()

    assert await values_of(picky) == [1, 3]
    assert (spool.postponed, spool.is_empty) == (1, True)


async def test_a_collected_batch_that_is_refused_waits_on_disk_and_those_after_it_are_stored(
    picky: Pool, spool: SampleSpool
) -> None:
    writer = Writer(picky, ignore, spool)
    writer.put([Sample(BAD, NOW, 666)])
    flushing = asyncio.create_task(writer.run())
    async with asyncio.timeout(20):
        while spool.is_empty:
            await asyncio.sleep(0.01)
        writer.put([Sample(GOOD, NOW, 7)])
        while await values_of(picky) != [7]:
            await asyncio.sleep(0.05)
    flushing.cancel()

    assert (writer.dropped, writer.pending) == (0, 0)


async def test_samples_that_arrive_while_a_refused_batch_is_written_to_disk_are_stored(
    picky: Pool, spool: SampleSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(picky, ignore, spool)
    put = spool.put

    async def put_while_more_comes(given: WriteBatch) -> None:
        writer.put([Sample(GOOD, NOW, 7)])
        await put(given)

    monkeypatch.setattr(spool, "put", put_while_more_comes)
    writer.put([Sample(BAD, NOW, 666)])

    await writer.drain()

    assert await values_of(picky) == [7]
    assert not spool.is_empty
    assert writer.dropped == 0


async def test_a_collected_value_that_the_database_never_takes_is_quarantined(
    picky: Pool, spool: SampleSpool
) -> None:
    writer = Writer(picky, ignore, spool)
    writer.put([Sample(BAD, NOW, 667), Sample(GOOD, NOW, 7)])

    await writer.drain()
    await Drain(spool, writer._store_acknowledged, yes).run()

    assert await values_of(picky) == [7]
    assert (spool.status()["refused"], writer.dropped) == (1, 0)


async def test_a_series_too_long_for_an_index_does_not_block_other_samples(
    pool: Pool, spool: SampleSpool
) -> None:
    """As of another version of Vigia, or of a rule: today every way in refuses it."""
    text = "".join(chr(0x4E00 + number * 7919 % 20000) for number in range(8000))
    huge = Series(metric="huge", component="a", labels=(("text", text),))
    writer = Writer(pool, ignore, spool)

    assert (await writer.store(batch(huge))).duplicate is None
    assert not writer.is_away
    assert (await writer.store(batch(GOOD, 7))).accepted == 1
    draining = asyncio.create_task(writer.drain_spool())
    async with asyncio.timeout(20):
        while not spool.postponed:
            await asyncio.sleep(0.05)
    assert await writer.wait_until_stored(10)
    draining.cancel()

    assert (writer.is_away, await values_of(pool)) == (False, [7])


async def test_many_refused_samples_of_one_sender_do_not_delay_those_of_others(
    picky: Pool, spool: SampleSpool
) -> None:
    writer = Writer(picky, ignore, spool)
    await writer.store(several(1))
    await spool.put(several(*[666] * 30, 3))

    draining = asyncio.create_task(writer.drain_spool())
    assert await writer.wait_until_stored(20)
    draining.cancel()

    assert (spool.postponed, await values_of(picky)) == (30, [1, 3])
    assert not writer.is_away
