"""Records late samples: a preview sees them, but the evaluation of their minute did not."""

import numpy as np
from numpy.typing import NDArray

from db import queries
from db.arrays import BigIntegers, Integers, Timestamps
from db.queries import Connection
from model.times import DAY_S, SECOND_US

_QUERIES = queries.load(__file__)
RECORD = _QUERIES["record"]


async def record(
    connection: Connection,
    series_ids: NDArray[np.int32],
    times_us: NDArray[np.int64],
    begun_s: int | None,
) -> None:
    """Record the samples before the minute whose evaluation has begun, by series and day.

    `begun_s` is that minute in epoch seconds, or None before the first evaluation.
    """
    if begun_s is None or times_us.min() >= begun_s * SECOND_US:
        return
    is_late = times_us < begun_s * SECOND_US
    ids, times = series_ids[is_late], times_us[is_late]
    order = np.lexsort((times, ids))
    ids, times = ids[order], times[order]
    days = times // (DAY_S * SECOND_US)
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
