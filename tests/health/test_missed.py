"""Missed slots are checked in small parts: a finished part stays, whatever happens later."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path

import pytest
from psycopg import errors

from config.model import Config
from db.queries import Connection, Pool
from health.missed import MissedChecks
from model.series import Category, Sample, Series
from samples.insert import insert
from samples.series import SeriesNumbers

START = datetime(2026, 1, 1, tzinfo=UTC)
SLOT = timedelta(seconds=30)
INTERVAL_S = SLOT.total_seconds()
STALE = timedelta(days=1)
THRESHOLDS = Config().thresholds_document()
UP = Series(metric="component_up", component="app", category=Category.EXTERNAL)
REFUSE = """
CREATE FUNCTION refuse_slot() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN RAISE EXCEPTION 'this slot is refused'; END$$;
CREATE TRIGGER refuse_slot BEFORE INSERT ON component_checks FOR EACH ROW
    WHEN (new.time = '2026-01-01 00:00:30+00') EXECUTE FUNCTION refuse_slot();
"""
ACCEPT = "DROP TRIGGER refuse_slot ON component_checks; DROP FUNCTION refuse_slot()"


@pytest.fixture
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    """A connection to a database that knows of one component, which is up."""
    async with pool.connection() as opened:
        await insert(opened, SeriesNumbers(), [Sample(UP, START, 1.0)])
        yield opened


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "missed.json"


def missing(file: Path, count: int) -> MissedChecks:
    """Return a memory of so many missed slots, the first of them behind the start."""
    missed = MissedChecks(file)
    for number in range(1, count + 1):
        missed.note(START + number * SLOT, INTERVAL_S, is_away=False)
    return missed


async def record(missed: MissedChecks, connection: Connection, until: float = inf) -> None:
    await missed.record(connection, THRESHOLDS, STALE, until)


async def judged(connection: Connection) -> list[int]:
    """Return the numbers of the slots that have a check."""
    cursor = await connection.execute("SELECT time FROM component_checks ORDER BY time")
    return [(at - START) // SLOT for (at,) in await cursor.fetchall()]


async def test_when_the_time_is_up_one_slot_is_judged_and_the_others_wait(
    connection: Connection, file: Path
) -> None:
    missed = missing(file, 3)
    for done in (1, 2, 3):
        await record(missed, connection, until=time.monotonic())

        assert await judged(connection) == list(range(1, done + 1))
        assert len(missed.slots) == 3 - done
        assert MissedChecks(file).slots == missed.slots


async def test_a_turn_that_is_cut_short_keeps_what_it_has_done(
    connection: Connection, file: Path
) -> None:
    missed = missing(file, 100)
    recording = asyncio.create_task(record(missed, connection))
    while len(missed.slots) == 100 and not recording.done():
        await asyncio.sleep(0)
    recording.cancel()
    with pytest.raises(asyncio.CancelledError):
        await recording

    left = MissedChecks(file).slots
    assert left == missed.slots
    assert 0 < len(left) < 100


async def test_a_slot_that_cannot_be_judged_holds_up_no_other(
    connection: Connection, file: Path
) -> None:
    missed = missing(file, 3)
    await connection.execute(REFUSE)
    try:
        for _ in range(2):
            with pytest.raises(errors.RaiseException):
                await record(missed, connection)
        assert await judged(connection) == [2, 3]
        assert [slot.at for slot in missed.slots] == [START + SLOT]
    finally:
        await connection.execute(ACCEPT)

    await record(missed, connection)
    assert (await judged(connection), missed.slots) == ([1, 2, 3], [])


def test_slots_between_two_checks_are_kept_through_a_kill(file: Path) -> None:
    missed = MissedChecks(file)
    missed.note_checked(START)
    missed.note_gap(START + 3 * SLOT, INTERVAL_S)
    missed.note_checked(START + 3 * SLOT)

    found = MissedChecks(file).slots
    assert [slot.at for slot in found] == [START + SLOT, START + 2 * SLOT]
    assert not any(slot.is_away for slot in found)


def test_a_slot_is_noted_once_with_those_before_it(file: Path) -> None:
    missed = MissedChecks(file)
    missed.note_checked(START)
    missed.note_gap(START + 3 * SLOT, INTERVAL_S)
    missed.note(START + 3 * SLOT, INTERVAL_S, is_away=True)

    found = MissedChecks(file).slots
    assert [((slot.at - START) // SLOT, slot.is_away) for slot in found] == [
        (1, False),
        (2, False),
        (3, True),
    ]


async def test_a_start_that_waits_for_the_database_records_its_outage_and_no_earlier_slot(
    connection: Connection, file: Path
) -> None:
    """A check, a kill, and a start that waits from the fourth slot to the sixth."""
    await connection.execute(
        "INSERT INTO component_checks (time, component, status, stands_for_s, reason)"
        " VALUES (%s, 'app', 'healthy', 30, '')",
        [START],
    )
    missed = MissedChecks(file)
    for seconds in range(125, 185, 5):
        missed.note_waiting(START + timedelta(seconds=seconds), INTERVAL_S)
    await missed.learn(connection)
    missed.note_gap(START + 7 * SLOT, INTERVAL_S)

    noted = {(slot.at - START) // SLOT: slot.is_away for slot in missed.slots}
    assert noted == {1: False, 2: False, 3: False, 4: True, 5: True, 6: True}

    await record(missed, connection)
    cursor = await connection.execute(
        "SELECT time FROM component_checks WHERE component = 'database' AND status = 'down'"
        " ORDER BY time"
    )
    assert [(at - START) // SLOT for (at,) in await cursor.fetchall()] == [4, 5, 6]
