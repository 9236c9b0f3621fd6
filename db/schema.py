"""Dumps the schema after all migrations, so that a review shows the effect of a migration."""

import asyncio
import logging
import sys
import tempfile
from pathlib import Path

import psycopg
import structlog
from msgspec import Struct

from db import queries
from db.engine import open_engine
from db.migrate import migrate
from db.queries import Connection
from runtime.settings import Settings

_QUERIES = queries.load(__file__, "dump_schema")
DUMP = _QUERIES["dump"]
UNCOMMENTED = _QUERIES["uncommented"]

HEADER = "-- The schema after all migrations and routines, for reading. Written by `make schema`.\n"


class Line(Struct, frozen=True):
    """One line of a dump."""

    text: str


async def dump(connection: Connection) -> str:
    """Return the schema as text: a heading per table, view or function, and its parts below it."""
    lines = [line.text for line in await queries.rows(connection, Line, DUMP)]
    body = "".join(f"{line if line[0] == ' ' else chr(10) + line}\n" for line in lines)
    return HEADER + body


async def uncommented(connection: Connection) -> list[str]:
    """Return the tables, views and columns without a comment."""
    return [line.text for line in await queries.rows(connection, Line, UNCOMMENTED)]


async def main() -> None:
    """Print the schema of a temporary database."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory() as folder:
        async with (
            open_engine(Settings(data_dir=Path(folder))) as engine,
            await psycopg.AsyncConnection.connect(
                engine.dsn, autocommit=True, prepare_threshold=None
            ) as connection,
        ):
            await migrate(connection)
            sys.stdout.write(await dump(connection))


if __name__ == "__main__":
    asyncio.run(main())
