"""A question to made-up weeks in the database, and to the same weeks in Python."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from db.queries import Connection
from tests.docs.sample_weeks import Values, Weeks, bucketed

HOUR, DAY, WEEK = 3600, 86400, 604800

Row = tuple[Any, ...]


class Asked:
    """The made-up weeks in the database, and a reader's connection to it."""

    def __init__(self, data: Weeks, connection: Connection) -> None:
        self.data = data
        self.connection = connection
        self.now = data.now

    async def ask(self, sql: str) -> tuple[list[str], list[Row]]:
        """Return the columns and rows of an answer, and remember what was `now`."""
        async with self.connection.transaction(force_rollback=True):
            await self.connection.execute("SET LOCAL ROLE vigia_reader")
            await self.connection.execute("SET LOCAL timezone = 'UTC'")
            cursor = await self.connection.execute("SELECT now()")
            [(self.now,)] = await cursor.fetchall()
            cursor = await self.connection.execute(sql.encode())
            return [column.name for column in cursor.description or ()], await cursor.fetchall()

    def hours(self, values: Values, days: float) -> dict[datetime, float]:
        """Return the mean of each hour that begins within some days before now."""
        return {
            time: float(np.mean(some))
            for time, some in bucketed(values, HOUR).items()
            if time > self.now - timedelta(days=days)
        }

    def whole(self, values: Values, days: float, width_s: int) -> dict[datetime, list[float]]:
        """Return the buckets that have some of the last days."""
        first = floor(self.now - timedelta(days=days), width_s)
        return {t: some for t, some in bucketed(values, width_s).items() if t >= first}


def floor(time: datetime, width_s: int) -> datetime:
    return datetime.fromtimestamp(time.timestamp() // width_s * width_s, UTC)
