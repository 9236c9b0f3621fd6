"""What the database refused is listed with its reason, and is stored once it is given back."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner
from psycopg import errors

from db import drain as db_drain
from db import quarantine
from db.backlog import Backlog, open_backlog
from db.drain import Drain
from db.load import Load
from db.queries import Pool
from db.writer import Writer
from vigia.cli import main
from vigia.model import Sample, Series, columns_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GOOD, BAD = (Series(metric=name, component="a") for name in ("good", "bad"))


def load(series: Series, value: float = 1.0) -> Load:
    return Load(columns_of([Sample(series, NOW, value)]))


def ignore(_: Sequence[Sample]) -> None:
    """Nobody listens."""


@pytest.fixture
async def backlog(tmp_path: Path) -> AsyncIterator[Backlog]:
    async with open_backlog(tmp_path / "spool") as opened:
        yield opened


class Database:
    """Stores loads in a list, but for those of one series, which it answers with an error."""

    def __init__(self, error: psycopg.Error | None) -> None:
        self.error = error
        self.stored: list[str] = []

    async def store(self, given: Load) -> Load:
        names = [column.series.metric for column in given.columns]
        if self.error is not None and "bad" in names:
            raise self.error
        self.stored += names
        return Load()


async def test_a_load_refused_without_a_clear_reason_waits_behind_all_others(
    backlog: Backlog, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(errors.InternalError_("no chunk"))
    drain = Drain(backlog, database.store)
    for each in (load(BAD), load(GOOD), load(GOOD)):
        await backlog.put(each)

    await drain.run()

    assert database.stored == ["good", "good"]
    assert (drain.postponed, backlog.status()["refused"], backlog.is_empty) == (1, 0, False)
    assert not await drain.is_due()

    database.error = None
    monkeypatch.setattr(db_drain, "POSTPONED_FOR_S", 0)
    drain._resting_until = 0
    assert await drain.is_due()
    await drain.run()
    assert (database.stored, backlog.is_empty) == (["good", "good", "bad"], True)


async def test_a_database_that_takes_no_writes_quarantines_nothing(backlog: Backlog) -> None:
    drain = Drain(backlog, Database(errors.ReadOnlySqlTransaction()).store)
    await backlog.put(load(BAD))

    with pytest.raises(errors.ReadOnlySqlTransaction):
        await drain.run()

    assert (backlog.status()["refused"], backlog.is_empty) == (0, False)


async def test_refused_records_are_listed_and_given_back_beside_the_running_service(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIGIA_DATA_DIR", str(tmp_path))
    runner = CliRunner()

    async def spool(*arguments: str) -> tuple[int, str]:
        found = await asyncio.to_thread(runner.invoke, main, ["spool", *arguments])
        return found.exit_code, found.output

    async with open_backlog(tmp_path / "spool") as backlog:
        await backlog.refuse(load(GOOD, 6.5), "too many series")
        code, listed = await spool("list", "--json")
        [record] = json.loads(listed)["items"]
        assert (code, record["samples"], record["reason"]) == (0, 1, "too many series")
        assert (await spool("requeue"))[0] == 2
        code, said = await spool("requeue", "refused-0")
        assert code == 1
        assert "refused-0" in said

        taking_back = asyncio.create_task(Writer(pool, ignore, backlog).take_back())
        assert (await spool("requeue", record["name"]))[0] == 0
        async with asyncio.timeout(20):
            while not await _stored(pool):
                await asyncio.sleep(0.05)
        taking_back.cancel()

    assert quarantine.read(tmp_path / "spool") == []
    assert await spool("list") == (0, "the quarantine is empty\n")


async def _stored(pool: Pool) -> bool:
    async with pool.connection() as connection:
        found = await connection.execute("SELECT FROM metrics WHERE value = 6.5")
        return found.rowcount == 1


async def test_a_folder_that_was_deleted_is_noticed_before_the_next_acknowledgement(
    backlog: Backlog, tmp_path: Path
) -> None:
    await backlog.put(load(BAD))
    shutil.rmtree(tmp_path / "spool")

    await backlog.put(load(GOOD))

    database = Database(None)
    await Drain(backlog, database.store).run()
    assert database.stored == ["good"]
    assert backlog.status()["damaged_bytes"] > 0
