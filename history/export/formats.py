"""Formats of exports: CSV and NDJSON; arrow.py has the third."""

import csv
import io
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar

import msgspec
from msgspec import Struct

from db.queries import Connection
from history.columns import Column, Number
from history.export import pages as export
from history.export.pages import Frame, Span

MEDIA_TYPES = {
    "csv": "text/csv; charset=utf-8; header=present",
    "ndjson": "application/x-ndjson",
    "arrow": "application/vnd.apache.arrow.stream",
}
TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%f"
"""Equals the format in pages.sql; the zone follows it."""
GUARD = "'"
"""Prefix of a CSV cell that a spreadsheet would read as a formula; the import removes it."""
GUARDED = ("=", "+", "-", "@", GUARD)


class Subject(Struct, frozen=True):
    """The fields that all rows of a series or group share; None if they differ within a group."""

    metric: str
    component: str | None
    category: str | None
    labels: dict[str, str]
    unit: str | None
    kind: str | None


class Page(Struct, frozen=True):
    """Encoded rows; `last` is the time of the last sample among them."""

    rows: int
    last: datetime | None
    body: bytes


class Format(ABC):
    """Encodes rows; `number` is the position of their subject."""

    name: ClassVar[str]

    def __init__(self, subjects: Sequence[Subject], columns: Sequence[str]) -> None:
        self.subjects = subjects
        self.columns = columns

    @abstractmethod
    def begin(self) -> bytes:
        """Return the bytes before all rows."""

    @abstractmethod
    async def samples(self, connection: Connection, number: int, span: Span) -> Page:
        """Read a page of samples in the way that is cheapest for this format."""

    @abstractmethod
    def buckets(self, number: int, times: Sequence[int], values: Sequence[Column]) -> bytes:
        """Return a row for each bucket; `values` has one column for each aggregate."""

    @abstractmethod
    def end(self) -> bytes:
        """Return the bytes after all rows."""


class Text(Format):
    """A line for each row: its time, its subject, and a value for each column."""

    head: ClassVar[str]
    tail: ClassVar[str]
    null: ClassVar[str]

    async def samples(self, connection: Connection, number: int, span: Span) -> Page:
        page = await export.lines(connection, span, self._frame(number))
        return Page(page.rows, page.last, page.body)

    def buckets(self, number: int, times: Sequence[int], values: Sequence[Column]) -> bytes:
        frame = self._frame(number)
        joints = ["", *(self.joint(name) for name in self.columns[1:])]
        lines = []
        for time, *row in zip(times, *values, strict=True):
            cells = [joint + self._number(value) for joint, value in zip(joints, row, strict=True)]
            moment = datetime.fromtimestamp(time, UTC).strftime(TIME_FORMAT)
            lines.append(f"{frame.head}{moment}{frame.middle}{''.join(cells)}{frame.tail}")
        return "".join(lines).encode()

    def end(self) -> bytes:
        return b""

    @abstractmethod
    def describe(self, subject: Subject) -> str:
        """Return the text between the time and the first value, starting with the zone."""

    @abstractmethod
    def joint(self, name: str) -> str:
        """Return the text before the value of a column."""

    def _frame(self, number: int) -> Frame:
        middle = self.describe(self.subjects[number]) + self.joint(self.columns[0])
        return Frame(self.head, middle, self.tail)

    def _number(self, value: Number) -> str:
        return repr(value) if value is not None and math.isfinite(value) else self.null


class Csv(Text):
    """CSV by RFC 4180, except that lines end with a line feed; labels are JSON."""

    name = "csv"
    head, tail, null = "", "\n", ""

    def begin(self) -> bytes:
        return (_cells(["time", *Subject.__struct_fields__, *self.columns]) + self.tail).encode()

    def describe(self, subject: Subject) -> str:
        names = map(guarded, (subject.metric, subject.component, subject.category))
        labels = msgspec.json.encode(subject.labels).decode()
        return f"Z,{_cells([*names, labels, guarded(subject.unit), guarded(subject.kind)])}"

    def joint(self, name: str) -> str:  # noqa: ARG002 (the header has the names)
        return ","


class Ndjson(Text):
    """One JSON object a line."""

    name = "ndjson"
    head, tail, null = '{"time":"', "}\n", "null"

    def begin(self) -> bytes:
        return b""

    def describe(self, subject: Subject) -> str:
        return f'Z",{msgspec.json.encode(subject).decode()[1:-1]}'

    def joint(self, name: str) -> str:
        return f',"{name}":'


def guarded(text: str | None) -> str:
    """Return a CSV cell that no spreadsheet reads as a formula; None becomes an empty cell."""
    return GUARD + text if text and text.startswith(GUARDED) else text or ""


def unguarded(cell: str) -> str:
    """Return the text of a guarded cell."""
    return cell[1:] if cell.startswith(GUARD) and cell[1:].startswith(GUARDED) else cell


def _cells(texts: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(texts)
    return line.getvalue()
