"""A measurement is a SQL file. Its `label_*` columns are labels, each other column is a metric."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from msgspec import Struct
from psycopg import AsyncConnection

from collectors.sql_files.header import Header, MeasurementError, parse
from model.rows import ROWS_MAX, Answer, RowsError, SeriesOf, samples_of_rows, value_columns
from model.series import COMPONENT_UP, Sample
from model.text import METRIC_NAME

SQL_DIR = Path(__file__).parents[1] / "sql"
RESERVED = frozenset({COMPONENT_UP})
"""Metrics that the collector's run itself writes for each component."""


class Measurement(Struct, frozen=True):
    """A SQL file: its name without suffix, its text, and its header."""

    name: str
    sql: bytes
    header: Header = Header()

    @property
    def every_s(self) -> float:
        return self.header.every_s

    async def read(
        self, connection: AsyncConnection[Any], time: datetime, component: str, series_of: SeriesOf
    ) -> list[Sample]:
        """Run the query in the caller's transaction, and return its samples.

        Raises MeasurementError for rows that cannot be used. A server-side cursor accepts only a
        single SELECT, and returns no more rows than requested.
        """
        async with connection.cursor("measurement") as cursor:
            await cursor.execute(self.sql)
            columns = [column.name for column in cursor.description or ()]
            self._check_metrics(value_columns(Answer(columns, ())))
            rows = await cursor.fetchmany(ROWS_MAX + 1)
        try:
            return samples_of_rows(Answer(columns, rows), time, component, series_of)
        except RowsError as error:
            raise self.error(str(error)) from None

    def error(self, reason: str) -> MeasurementError:
        return MeasurementError(f"{self.name}.sql: {reason}")

    def _check_metrics(self, metrics: Sequence[str]) -> None:
        for metric in metrics:
            if not METRIC_NAME.fullmatch(metric) or metric in RESERVED:
                raise self.error(f"{metric} cannot be the name of a metric; rename it with AS")
        if absent := self.header.columns().difference(metrics):
            raise self.error(f"the comment names {min(absent)}, which is not a value column")


def load(component: str, directory: Path = SQL_DIR) -> tuple[Measurement, ...]:
    """Read the measurements of a component: the files whose names begin with `component`_."""
    return tuple(read_file(file) for file in sorted(directory.glob(f"{component}_*.sql")))


def read_file(file: Path) -> Measurement:
    sql = file.read_bytes()
    return Measurement(file.stem, sql, parse(file.stem, sql))
