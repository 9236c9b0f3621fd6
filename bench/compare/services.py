"""Runs the services of two checkouts, each on its own database, and measures their use."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
from msgspec import Struct

from bench import databases
from bench.cpu import Meter
from bench.processes import running, vigia

OLD, NEW = "old", "new"
NATIVE, EMBEDDED = "native", "embedded"
CONNECTIONS = 8


class Place(Struct, frozen=True):
    """The data of a checkout's service: the address of a database, or only a folder."""

    version: str
    checkout: Path
    engine: str
    folder: Path
    dsn: str | None


class Service(Struct, frozen=True):
    """A running service of one checkout."""

    place: Place
    pid: int
    http: aiohttp.ClientSession
    meter: Meter

    def __str__(self) -> str:
        return f"{self.place.version}, {self.place.engine}"


@asynccontextmanager
async def place(
    version: str, checkout: Path, engine: str, folder: Path, url: str
) -> AsyncIterator[Place]:
    """Yield an empty place for a service. On a native server it is dropped at the end."""
    own = folder / f"{engine}-{version}"
    own.mkdir()
    if engine == EMBEDDED:
        yield Place(version, checkout, engine, own, None)
    else:
        async with databases.fresh(url, f"vigia_bench_{folder.name[-8:]}_{version}") as dsn:
            yield Place(version, checkout, engine, own, dsn)


@asynccontextmanager
async def serve(where: Place, roles: str) -> AsyncIterator[Service]:
    """Run the service of a checkout during the block."""
    async with AsyncExitStack() as stack:
        server = vigia(where.dsn, where.folder, roles, where.checkout)
        started = await stack.enter_async_context(
            running(server, where.folder.with_suffix(".log"), CONNECTIONS)
        )
        sql = None
        if where.dsn:
            sql = await stack.enter_async_context(await databases.connect(where.dsn))
            if "retain" in roles:
                await databases.start_workers(sql)
            else:
                await databases.stop_workers(sql)
        yield Service(where, started.pid, started.http, Meter(started.pid, sql))
