"""The cases of each round: requests through HTTP to both checkouts."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from urllib.parse import urlencode

import aiohttp
import msgspec
from msgspec import Struct

from bench import bodies
from bench.bodies import METRIC, Batch, Shape, batches
from bench.compare.questions import BASE, CURRENT, OK, Day
from bench.compare.services import CONNECTIONS, EMBEDDED, NATIVE, Service
from bench.cpu import Used
from bench.processes import fetch

NO_CONTENT = 204
STEP_S = 1
"""The start of the sent samples. Those of all rounds are newer than compressed chunks."""
LEAD_S = 600
COUNTED_S = 15
"""A step that is answered from raw samples, because no maintenance runs meanwhile."""
REMOTE_WRITE = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
JSON = {"Content-Type": "application/json"}


class CaseTaken(Struct, frozen=True):
    """The mean CPU of one request, and the mean wait of its client, both in ms."""

    cpu_ms: float
    service_ms: float
    database_ms: float
    wall_ms: float


class Sent(Struct, frozen=True):
    """A request with a body, and the expected answer, which counts the `samples`."""

    path: str
    headers: dict[str, str]
    body: bytes
    samples: int = 0

    async def ask(self, http: aiohttp.ClientSession) -> None:
        async with http.post(self.path, data=self.body, headers=self.headers) as answer:
            text = await answer.read()
        is_stored = answer.status in {OK, NO_CONTENT}
        if is_stored and self.samples:
            is_stored = msgspec.json.decode(text)["accepted"] == self.samples
        assert is_stored, f"{self.path} answered {answer.status}: {text[:300]!r}"


class Got(Struct, frozen=True):
    """A GET request."""

    path: str

    async def ask(self, http: aiohttp.ClientSession) -> None:
        await fetch(http, self.path)


class SentThenGot(Struct, frozen=True):
    """New samples, and then a query whose answer they change."""

    sent: Sent
    got: Got

    async def ask(self, http: aiohttp.ClientSession) -> None:
        await self.sent.ask(http)
        await self.got.ask(http)


Request = Sent | Got | SentThenGot


Encode = Callable[[str, Batch], Request]
"""Returns the request that stores a batch for a component."""


class Case(Struct, frozen=True):
    """A number of requests in each round, by a number of clients. They are built in advance."""

    name: str
    requests: int
    make: Callable[[int], list[Request]]
    clients: int = 1
    audit: str = ""
    """The query whose counts add up to `samples` after the last round."""
    samples: int = 0


def make_cases(day: Day, engine: str, rounds: int) -> list[Case]:
    """Return the cases for an engine. The embedded one is slower, and gets fewer requests."""
    share = {NATIVE: 1, EMBEDDED: 2}[engine]
    sent: list[tuple[str, Shape, Encode, int, int]] = [
        ("JSON, 10,000 samples", Shape(100, 100), _json, 12, 1),
        ("JSON, 10 samples", Shape(10, 1), _json, 240, 1),
        ("JSON, 10 samples, 8 clients", Shape(10, 1), _json, 240, CONNECTIONS),
        ("remote write, 5,000 samples", Shape(1_000, 5), _remote_write, 24, 1),
        ("current document after 10 samples", Shape(10, 1), _json_then_current, 40, 1),
    ]
    cases = []
    for name, shape, encode, count, clients in sent:
        requests = count // share
        total = requests * (rounds + 1)
        span_s = total * shape.each * STEP_S
        start_s = int(time.time() - LEAD_S - span_s) // COUNTED_S * COUNTED_S
        component = name.replace(",", "").replace(" ", "_")
        make = partial(_sent, batches(shape, start_s, STEP_S), partial(encode, component))
        audit = _counts_path(component, start_s, span_s)
        cases.append(Case(name, requests, make, clients, audit, total * shape.samples))
    asked = [
        ("history, 24 h, 1 series", day.path(core=7), 120),
        ("history, 24 h, 100 series", day.path(), 12),
        ("current document, unchanged", CURRENT, 40),
    ]
    return cases + [Case(n, count // share, partial(_got, path)) for n, path, count in asked]


async def check_stored(case: Case, service: Service) -> None:
    """Raise AssertionError unless all samples of a case are stored."""
    if case.audit:
        answer = msgspec.json.decode(await fetch(service.http, case.audit))
        counts = [n for one in answer["series"] for n in one["values"]["count"] if n is not None]
        stored = round(sum(counts))
        assert stored == case.samples, f"{service}: {case.name}: {stored}, not {case.samples}"


def _counts_path(component: str, start_s: int, span_s: int) -> str:
    asked = {"metric": METRIC, "component": component, "agg": "count", "group_by": "component"}
    times = {"start": start_s, "end": start_s + span_s + COUNTED_S, "step": f"{COUNTED_S}s"}
    return f"{BASE}/metrics/history?{urlencode({**asked, **times})}"


async def take(case: Case, service: Service, requests: Sequence[Request]) -> CaseTaken:
    """Send the requests of a round to one service."""
    waits: list[float] = []
    queue = iter(requests)

    async def client() -> None:
        for request in queue:
            began = time.perf_counter()
            await request.ask(service.http)
            waits.append(time.perf_counter() - began)

    before = await service.meter.read()
    async with asyncio.TaskGroup() as group:
        for _ in range(case.clients):
            group.create_task(client())
    used = await service.meter.read() - before
    return _taken(used, waits)


def _taken(used: Used, waits: Sequence[float]) -> CaseTaken:
    each_ms = 1000 / len(waits)
    return CaseTaken(
        cpu_ms=used.total_s * each_ms,
        service_ms=used.service_s * each_ms,
        database_ms=used.database_s * each_ms,
        wall_ms=sorted(waits)[len(waits) // 2] * 1000,
    )


def _sent(stream: Iterator[Batch], encode: Callable[[Batch], Request], count: int) -> list[Request]:
    return [encode(next(stream)) for _ in range(count)]


def _json(component: str, batch: Batch) -> Sent:
    return Sent(f"{BASE}/metrics", JSON, bodies.to_json(component, batch), batch.shape.samples)


def _json_then_current(component: str, batch: Batch) -> SentThenGot:
    return SentThenGot(_json(component, batch), Got(CURRENT))


def _remote_write(component: str, batch: Batch) -> Sent:
    body = bodies.to_remote_write(component, batch)
    return Sent(f"{BASE}/ingest/prometheus/write", REMOTE_WRITE, body)


def _got(path: str, count: int) -> list[Request]:
    return [Got(path)] * count
