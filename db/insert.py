"""How a load gets into its tables: by COPY where it is new, by key otherwise."""

from collections.abc import Mapping, Sequence

import numpy as np
import psycopg
from msgspec import Struct

from db import late, queries
from db.arrays import Array, BigIntegers, Doubles, Integers, Timestamps, copy_rows
from db.batch import Batch, batch_of, distributions
from db.load import Load
from db.queries import Connection
from vigia.model import Column, Histogram, Series

_QUERIES = queries.load("insert")
INSERT = _QUERIES["insert"]
INSERT_DISTRIBUTIONS = _QUERIES["insert_distributions"]
COPY = _QUERIES["copy"]
NEWEST = _QUERIES["newest"]
NOTE = _QUERIES["note"]
SET_REASONS = _QUERIES["set_reasons"]
INSERT_HISTOGRAMS = _QUERIES["insert_histograms"]

COPY_ROWS_MIN = 500
"""For fewer, the round trips that a COPY takes cost more than it saves."""


class Inserted(Struct, frozen=True):
    """How many were not there yet, and the minute whose evaluation has begun."""

    accepted: int
    begun_s: int | None


async def insert_load(
    connection: Connection, known: Mapping[Series, int], load: Load, *, can_copy: bool
) -> int:
    """Insert a load, of series whose numbers are known, in the caller's transaction.

    Returns how many samples and histograms were not there yet.
    """
    accepted = 0
    if load.columns:
        batch = batch_of(load.columns, known)
        bucketed = distributions(load.columns, known)
        accepted += await _insert(connection, batch, bucketed, can_copy=can_copy)
        await _set_reasons(connection, known, load.columns)
    if load.histograms:
        accepted += await _insert_histograms(connection, known, load.histograms)
    return accepted


async def _insert(
    connection: Connection, batch: Batch, distributions: Sequence[int], *, can_copy: bool
) -> int:
    bucketed, others = batch.split(distributions) if distributions else (None, batch)
    accepted = await _insert_distributions(connection, bucketed) if bucketed else 0
    if others:
        accepted += await _insert_samples(connection, others, can_copy=can_copy)
    if accepted:
        new = batch if accepted == len(batch) else await _new(connection, batch, accepted)
        begun_s = await _note(connection, batch)
        await late.record(connection, new.series_ids, new.times, begun_s)
    return accepted


async def _insert_samples(connection: Connection, batch: Batch, *, can_copy: bool) -> int:
    """Copy what is hoped to be new; where something was there, go by key instead."""
    if can_copy and len(batch) >= COPY_ROWS_MIN:
        try:
            async with connection.transaction():
                await _copy(connection, batch)
        except psycopg.errors.UniqueViolation:
            pass
        else:
            return len(batch)
    return await queries.run(connection, INSERT, **_arrays(batch))


async def _copy(connection: Connection, batch: Batch) -> None:
    async with connection.cursor() as cursor, cursor.copy(COPY) as copy:
        await copy.write(copy_rows(batch.series_ids, batch.times, batch.values))


async def _insert_distributions(connection: Connection, batch: Batch) -> int:
    accepted: int = await queries.value(connection, INSERT_DISTRIBUTIONS, **_arrays(batch))
    return accepted


def _arrays(batch: Batch) -> dict[str, Array]:
    return {
        "series_ids": Integers(batch.series_ids),
        "times": Timestamps(batch.times),
        "values": Doubles(batch.values),
    }


async def _new(connection: Connection, batch: Batch, accepted: int) -> Batch:
    """Return the rows that were not there yet, as of one who sends the newest again with the next.

    Those that filled a gap cannot be told from those that were there: then it is all of them.
    """
    starts, ends = batch.bounds()
    newest = await queries.value(connection, NEWEST, series_ids=Integers(batch.series_ids[starts]))
    newer = batch.where(batch.times > np.repeat(np.array(newest, np.int64), ends + 1 - starts))
    return newer if len(newer) == accepted else batch


async def _note(connection: Connection, batch: Batch) -> int | None:
    starts, ends = batch.bounds()
    begun_s: int | None = await queries.value(
        connection,
        NOTE,
        series_ids=Integers(batch.series_ids[starts]),
        first_times=Timestamps(batch.times[starts]),
        last_times=Timestamps(batch.times[ends]),
        last_values=Doubles(batch.values[ends]),
    )
    return begun_s


async def _set_reasons(
    connection: Connection, numbers: Mapping[Series, int], columns: Sequence[Column]
) -> None:
    observed = [column for column in columns if column.series.metric == "component_up"]
    if observed:
        await queries.run(
            connection,
            SET_REASONS,
            series_ids=[numbers[column.series] for column in observed],
            times=[column.newest().time for column in observed],
            reasons=[column.reason for column in observed],
        )


async def _insert_histograms(
    connection: Connection, numbers: Mapping[Series, int], histograms: Sequence[Histogram]
) -> int:
    lengths = [len(one.buckets) for one in histograms]
    ids = np.array([numbers[one.series] for one in histograms], np.int32)
    times = np.array([one.time for one in histograms], np.int64)
    [found] = await queries.rows(
        connection,
        Inserted,
        INSERT_HISTOGRAMS,
        series_ids=Integers(np.repeat(ids, lengths)),
        times=Timestamps(np.repeat(times, lengths)),
        log_buckets=Integers(np.concatenate([one.buckets for one in histograms])),
        counts=BigIntegers(np.concatenate([one.counts for one in histograms])),
    )
    if found.accepted:
        await late.record(connection, ids, times, found.begun_s)
    return found.accepted
