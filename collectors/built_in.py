"""The collectors that need no configuration."""

from typing import Any

from psycopg_pool import AsyncConnectionPool

from collectors.collector import Collector
from collectors.database import Database
from collectors.host.server import Server


def all_collectors(pool: AsyncConnectionPool[Any]) -> list[Collector]:
    """Return the built-in collectors. A new one is one more line here."""
    return [
        Server(),
        Database(pool),
    ]
