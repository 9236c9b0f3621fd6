"""Inserts a write batch: with COPY if all of it is new, otherwise with INSERT … ON CONFLICT."""

import asyncio
from collections.abc import Mapping, Sequence
from uuid import UUID

import numpy as np
import psycopg
import structlog
from msgspec import Struct

from db import queries
from db.arrays import Array, BigIntegers, Doubles, Integers, Timestamps, copy_rows
from db.queries import Connection
from model.limits import FUTURE_MAX
from model.series import COMPONENT_UP, HOST_SILENT_SECONDS, Column, Histogram, Sample, Series
from samples import late
from samples.rows import InsertRows, distributions, insert_rows_of
from samples.series import OWN_SERIES, SeriesNumbers
from samples.write_batch import WriteBatch, sort_out, write_batch_of

log = structlog.get_logger()

_QUERIES, _PARTS = queries.load(__file__), queries.load_parts(__file__)
INSERT = _QUERIES["insert"]
INSERT_DISTRIBUTIONS = _QUERIES["insert_distributions"]
COPY = _QUERIES["copy"]
NEWEST = _QUERIES["newest"]
KEEP_NEWEST = queries.fill(_PARTS["keep_newest"], gives_way=_PARTS["gives_way"])
NOTE = queries.fill(_QUERIES["note"], keep_newest=KEEP_NEWEST)
MARK = _QUERIES["mark"]
SET_REASONS = _QUERIES["set_reasons"]
INSERT_HISTOGRAMS = queries.fill(_QUERIES["insert_histograms"], keep_newest=KEEP_NEWEST)

COPY_ROWS_MIN = 500
"""For fewer rows, the extra round trips of COPY cost more than it saves."""
WITH_REASON = frozenset({COMPONENT_UP, HOST_SILENT_SECONDS})
"""Metrics whose newest reason is stored, for the texts of alerts."""
THREAD_COLUMNS_MIN = 2000
"""From this many columns on, the rows are built in a thread. It takes more than a millisecond."""


class Mark(Struct, frozen=True):
    """The file of the series table and this process' token, which identify the database."""

    series_file: int
    token: UUID | None


class _Noted(Struct, frozen=True):
    """The minute whose evaluation has begun (epoch seconds), and the mark of the database."""

    begun_s: int | None
    series_file: int
    token: UUID | None


class _Inserted(_Noted, frozen=True):
    """The same, and how many histograms were new."""

    accepted: int


class Inserted(Struct, frozen=True):
    """How many samples and histograms were new, and the mark of the database that stored them."""

    accepted: int
    mark: Mark


async def insert_batch(
    connection: Connection,
    known: Mapping[Series, int],
    batch: WriteBatch,
    *,
    can_copy: bool,
    replica: UUID | None = None,
) -> Inserted:
    """Insert a batch in the caller's transaction. `known` has the number of each of its series.

    1. Store the samples that are not stored yet.
    2. Update the newest sample of each series, and note late ranges for the maintenance.
    3. Record samples that are older than the minute under evaluation, for previews.
    4. Set the reasons of `component_up` and `host_silent_seconds`.
    5. Do the same for histograms.
    """
    accepted, noted = 0, None
    if batch.columns:
        rows = await _insert_rows_of(batch.columns, known)
        bucketed = distributions(batch.columns, known)
        accepted, noted = await _insert(connection, rows, bucketed, replica, can_copy=can_copy)
        await _set_reasons(connection, known, batch.columns)
    if batch.histograms:
        found = await _insert_histograms(connection, known, batch.histograms, replica)
        accepted, noted = accepted + found.accepted, found
    if noted is None:
        [noted] = await queries.rows(connection, _Noted, MARK, replica=replica)
    return Inserted(accepted, Mark(noted.series_file, noted.token))


async def insert(connection: Connection, numbers: SeriesNumbers, samples: Sequence[Sample]) -> int:
    """Insert samples in the caller's transaction, and return how many were new."""
    batch = write_batch_of(samples)
    found = await numbers.of(connection, batch.series(), reserve=OWN_SERIES)
    taken, refused = sort_out(batch, found.known)
    if refused.samples:
        log.error("samples_dropped", count=refused.samples, reason="too many series")
    return (await insert_batch(connection, found.known, taken, can_copy=False)).accepted


async def _insert_rows_of(columns: Sequence[Column], known: Mapping[Series, int]) -> InsertRows:
    if len(columns) < THREAD_COLUMNS_MIN:
        return insert_rows_of(columns, known)
    return await asyncio.to_thread(insert_rows_of, columns, known)


