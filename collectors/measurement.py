"""A measurement is a SQL file: its `label_*` columns are labels, every other column is a metric."""

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec import Struct
from psycopg import AsyncConnection

from collectors.header import Header, MeasurementError, parse
from collectors.metrics import Reading
from vigia.model import Labels, labels_of
from vigia.text import UNSAFE_WORDS, is_safe

SQL_DIR = Path(__file__).parent / "sql"
ROWS_MAX = 1000
LABELS_MAX = 30
LABEL_BYTES_MAX = 1024
VALUE_MAX = 1e140
"""What the database stores at most: the sum of many must not be infinite."""
LABEL_PREFIX = "label_"
METRIC = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}", re.ASCII)
RESERVED = frozenset({"component_up"})
"""What a turn itself measures of every component."""


class Measurement(Struct, frozen=True):
    """One file."""

    name: str
    sql: bytes
    header: Header = Header()

    @property
    def every_s(self) -> float:
        return self.header.every_s

    async def read(self, connection: AsyncConnection[Any]) -> list[Reading]:
        """Ask, in the caller's transaction. Raises MeasurementError for an answer we cannot use.

        A cursor takes a single SELECT and nothing else, and lets us have no more rows than we want.
        """
        async with connection.cursor("measurement") as cursor:
            await cursor.execute(self.sql)
            columns = [column.name for column in cursor.description or ()]
            self._check(columns)
            rows = await cursor.fetchmany(ROWS_MAX + 1)
        if len(rows) > ROWS_MAX:
            raise self.error(f"more than {ROWS_MAX} rows")
        readings = [reading for row in rows for reading in self._readings(columns, row)]
        self._check_told_apart(readings)
        return readings

    def error(self, reason: str) -> MeasurementError:
        return MeasurementError(f"{self.name}.sql: {reason}")

    def _check(self, columns: Sequence[str]) -> None:
        metrics = [column for column in columns if not column.startswith(LABEL_PREFIX)]
        for column in columns:
            if columns.count(column) > 1:
                raise self.error(f"two columns are named {column}")
        for metric in metrics:
            if not METRIC.fullmatch(metric) or metric in RESERVED:
                raise self.error(f"{metric} cannot be the name of a metric; give another with AS")
        if not metrics:
            raise self.error("has no column with a value")
        if len(columns) - len(metrics) > LABELS_MAX:
            raise self.error(f"more than {LABELS_MAX} labels")
        if absent := self.header.columns().difference(metrics):
            raise self.error(f"the comment names {min(absent)}, which is not a column of values")

    def _readings(self, columns: Sequence[str], row: Sequence[Any]) -> list[Reading]:
        """Return the values of a row; NULL is a value that is not known here."""
        known = {
            column: value for column, value in zip(columns, row, strict=True) if value is not None
        }
        labels = self._labels(known)
        return [
            Reading(column, self._number(column, value), labels)
            for column, value in known.items()
            if not column.startswith(LABEL_PREFIX)
        ]

    def _labels(self, row: dict[str, Any]) -> Labels:
        labels = {
            column.removeprefix(LABEL_PREFIX): str(value)
            for column, value in row.items()
            if column.startswith(LABEL_PREFIX)
        }
        for name, value in labels.items():
            if not name:
                raise self.error(f"{LABEL_PREFIX} needs a name behind it")
            if len(value.encode()) > LABEL_BYTES_MAX or not is_safe(value):
                raise self.error(
                    f"{LABEL_PREFIX}{name} has {UNSAFE_WORDS}, or over {LABEL_BYTES_MAX} bytes"
                )
        return labels_of(labels)

    def _number(self, column: str, value: object) -> float:
        if not isinstance(value, int | float | Decimal):
            raise self.error(f"{column} is no number but {type(value).__name__}")
        number = float(value)
        if not math.isfinite(number) or abs(number) > VALUE_MAX:
            raise self.error(f"{column} is {number:g}, which cannot be stored")
        return number

    def _check_told_apart(self, readings: Sequence[Reading]) -> None:
        seen = set()
        for reading in readings:
            if reading[::2] in seen:
                labels = ", ".join("=".join(label) for label in reading.labels) or "none"
                raise self.error(f"two rows of {reading.metric} have the same labels: {labels}")
            seen.add(reading[::2])


def load(component: str, directory: Path = SQL_DIR) -> tuple[Measurement, ...]:
    """Read the measurements of a component: the files whose names begin with its own."""
    return tuple(read_file(file) for file in sorted(directory.glob(f"{component}_*.sql")))


def read_file(file: Path) -> Measurement:
    sql = file.read_bytes()
    return Measurement(file.stem, sql, parse(file.stem, sql))
