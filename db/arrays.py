"""Converts numpy columns to PostgreSQL's binary formats: arrays, and the rows of a COPY."""

from typing import Any

import numpy as np
import psycopg
from msgspec import Struct
from numpy.typing import NDArray
from psycopg.adapt import Dumper
from psycopg.pq import Format

EPOCH_US = 946_684_800_000_000
"""The start of the year 2000 in microseconds since 1970. PostgreSQL counts from there."""

COPY_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
COPY_TRAILER = b"\xff\xff"

ROW = np.dtype(
    [
        ("fields", ">i2"),
        ("time_bytes", ">i4"), ("time", ">i8"),
        ("series_bytes", ">i4"), ("series_id", ">i4"),
        ("value_bytes", ">i4"), ("value", ">f8"),
    ]
)  # fmt: skip
"""A row of system_metrics in a binary COPY: the number of fields, then each with its length."""


class Array(Struct, frozen=True):
    """A column of one type. It is converted to the wire format when it is sent."""

    values: NDArray[Any]


class Integers(Array, frozen=True):
    pass


class BigIntegers(Array, frozen=True):
    pass


class Doubles(Array, frozen=True):
    pass


class Timestamps(Array, frozen=True):
    """Microseconds since 1970."""


def _dumper(oid: int, element_oid: int, dtype: str, offset: int = 0) -> type[Dumper]:
    """Return the psycopg dumper for one type of array. `offset` is subtracted from each value."""
    element = np.dtype([("bytes", ">i4"), ("value", dtype)])
    size = np.dtype(dtype).itemsize

    class ArrayDumper(Dumper):
        format = Format.BINARY

        def dump(self, obj: Array) -> bytes:
            data = np.empty(len(obj.values), element)
            data["bytes"] = size
            data["value"] = obj.values - offset if offset else obj.values
            head = np.array([1, 0, element_oid, len(data), 1], ">i4")
            return head.tobytes() + data.tobytes()

    ArrayDumper.oid = oid
    return ArrayDumper


for kind, dumper in (
    (Integers, _dumper(1007, 23, ">i4")),
    (BigIntegers, _dumper(1016, 20, ">i8")),
    (Doubles, _dumper(1022, 701, ">f8")),
    (Timestamps, _dumper(1185, 1184, ">i8", EPOCH_US)),
):
    psycopg.adapters.register_dumper(kind, dumper)


def copy_rows(
    series_ids: NDArray[np.int32], times_us: NDArray[np.int64], values: NDArray[np.float64]
) -> bytes:
    """Return rows of system_metrics (time, series_id, value) as a complete binary COPY."""
    rows = np.empty(len(values), ROW)
    rows["fields"], rows["time_bytes"], rows["series_bytes"], rows["value_bytes"] = 3, 8, 4, 8
    rows["time"], rows["series_id"], rows["value"] = times_us - EPOCH_US, series_ids, values
    return COPY_HEADER + rows.tobytes() + COPY_TRAILER