async def _insert(
    connection: Connection,
    rows: InsertRows,
    distributions: Sequence[int],
    replica: UUID | None,
    *,
    can_copy: bool,
) -> tuple[int, _Noted | None]:
    bucketed, others = rows.split(distributions) if distributions else (None, rows)
    accepted = await _insert_distributions(connection, bucketed) if bucketed else 0
    if others:
        accepted += await _insert_samples(connection, others, can_copy=can_copy)
    if not accepted:
        return 0, None
    new = rows if accepted == len(rows) else await _new(connection, rows, accepted)
    noted = await _note(connection, rows, replica)
    await late.record(connection, new.series_ids, new.times, noted.begun_s)
    return accepted, noted


async def _insert_samples(connection: Connection, rows: InsertRows, *, can_copy: bool) -> int:
    """Store rows, and return how many were new.

    COPY is faster but fails if any row exists already. Then its savepoint is rolled back, and the
    rows are inserted by key.
    """
    if can_copy and len(rows) >= COPY_ROWS_MIN:
        try:
            async with connection.transaction():
                await _copy(connection, rows)
        except psycopg.errors.UniqueViolation:
            pass
        else:
            return len(rows)
    return await queries.run(connection, INSERT, **_arrays(rows))


async def _copy(connection: Connection, rows: InsertRows) -> None:
    async with connection.cursor() as cursor, cursor.copy(COPY) as copy:
        await copy.write(copy_rows(rows.series_ids, rows.times, rows.values))


async def _insert_distributions(connection: Connection, rows: InsertRows) -> int:
    accepted: int = await queries.value(connection, INSERT_DISTRIBUTIONS, **_arrays(rows))
    return accepted


def _arrays(rows: InsertRows) -> dict[str, Array]:
    return {
        "series_ids": Integers(rows.series_ids),
        "times": Timestamps(rows.times),
        "values": Doubles(rows.values),
    }


async def _new(connection: Connection, rows: InsertRows, accepted: int) -> InsertRows:
    """Return the rows that were new, when only a part of them was.

    If a sender repeats old samples before new ones, the new rows are those after the newest sample
    of their series. If new rows also filled a gap, they cannot be told from the repeated ones, and
    all rows are returned.
    """
    starts, ends = rows.bounds()
    newest = await queries.value(connection, NEWEST, series_ids=Integers(rows.series_ids[starts]))
    newer = rows.where(rows.times > np.repeat(np.array(newest, np.int64), ends + 1 - starts))
    return newer if len(newer) == accepted else rows


async def _note(connection: Connection, rows: InsertRows, replica: UUID | None) -> _Noted:
    starts, ends = rows.bounds()
    [noted] = await queries.rows(
        connection,
        _Noted,
        NOTE,
        replica=replica,
        series_ids=Integers(rows.series_ids[starts]),
        first_times=Timestamps(rows.times[starts]),
        last_times=Timestamps(rows.times[ends]),
        last_values=Doubles(rows.values[ends]),
        future=FUTURE_MAX,
    )
    return noted


async def _set_reasons(
    connection: Connection, numbers: Mapping[Series, int], columns: Sequence[Column]
) -> None:
    observed = [column for column in columns if column.series.metric in WITH_REASON]
    if observed:
        await queries.run(
            connection,
            SET_REASONS,
            series_ids=[numbers[column.series] for column in observed],
            times=[column.newest().time for column in observed],
            reasons=[column.reason for column in observed],
        )


async def _insert_histograms(
    connection: Connection,
    numbers: Mapping[Series, int],
    histograms: Sequence[Histogram],
    replica: UUID | None,
) -> _Inserted:
    lengths = [len(one.buckets) for one in histograms]
    ids = np.array([numbers[one.series] for one in histograms], np.int32)
    times = np.array([one.time for one in histograms], np.int64)
    [found] = await queries.rows(
        connection,
        _Inserted,
        INSERT_HISTOGRAMS,
        replica=replica,
        series_ids=Integers(np.repeat(ids, lengths)),
        times=Timestamps(np.repeat(times, lengths)),
        log_buckets=Integers(np.concatenate([one.buckets for one in histograms])),
        counts=BigIntegers(np.concatenate([one.counts for one in histograms])),
        future=FUTURE_MAX,
    )
    if found.accepted:
        await late.record(connection, ids, times, found.begun_s)
    return found
