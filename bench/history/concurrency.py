"""Measures many clients with the same query at once: the rate, and the CPU of each answer."""

import asyncio
import time

import aiohttp
import numpy as np
from msgspec import Struct

from bench.cpu import Meter, Used
from bench.history.competitors import CACHED, VIGIA, Competitors
from bench.history.questions import OFTEN
from bench.processes import fetch
from bench.tables import print_table

CLIENTS = (1, 8, 32)
WARM_UP_S, MEASURED_S = 0.5, 3.0


class Served(Struct, frozen=True):
    """The answers to a number of clients. The CPU is milliseconds for each request."""

    who: str
    clients: int
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    service_ms: float
    database_ms: float

    @property
    def cpu_ms(self) -> float:
        return self.service_ms + self.database_ms


async def measure(competitors: Competitors) -> list[Served]:
    """Measure one query with each number of clients, one competitor after the other."""
    data = competitors.data
    asked = [(VIGIA, competitors.http, competitors.meter, OFTEN.path(data))]
    for peer, started in competitors.peers.items():
        meter = Meter(started.pid)
        asked.append((peer.name, started.http, meter, OFTEN.peer_path(data, peer.uncached)))
        if peer.uncached:
            asked.append((CACHED, started.http, meter, OFTEN.peer_path(data)))
    found = []
    for clients in CLIENTS:
        for who, http, meter, path in asked:
            await _ask(http, path, clients, WARM_UP_S)
            before = await meter.read()
            began = time.perf_counter()
            waits = await _ask(http, path, clients, MEASURED_S)
            seconds = time.perf_counter() - began
            found.append(_served(who, clients, waits, seconds, await meter.read() - before))
    return found


async def _ask(http: aiohttp.ClientSession, path: str, clients: int, seconds: float) -> list[float]:
    """Send the query for some seconds; return the duration of each answer."""
    waits: list[float] = []
    ends = time.perf_counter() + seconds

    async def client() -> None:
        while (began := time.perf_counter()) < ends:
            await fetch(http, path)
            waits.append(time.perf_counter() - began)

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    return waits


def _served(who: str, clients: int, waits: list[float], seconds: float, used: Used) -> Served:
    p50, p99 = np.quantile(waits, [0.5, 0.99]) * 1000
    each_ms = 1000 / len(waits)
    return Served(
        who=who,
        clients=clients,
        requests_per_s=len(waits) / seconds,
        p50_ms=float(p50),
        p99_ms=float(p99),
        service_ms=used.service_s * each_ms,
        database_ms=used.database_s * each_ms,
    )


def report(found: list[Served]) -> None:
    print(f"{OFTEN.name}, from several clients at once; CPU in ms for each request.\n")
    print_table(
        ["", "clients", "requests/s", "p50 ms", "p99 ms", "CPU", "service", "database"],
        [
            [
                one.who, one.clients, f"{one.requests_per_s:,.0f}", f"{one.p50_ms:.2f}",
                f"{one.p99_ms:.2f}", f"{one.cpu_ms:.2f}", f"{one.service_ms:.2f}",
                f"{one.database_ms:.2f}",
            ]
            for one in found
        ],
    )  # fmt: skip


def cpu_times(found: list[Served], peer: str) -> float | None:
    """Return the highest ratio of Vigia's CPU for an answer to that of a peer."""
    costs = {(one.who, one.clients): one.cpu_ms for one in found}
    ratios = [
        costs[VIGIA, clients] / costs[peer, clients]
        for clients in CLIENTS
        if (peer, clients) in costs
    ]
    return max(ratios, default=None)
