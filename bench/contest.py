"""Everyone who is asked for the past, with the same data, on this machine, at the same time."""

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

from bench import peers, questions
from bench.loading import loaded
from bench.peers import Peer
from bench.processes import fetch, serving, vigia
from bench.questions import SQL, Question
from bench.reference import Reference
from bench.timing import Ask

VIGIA, PLAIN, CACHED = "Vigia", "SQL", "VictoriaMetrics, cached"

PLANNED_FOR_VALUES = "-c plan_cache_mode=force_custom_plan"
"""A plan for any values would open every chunk; the plain SQL is not to be slow by that."""

Rows = list[tuple[Any, ...]]


class Contest(Struct, frozen=True):
    """Connections that are kept, one to each."""

    data: Reference
    http: aiohttp.ClientSession
    sql: psycopg.Connection[Any]
    peers: dict[Peer, aiohttp.ClientSession]

    async def askers(self, question: Question) -> dict[str, Ask]:
        """Return who can be asked a question, after each has given the right answer."""
        expected = question.expected(self.data)
        path = question.path(self.data)
        questions.check(VIGIA, questions.read(await fetch(self.http, path)), expected)
        ids, parameters = self._parameters(question)
        rows = self.select(question.sql, parameters)
        questions.check(PLAIN, questions.read_rows(rows, ids), expected)

        async def plain() -> Rows:
            return self.select(question.sql, parameters)

        found: dict[str, Ask] = {VIGIA: partial(fetch, self.http, path), PLAIN: plain}
        for peer, session in self.peers.items():
            path = question.peer_path(self.data, peer.uncached)
            questions.check(peer.name, questions.read_peer(await fetch(session, path)), expected)
            found[peer.name] = partial(fetch, session, path)
            if peer.uncached:
                found[CACHED] = partial(fetch, session, question.peer_path(self.data))
        return found

    def select(self, name: str, parameters: dict[str, Any] | None = None) -> Rows:
        """Run one of the plain queries on the one connection, prepared, with binary rows."""
        return self.sql.execute(SQL[name], parameters, prepare=True, binary=True).fetchall()

    def _parameters(self, question: Question) -> tuple[list[int], dict[str, Any]]:
        asked = {"metric": questions.METRIC, "labels": Jsonb(dict(question.labels))}
        ids = [number for (number,) in self.select("ids", asked)]
        return ids, question.parameters(self.data, ids)


@asynccontextmanager
async def open_contest(url: str, data: Reference, *, keep: bool) -> AsyncIterator[Contest]:
    """Load the data everywhere at once, then start everyone; nothing of it outlives the block.

    With `keep`, the loaded data does.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vigia-bench-")))
        home = peers.home(data) if keep else folder
        async with asyncio.TaskGroup() as group:
            filled = {p: group.create_task(peers.stored(p, home, data)) for p in peers.installed()}
            dsn = await stack.enter_async_context(loaded(url, "history", data, keep=keep))
        sessions = {
            peer: await stack.enter_async_context(peer.serving(place.result()))
            for peer, place in filled.items()
        }
        http = await stack.enter_async_context(serving(vigia(dsn, folder), folder / "vigia.log"))
        sql = stack.enter_context(psycopg.connect(dsn, autocommit=True, options=PLANNED_FOR_VALUES))
        yield Contest(data, http, sql, sessions)
