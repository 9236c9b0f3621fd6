"""The databases under comparison, with the same data, on this machine, at the same time."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
from msgspec import Struct
from psycopg.types.json import Jsonb

from bench import peers
from bench.cpu import OWN, Meter
from bench.databases import connect
from bench.history import questions
from bench.history.questions import SQL, Question, Table
from bench.history.timing import Ask
from bench.loading import loaded
from bench.peers import Peer
from bench.processes import Running, fetch, running, vigia
from bench.reference import Reference
from db.pool import READING

VIGIA, PLAIN, CACHED = "Vigia", "SQL", "VictoriaMetrics, cached"

CONNECTIONS = 32

Rows = list[tuple[Any, ...]]


class Competitors(Struct, frozen=True):
    """The processes of all competitors, and their kept connections. `meter` is for Vigia."""

    data: Reference
    vigia: Running
    meter: Meter
    sql: psycopg.Connection[Any]
    peers: dict[Peer, Running]

    @property
    def http(self) -> aiohttp.ClientSession:
        return self.vigia.http

    async def askers(self, question: Question) -> dict[str, Ask]:
        """Return the competitors for a query, after each has given the correct answer."""
        expected = question.expected(self.data)
        path = question.path(self.data)
        question.check(VIGIA, question.read(await fetch(self.http, path)), expected)
        found: dict[str, Ask] = {VIGIA: partial(fetch, self.http, path)}
        if question.sql:
            found[PLAIN] = self._plain(question, expected)
        for peer, started in self.peers.items():
            path = question.peer_path(self.data, peer.uncached)
            answer = question.read_peer(await fetch(started.http, path))
            question.check(peer.name, answer, expected)
            found[peer.name] = partial(fetch, started.http, path)
            if peer.uncached:
                found[CACHED] = partial(fetch, started.http, question.peer_path(self.data))
        return found

    def _plain(self, question: Question, expected: Table) -> Ask:
        ids, parameters = self._parameters(question)
        rows = self.select(question.sql, parameters)
        keys: list[int] = [] if question.is_grouped else ids
        question.check(PLAIN, questions.read_rows(rows, keys), expected)

        async def plain() -> Rows:
            return self.select(question.sql, parameters)

        return plain

    def select(self, name: str, parameters: dict[str, Any] | None = None) -> Rows:
        """Run a plain query on one connection, prepared, with binary results."""
        return self.sql.execute(SQL[name], parameters, prepare=True, binary=True).fetchall()

    def _parameters(self, question: Question) -> tuple[list[int], dict[str, Any]]:
        asked: dict[str, Any] = {"metric": question.metric, "by": question.by}
        asked |= {"labels": Jsonb(dict(question.labels))}
        ids = [number for (number,) in self.select("ids", asked)]
        return ids, question.parameters(self.data, ids)


@asynccontextmanager
async def open_competitors(url: str, data: Reference, *, keep: bool) -> AsyncIterator[Competitors]:
    """Load the data into all competitors, and start them. All of it is removed after the block.

    With `keep`, the loaded data stay.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vigia-bench-")))
        home = peers.home(data) if keep else folder
        async with asyncio.TaskGroup() as group:
            filled = {p: group.create_task(peers.stored(p, home, data)) for p in peers.installed()}
            dsn = await stack.enter_async_context(loaded(url, "history", data, keep=keep))
        running_peers = {
            peer: await stack.enter_async_context(peer.running(place.result(), CONNECTIONS))
            for peer, place in filled.items()
        }
        service = await stack.enter_async_context(
            running(vigia(dsn, folder), folder / "vigia.log", CONNECTIONS)
        )
        meter = Meter(service.pid, await stack.enter_async_context(await connect(dsn)))
        # With the planner settings of the service's readers, so that only the path is compared.
        sql = stack.enter_context(
            psycopg.connect(dsn, autocommit=True, options=READING, application_name=OWN)
        )
        yield Competitors(data, service, meter, sql, running_peers)
