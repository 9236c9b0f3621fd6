"""Databases that a test cuts off and restarts: a server behind a proxy, or the embedded engine."""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Protocol

import psutil
import psycopg

from db.engine import open_engine
from runtime.settings import load
from tests.proxy import Proxy
from tests.system.conftest import NATIVE_URL, Program
from tests.system.ledger.account import Identity, Ledger, identity_of

WATCH_S = 0.1

TERMINATE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
SERIES = "SELECT id, metric, component, labels, kind FROM series WHERE component = ANY (%s)"
SAMPLES = """
SELECT (extract(epoch FROM time) * 1000000)::bigint, value FROM system_metrics WHERE series_id = %s
"""
COUNTS = """
SELECT (extract(epoch FROM time) * 1000000)::bigint, sum(count)::double precision
FROM system_distributions WHERE series_id = %s GROUP BY time
"""
"""Every value of a histogram is counted in one bucket."""


class Database(Protocol):
    """What can be done to a database from outside."""

    async def cut(self) -> None:
        """Let it answer nobody, until it is mended."""

    async def mend(self) -> None:
        """Let it answer again."""

    async def restart(self) -> None:
        """End everything that it is doing."""


class Server:
    """A native server, which the service reaches through a proxy."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._proxy = Proxy(url)

    @asynccontextmanager
    async def behind_a_proxy(self, program: Program) -> AsyncIterator[None]:
        await self._proxy.listen()
        program.environment["VIGIA_DATABASE_URL"] = self._proxy.url
        try:
            yield
        finally:
            await self._proxy.refuse()

    async def cut(self) -> None:
        await self._proxy.refuse()

    async def mend(self) -> None:
        await self._proxy.listen()

    async def restart(self) -> None:
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as own:
            await own.execute(TERMINATE)
        self._proxy.reset()


class Embedded:
    """The service's own engine: stopped, it is silent; killed, its supervisor starts another."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._stopped: dict[int, psutil.Process] = {}
        self._watch: asyncio.Task[None] | None = None

    async def cut(self) -> None:
        self._stop()
        self._watch = asyncio.create_task(self._stay_cut())

    async def mend(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        for engine in self._stopped.values():
            with suppress(psutil.NoSuchProcess):
                engine.kill()
        self._stopped.clear()

    async def restart(self) -> None:
        for engine in self._engines():
            engine.kill()

    async def _stay_cut(self) -> None:
        """Stop each engine that the supervisor starts in place of a silent one."""
        while True:
            await asyncio.sleep(WATCH_S)
            self._stop()

    def _stop(self) -> None:
        for engine in self._engines():
            if engine.pid not in self._stopped:
                engine.send_signal(signal.SIGSTOP)
                self._stopped[engine.pid] = engine

    def _engines(self) -> list[psutil.Process]:
        process = self._program.process
        if process is None or process.returncode is not None:
            return []
        with suppress(psutil.NoSuchProcess):
            return [
                child
                for child in psutil.Process(process.pid).children()
                if any("bridge.mjs" in argument for argument in child.cmdline())
            ]
        return []


@asynccontextmanager
async def database_of(program: Program) -> AsyncIterator[Database]:
    """Yield the hands on the database of a program that is not started yet."""
    if NATIVE_URL:
        server = Server(program.environment["VIGIA_DATABASE_URL"])
        async with server.behind_a_proxy(program):
            yield server
        return
    embedded = Embedded(program)
    try:
        yield embedded
    finally:
        await embedded.mend()


Rows = dict[Identity, list[tuple[int, float]]]


async def stored(environment: Mapping[str, str], ledger: Ledger) -> Rows:
    """Ask the database itself for every sample of the components that were sent."""
    found: Rows = {}
    async with (
        open_engine(load(environment), share=True) as engine,
        await psycopg.AsyncConnection.connect(
            engine.dsn, autocommit=True, prepare_threshold=None
        ) as connection,
    ):
        cursor = await connection.execute(SERIES, [ledger.components])
        for number, metric, component, labels, kind in await cursor.fetchall():
            rows = found.setdefault(identity_of(metric, component, labels), [])
            query = COUNTS if kind == "distribution" else SAMPLES
            rows += await (await connection.execute(query, [number])).fetchall()
    return found
