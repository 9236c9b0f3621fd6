"""Where a replay sees more than alerts did: samples that came late, and time nobody looked at."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from psycopg.types.json import Jsonb

from db import queries
from db.arrays import BigIntegers, Integers, Timestamps
from db.queries import Connection
from db.rules import Rule, columns

_QUERIES = queries.load("late")
RECORD = _QUERIES["record"]
OF_RULES = _QUERIES["of_rules"]
DROP_OLD = _QUERIES["drop_old"]
GAPS = _QUERIES["gaps"]
DROP_OLD_GAPS = _QUERIES["drop_old_gaps"]

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
TOLD_MAX = 20


class Late(Struct, frozen=True):
    """Late samples of one series on one day: the oldest, the newest, and when the last one came."""

    metric: str
    component: str
    labels: dict[str, str]
    start: datetime
    end: datetime
    arrived_at: datetime
    samples: int


class Gap(Struct, frozen=True):
    """Minutes that were never evaluated, from the first of them to the next that was."""

    start: datetime
    end: datetime


class _Found(Late, frozen=True):
    total: int


class _FoundGap(Gap, frozen=True):
    total: int


async def record(
    connection: Connection,
    series_ids: NDArray[np.int32],
    times_us: NDArray[np.int64],
    begun_s: int | None,
) -> None:
    """Record which samples lie before the minute whose evaluation has begun; None: none has."""
    if begun_s is None or times_us.min() >= begun_s * SECOND_US:
        return
    is_late = times_us < begun_s * SECOND_US
    ids, times = series_ids[is_late], times_us[is_late]
    order = np.lexsort((times, ids))
    ids, times = ids[order], times[order]
    days = times // DAY_US
    starts = np.flatnonzero(np.r_[True, (ids[1:] != ids[:-1]) | (days[1:] != days[:-1])])
    ends = np.r_[starts[1:], len(ids)]
    await queries.run(
        connection,
        RECORD,
        series_ids=Integers(ids[starts]),
        start_times=Timestamps(times[starts]),
        end_times=Timestamps(times[ends - 1]),
        samples=BigIntegers(ends - starts),
    )


async def of_rules(
    connection: Connection, rules: Sequence[Rule], start: datetime, end: datetime
) -> tuple[list[Late], int]:
    """Return the first TOLD_MAX that rules would see in a range, and how many there are."""
    found = await queries.rows(
        connection,
        _Found,
        OF_RULES,
        rules=Jsonb([columns(rule) for rule in rules]),
        start=start,
        end=end,
        limit=TOLD_MAX,
    )
    told = [msgspec.convert(one, Late, from_attributes=True) for one in found]
    return told, found[0].total if found else 0


async def gaps(connection: Connection, start: datetime, end: datetime) -> tuple[list[Gap], int]:
    """Return the first TOLD_MAX that touch a range, and how many there are."""
    found = await queries.rows(connection, _FoundGap, GAPS, start=start, end=end, limit=TOLD_MAX)
    return [Gap(one.start, one.end) for one in found], found[0].total if found else 0


async def drop_old(connection: Connection) -> None:
    """Forget those of times that can be replayed no more."""
    await queries.run(connection, DROP_OLD)
    await queries.run(connection, DROP_OLD_GAPS)
