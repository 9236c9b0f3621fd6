"""A measurement is a SQL file: its `label_*` columns are labels, every other column is a metric."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from collectors.metrics import Reading
from vigia.model import labels_of

SQL_DIR = Path(__file__).parent / "sql"
ROWS_MAX = 1000
LABEL_PREFIX = "label_"

_EVERY = re.compile(rb"-- every: (\d+) s\n")


class Measurement(Struct, frozen=True):
    """`every_s` is how long an answer holds; 0 asks each time. The file's first line may say it."""

    name: str
    sql: bytes
    every_s: float

    async def read(self, connection: AsyncConnection[Any]) -> list[Reading]:
        async with connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(self.sql)
            rows = await cursor.fetchmany(ROWS_MAX + 1)
        if len(rows) > ROWS_MAX:
            raise ValueError(f"{self.name}: more than {ROWS_MAX} rows")
        return [reading for row in rows for reading in _readings(row)]


def load(component: str, directory: Path = SQL_DIR) -> tuple[Measurement, ...]:
    """Read the measurements of a component: the files whose names begin with its own."""
    files = sorted(directory.glob(f"{component}_*.sql"))
    return tuple(_measurement(file.stem, file.read_bytes()) for file in files)


def _measurement(name: str, sql: bytes) -> Measurement:
    every = _EVERY.match(sql)
    return Measurement(name, sql, float(every[1]) if every else 0.0)


def _readings(row: dict[str, Any]) -> Iterator[Reading]:
    """Yield the values of a row; NULL is a value that is not known here."""
    labels = labels_of(
        {
            column.removeprefix(LABEL_PREFIX): str(value)
            for column, value in row.items()
            if column.startswith(LABEL_PREFIX) and value is not None
        }
    )
    for column, value in row.items():
        if value is not None and not column.startswith(LABEL_PREFIX):
            yield Reading(column, float(value), labels)
