"""What is measured out of the box."""

from typing import Any

from psycopg_pool import AsyncConnectionPool

from collectors.collector import Collector
from collectors.database import Database
from collectors.host.server import Server


def all_collectors(pool: AsyncConnectionPool[Any]) -> list[Collector]:
    """Build every collector: one line each."""
    return [
        Server(),
        Database(pool),
    ]
