"""Exports as an Arrow stream; imported on first use, because pyarrow takes 40 MB of memory."""

import io
import sys
from array import array
from collections.abc import Sequence
from typing import Any

import msgspec
import pyarrow as pa  # type: ignore[import-untyped]

from db.arrays import EPOCH_US
from db.queries import Connection
from history.columns import Column
from history.export import pages as export
from history.export.formats import Format, Page, Subject
from history.export.pages import Span
from model.times import SECOND_US

TIME = pa.timestamp("us", "UTC")
TEXT = pa.dictionary(pa.int32(), pa.string())


class Arrow(Format):
    """Record batches of the Arrow IPC stream format.

    Text columns are dictionary-encoded. Each dictionary contains the texts of all subjects from the
    first batch on, because some readers reject dictionaries that change. Labels are JSON.
    """

    name = "arrow"

    def __init__(self, subjects: Sequence[Subject], columns: Sequence[str]) -> None:
        super().__init__(subjects, columns)
        texts = [(name, TEXT) for name in Subject.__struct_fields__]
        self._types = [pa.int64() if name == "count" else pa.float64() for name in columns]
        values = list(zip(columns, self._types, strict=True))
        self._schema = pa.schema([("time", TIME), *texts, *values])
        self._sink = io.BytesIO()
        self._writer = pa.ipc.new_stream(self._sink, self._schema)
        self._texts = [_Texts(subjects, name) for name in Subject.__struct_fields__]

    def begin(self) -> bytes:
        return self._written()

    async def samples(self, connection: Connection, number: int, span: Span) -> Page:
        page = await export.columns(connection, span)
        times = array("q", (time + EPOCH_US for time in _native("q", page.times)))
        values = _native("d", page.values)
        body = self._batch(number, times, [_plain(pa.float64(), values)]) if page.rows else b""
        return Page(page.rows, page.last, body)

    def buckets(self, number: int, times: Sequence[int], values: Sequence[Column]) -> bytes:
        columns = [
            pa.array(column, kind, from_pandas=True)
            for column, kind in zip(values, self._types, strict=True)
        ]
        return self._batch(number, array("q", (time * SECOND_US for time in times)), columns)

    def end(self) -> bytes:
        self._writer.close()
        return self._written()

    def _batch(self, number: int, times: "array[int]", values: Sequence[pa.Array]) -> bytes:
        texts = [text.repeated(number, len(times)) for text in self._texts]
        columns = [_plain(TIME, times), *texts, *values]
        self._writer.write_batch(pa.record_batch(columns, schema=self._schema))
        return self._written()

    def _written(self) -> bytes:
        body = self._sink.getvalue()
        self._sink.seek(0)
        self._sink.truncate()
        return body


class _Texts:
    """One text field of all subjects: a dictionary, and the position of each subject's text."""

    def __init__(self, subjects: Sequence[Subject], name: str) -> None:
        found = [getattr(subject, name) for subject in subjects]
        texts = [msgspec.json.encode(text).decode() if name == "labels" else text for text in found]
        known = list(dict.fromkeys(text for text in texts if text is not None))
        positions = {text: position for position, text in enumerate(known)}
        self._dictionary = pa.array(known, pa.string())
        self._positions = [positions.get(text) for text in texts]

    def repeated(self, number: int, rows: int) -> pa.Array:
        position = self._positions[number]
        positions = (
            pa.nulls(rows, pa.int32())
            if position is None
            else _plain(pa.int32(), array("i", [position]) * rows)
        )
        return pa.DictionaryArray.from_arrays(positions, self._dictionary)


def _native(code: str, column: bytes) -> "array[Any]":
    numbers: array[Any] = array(code, column)
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers


def _plain(kind: pa.DataType, numbers: "array[Any]") -> pa.Array:
    return pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(numbers)])
