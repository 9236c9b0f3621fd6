"""Opens a copy of the embedded database's files, to prove that it works and to count its rows."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import psycopg

from db.engine import open_engine
from db.engine_packages import prepared
from db.queries import Connection
from model.errors import UnavailableError
from runtime.settings import Settings

ENGINE_BYTES = 700 << 20
"""The memory that an engine can need."""
DEADLINE_S = 3600.0
"""The limit of one statement. It is long, because no other client waits for this engine."""


@asynccontextmanager
async def open_copy(settings: Settings, folder: Path) -> AsyncIterator[Connection]:
    """Open the database `postgres` in a folder with a separate engine. This changes the files.

    The engine does not sync to the disk, because syncing each file of the copy would take long.
    `settings` are those of the service whose database was copied. Raises EngineError if the engine
    does not start, and UnavailableError if the machine has too little free memory.
    """
    free = psutil.virtual_memory().available
    if free < ENGINE_BYTES:
        raise UnavailableError(
            f"an engine needs {ENGINE_BYTES >> 20} MB of memory, but only {free >> 20} MB are free"
        )
    engine_dir = prepared(settings.data_dir.resolve(), settings.engine_dir)
    own = Settings(data_dir=folder, engine_dir=engine_dir)
    async with open_engine(own, deadline_s=DEADLINE_S, may_forget=True) as engine:
        connection: Connection = await psycopg.AsyncConnection.connect(
            engine.dsn, autocommit=True, prepare_threshold=None
        )
        async with connection:
            yield connection
