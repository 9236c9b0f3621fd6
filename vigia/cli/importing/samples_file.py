"""Reads exported files of samples row by row: CSV, NDJSON or Arrow."""

import csv
import io
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

import msgspec

from history.export.formats import Subject, unguarded
from model.errors import InvalidError
from model.times import SECOND_US, parse_moment

VALUE = "value"
DESCRIBED = Subject.__struct_fields__
LABELS = DESCRIBED.index("labels")
NEEDED = ("time", "metric", "component")

Name = tuple[str, ...]
"""The fields that identify a series, in the order of DESCRIBED; labels are JSON, or empty."""


class Row(NamedTuple):
    """One row, with its time in epoch seconds; the value is None if the cell is empty."""

    name: Name
    time: float
    value: float | None


class Reader:
    """Reads rows with the values of one column; `rejected` counts invalid rows by reason."""

    def __init__(self, column: str | None) -> None:
        self._column = column
        self.rejected: Counter[str] = Counter()

    def read(self, file: BinaryIO, form: str) -> Iterator[Row]:
        """Yield the rows of a file. Raises InvalidError if the file has another format."""
        return {"csv": self._csv, "ndjson": self._ndjson, "arrow": self._arrow}[form](file)

    def _csv(self, file: BinaryIO) -> Iterator[Row]:
        lines = csv.reader(io.TextIOWrapper(file, "utf-8-sig", newline=""), strict=True)
        try:
            header = next(lines, [])
            value = header.index(self._value_column(header))
            time = header.index("time")
            places = [header.index(name) if name in header else None for name in DESCRIBED]
            for cells in lines:
                if len(cells) != len(header):
                    self.rejected["a line has more or fewer cells than the header"] += 1
                    continue
                name = tuple("" if i is None else unguarded(cells[i]) for i in places)
                if row := self._row(name, cells[time], cells[value] or None):
                    yield row
        except (UnicodeDecodeError, csv.Error) as error:
            raise InvalidError(
                f"the file cannot be read near line {lines.line_num}: {error}"
            ) from None

    def _ndjson(self, file: BinaryIO) -> Iterator[Row]:
        kind: Any = None
        for number, line in enumerate(file):
            try:
                kind = kind or self._line(msgspec.json.decode(line, type=dict[str, Any]))
                found = msgspec.json.decode(line, type=kind)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                if number == 0:
                    raise InvalidError(f"the first line cannot be read: {error}") from None
                self.rejected["a line cannot be read"] += 1
                continue
            texts = [getattr(found, name) or "" for name in DESCRIBED]
            texts[LABELS] = msgspec.json.encode(found.labels, order="sorted").decode()
            if row := self._row(tuple(texts), found.time, found.value):
                yield row

    def _arrow(self, file: BinaryIO) -> Iterator[Row]:
        import pyarrow as pa  # type: ignore[import-untyped]  # noqa: PLC0415 (slow, seldom needed)

        try:
            with pa.ipc.open_stream(file) as batches:
                value = self._value_column(batches.schema.names)
                for batch in batches:
                    times = batch["time"].cast(pa.timestamp("us", "UTC")).cast(pa.int64())
                    names = zip(*(_texts(batch, name) for name in DESCRIBED), strict=True)
                    values = batch[value].cast(pa.float64()).to_pylist()
                    for name, time, number in zip(names, times.to_pylist(), values, strict=True):
                        if row := self._row(name, time / SECOND_US, number):
                            yield row
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise InvalidError(f"the file is not a valid Arrow stream: {error}") from None

    def _value_column(self, names: Iterable[str]) -> str:
        """Return the column of the values: the given one, `value`, or the only other column."""
        columns = list(names)
        needed = [*NEEDED, self._column] if self._column else NEEDED
        if missing := [name for name in needed if name not in columns]:
            raise InvalidError(f"the file has no column {', '.join(missing)}")
        if self._column or VALUE in columns:
            return self._column or VALUE
        others = [name for name in columns if name not in {"time", *DESCRIBED}]
        if len(others) != 1:
            raise InvalidError(
                f"the column of the values is unclear; set --column {' or '.join(others) or VALUE}"
            )
        return others[0]

    def _line(self, first: dict[str, Any]) -> Any:
        """Return the type for lines with the fields of the first one."""
        texts = [(name, str | None, None) for name in DESCRIBED if name != "labels"]
        return msgspec.defstruct(
            "Line",
            [
                ("time", str | float),
                *texts,
                ("labels", dict[str, str], msgspec.field(default_factory=dict)),
                ("value", float | None, None),
            ],
            rename={"value": self._value_column(first)},
        )

    def _row(self, name: Name, time: str | float, value: str | float | None) -> Row | None:
        seconds = _seconds(time)
        if seconds is None:
            self.rejected["a time is neither epoch seconds nor RFC 3339"] += 1
            return None
        try:
            number = None if value is None else float(value)
        except ValueError:
            number = math.nan
        if number is not None and not math.isfinite(number):
            self.rejected["a value is not a number"] += 1
            return None
        return Row(name, seconds, number)


def _seconds(time: str | float) -> float | None:
    if isinstance(time, str):
        moment = parse_moment(time)
        return None if moment is None else moment.timestamp()
    return time


def _texts(batch: Any, name: str) -> list[str]:
    if name not in batch.schema.names:
        return [""] * batch.num_rows
    return [text or "" for text in batch[name].to_pylist()]
