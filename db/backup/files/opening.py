"""Opens a copy of an embedded database's files, to prove that it is one and to count its rows."""

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
"""What an engine may take of the machine's memory."""
DEADLINE_S = 3600.0
"""Of one statement: nobody else waits for it."""


@asynccontextmanager
async def open_copy(settings: Settings, folder: Path) -> AsyncIterator[Connection]:
    """Open the database `postgres` in a folder with an engine of its own, which changes it.

    The engine syncs nothing to the disk: it would sync every file of a copy, each by itself. The
    settings are those of the service whose database it is. Raises EngineError when the engine does
    not start, UnavailableError when the machine has too little memory for another one.
    """
    free = psutil.virtual_memory().available
    if free < ENGINE_BYTES:
        raise UnavailableError(
            f"an engine needs {ENGINE_BYTES >> 20} MB of memory, and {free >> 20} MB are free"
        )
    engine_dir = prepared(settings.data_dir.resolve(), settings.engine_dir)
    own = Settings(data_dir=folder, engine_dir=engine_dir)
    async with open_engine(own, deadline_s=DEADLINE_S, may_forget=True) as engine:
        connection: Connection = await psycopg.AsyncConnection.connect(
            engine.dsn, autocommit=True, prepare_threshold=None
        )
        async with connection:
            yield connection
