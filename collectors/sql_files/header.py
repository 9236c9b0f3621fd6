"""Reads the header comment of a SQL file: interval, timeout, units and kinds."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct

from model.limits import COLLECT_TIMEOUT_S_MAX, UNIT_CHARS_MAX
from model.series import Kind
from model.text import is_safe
from model.times import UNITS_S

TIMEOUT_S = 3.0
EVERY_COLUMN = ""

_ENTRY = re.compile(r"--\s*([A-Za-z_]+)\s*:(?!//)\s*(.*)")
_DURATION = re.compile(r"(\d+(?:\.\d+)?) ?([smh])", re.ASCII)
"""Unlike other durations, it needs a unit, may have a space before the unit, and may be 0."""


class MeasurementError(ValueError):
    """A file or its rows cannot be used. The message names the file."""


class Header(Struct, frozen=True):
    """The settings of a file. Samples are reused for `every_s` seconds; 0 runs it in each slot.

    `units` and `kinds` are by column; the key `EVERY_COLUMN` holds the default.
    """

    every_s: float = 0.0
    timeout_s: float = TIMEOUT_S
    units: dict[str, str] = {}
    kinds: dict[str, Kind] = {}

    def unit(self, column: str) -> str | None:
        return self.units.get(column, self.units.get(EVERY_COLUMN))

    def kind(self, column: str) -> Kind | None:
        return self.kinds.get(column, self.kinds.get(EVERY_COLUMN))

    def columns(self) -> set[str]:
        """Return the columns that the header names. The rows must have them."""
        return (self.units.keys() | self.kinds.keys()) - {EVERY_COLUMN}


def parse(name: str, sql: bytes) -> Header:
    """Read the comment at the start of a file. Raises MeasurementError with the file and the line.

    Any comment line that begins with one word and a colon is an entry. So a misspelt entry is an
    error, and not taken for prose.
    """
    given: dict[str, dict[str, Any]] = {word: {} for word in _READERS}
    for line, word, text in _entries(name, sql):
        if word not in _READERS:
            known = ", ".join(_READERS)
            raise MeasurementError(f"{name}.sql: line {line}: {word!r} is not one of {known}")
        try:
            column, value = _READERS[word](text)
        except ValueError as error:
            raise MeasurementError(f"{name}.sql: line {line}: {word} {error}") from None
        if column in given[word]:
            raise MeasurementError(f"{name}.sql: line {line}: {word} is repeated; remove one")
        given[word][column] = value
    return Header(
        every_s=given["every"].get(EVERY_COLUMN, 0.0),
        timeout_s=given["timeout"].get(EVERY_COLUMN, TIMEOUT_S),
        units=given["unit"],
        kinds=given["kind"],
    )


def _entries(name: str, sql: bytes) -> Iterator[tuple[int, str, str]]:
    try:
        text = sql.decode()
    except UnicodeDecodeError:
        raise MeasurementError(f"{name}.sql: is not UTF-8") from None
    for number, line in enumerate(map(str.strip, text.splitlines()), start=1):
        if line and not line.startswith("--"):
            return
        if entry := _ENTRY.fullmatch(line):
            yield number, entry[1], entry[2]


def _every(text: str) -> tuple[str, float]:
    return EVERY_COLUMN, _seconds(text)


def _timeout(text: str) -> tuple[str, float]:
    seconds = _seconds(text)
    if not 0 < seconds <= COLLECT_TIMEOUT_S_MAX:
        raise ValueError(f"must be above 0 s and at most {COLLECT_TIMEOUT_S_MAX:g} s")
    return EVERY_COLUMN, seconds


def _unit(text: str) -> tuple[str, str]:
    column, unit = _column_and_value(text)
    if not unit or len(unit) > UNIT_CHARS_MAX or not is_safe(unit):
        raise ValueError(f"must have 1 to {UNIT_CHARS_MAX} printable characters")
    return column, unit


def _kind(text: str) -> tuple[str, Kind]:
    column, kind = _column_and_value(text)
    if kind not in list(Kind):
        raise ValueError(f"must be one of {', '.join(Kind)}")
    return column, Kind(kind)


def _seconds(text: str) -> float:
    duration = _DURATION.fullmatch(text)
    if duration is None:
        raise ValueError("must be a number and a unit (s, m or h): 60 s, for example")
    return float(duration[1]) * UNITS_S[duration[2]]


def _column_and_value(text: str) -> tuple[str, str]:
    """Split `column = value`. A value without a column applies to all columns."""
    column, equals, value = (part.strip() for part in text.partition("="))
    return (column, value) if equals else (EVERY_COLUMN, column)


_READERS: dict[str, Callable[[str], tuple[str, Any]]] = {
    "every": _every,
    "timeout": _timeout,
    "unit": _unit,
    "kind": _kind,
}
