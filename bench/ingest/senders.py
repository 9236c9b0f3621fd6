"""The senders: through HTTP in every format, and with bare statements."""

import asyncio
import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import aiohttp
import msgspec
from msgspec import Struct

from bench import bodies, named
from bench.bodies import Batch, Shape
from db.arrays import Array, Doubles, Integers, Timestamps, copy_rows
from db.queries import Connection

_QUERIES = named.load(__file__)
TABLES = _QUERIES["tables"]
COPY = _QUERIES["copy"]
UNNEST = _QUERIES["unnest"]
STORED = _QUERIES["stored"]
COPIED = _QUERIES["copied"]
INSERTED = _QUERIES["inserted"]
CHECKPOINT = _QUERIES["checkpoint"]

BASE = "/api/v1/monitoring"
IN_FLIGHT = 2
OK, NO_CONTENT = 200, 204
ACCEPTED, DUPLICATE = "accepted", "duplicate"

PreparedRun = Callable[[], Awaitable[None]]
CpuCounter = Callable[[], Awaitable[float]]
"""Returns the CPU seconds so far of all processes that work for a sender."""


class Way(Struct, frozen=True):
    """A format, and the expected answer of the service.

    `counted` is the field of the answer that counts the samples.
    """

    name: str
    path: str
    encode: Callable[[str, Batch], bytes]
    headers: dict[str, str]
    status: int = OK
    counted: str = ""


JSON = Way(
    "JSON",
    f"{BASE}/metrics",
    bodies.to_json,
    {"Content-Type": "application/json"},
    counted=ACCEPTED,
)
GZIP = Way(
    "JSON gzip",
    JSON.path,
    bodies.to_gzip,
    {**JSON.headers, "Content-Encoding": "gzip"},
    counted=ACCEPTED,
)
AGAIN = Way("JSON again", JSON.path, bodies.to_json, JSON.headers, counted=DUPLICATE)
FLAT = Way("flat", JSON.path, bodies.to_json, JSON.headers, counted=ACCEPTED)
OTLP = Way(
    "OTLP",
    f"{BASE}/ingest/otlp/v1/metrics",
    bodies.to_otlp,
    {"Content-Type": "application/x-protobuf"},
)
REMOTE_WRITE = Way(
    "remote write",
    f"{BASE}/ingest/prometheus/write",
    bodies.to_remote_write,
    {
        "Content-Type": "application/x-protobuf",
        "Content-Encoding": "snappy",
        "X-Prometheus-Remote-Write-Version": "0.1.0",
    },
    NO_CONTENT,
)
WAYS = (JSON, GZIP, OTLP, REMOTE_WRITE)
PEER_PATH, PEER_QUERY = "/api/v1/write", "/api/v1/query"


class Ledger(Struct):
    """The acknowledged samples."""

    samples: int = 0
    sum: float = 0.0
    newest_s: int = 0

    def enter(self, batch: Batch) -> None:
        self.samples += batch.shape.samples
        self.sum += float(batch.values.sum())
        self.newest_s = max(self.newest_s, int(batch.times[-1]))


class Sender(ABC):
    """A sender of samples of one shape."""

    name: str

    def __init__(self, shape: Shape, cpu_s: CpuCounter) -> None:
        self.shape = shape
        self.cpu_s = cpu_s
        self.ledger = Ledger()

    @abstractmethod
    def prepare(self, some: Sequence[Batch]) -> PreparedRun:
        """Return a function that stores the batches. All work of a client is done in advance."""

    @abstractmethod
    def stored(self) -> tuple[bytes, dict[str, Any]]:
        """Return the query that counts the stored samples, and its parameters."""

    async def audit(self, connection: Connection) -> None:
        """Raise RuntimeError unless every acknowledged sample is stored once."""
        cursor = await connection.execute(*self.stored())
        row = await cursor.fetchone()
        assert row is not None
        samples, total, newest_s = row
        is_same = samples == self.ledger.samples and newest_s == self.ledger.newest_s
        if not (is_same and math.isclose(total, self.ledger.sum, rel_tol=1e-9)):
            raise RuntimeError(f"{self.name}, {self.shape}: there is {row}, not {self.ledger}")


class Posted(Sender):
    """Sends requests to the service, several at a time."""

    in_flight = IN_FLIGHT

    def __init__(
        self, way: Way, shape: Shape, http: aiohttp.ClientSession, cpu_s: CpuCounter
    ) -> None:
        super().__init__(shape, cpu_s)
        self.name = way.name
        self._way = way
        self._component = f"{way.name}_{shape.series}".replace(" ", "_")
        self._http = http

    def encode(self, batch: Batch) -> bytes:
        """Return the body of a request."""
        return self._way.encode(self._component, batch)

    def prepare(self, some: Sequence[Batch]) -> PreparedRun:
        requests = [(batch, self.encode(batch)) for batch in some]
        return lambda: self.post_all(iter(requests), self._way.counted)

    async def post_all(self, requests: Iterator[tuple[Batch, bytes]], counted: str) -> None:
        """Send all requests. `counted` is as in Way."""

        async def lane() -> None:
            for batch, body in requests:
                await self._post(batch, body, counted)

        async with asyncio.TaskGroup() as group:
            for _ in range(self.in_flight):
                group.create_task(lane())

    async def _post(self, batch: Batch, body: bytes, counted: str) -> None:
        way = self._way
        async with self._http.post(way.path, data=body, headers=way.headers) as response:
            answer = await response.read()
        is_stored = response.status == way.status
        if counted and is_stored:
            is_stored = msgspec.json.decode(answer)[counted] == batch.shape.samples
        if not is_stored:
            raise RuntimeError(f"{way.name} was answered {response.status}: {answer[:500]!r}")
        if counted != DUPLICATE:
            self.ledger.enter(batch)

    def stored(self) -> tuple[bytes, dict[str, Any]]:
        return STORED, {"component": self._component}


class Again(Posted):
    """Sends the first requests again and again, so that all samples are duplicates."""

    def __init__(self, shape: Shape, http: aiohttp.ClientSession, cpu_s: CpuCounter) -> None:
        super().__init__(AGAIN, shape, http, cpu_s)
        self._first: list[tuple[Batch, bytes]] = []

    def prepare(self, some: Sequence[Batch]) -> PreparedRun:
        counted = DUPLICATE if self._first else ACCEPTED
        self._first = self._first or [(batch, self.encode(batch)) for batch in some]
        return lambda: self.post_all(iter(self._first), counted)


class ToPeer(Posted):
    """Sends remote write bodies to a peer, one after the other.

    Prometheus refuses samples older than the newest of their series.
    """

    in_flight = 1

    def __init__(
        self, name: str, shape: Shape, http: aiohttp.ClientSession, cpu_s: CpuCounter
    ) -> None:
        way = msgspec.structs.replace(REMOTE_WRITE, name=name, path=PEER_PATH)
        super().__init__(way, shape, http, cpu_s)

    async def audit(self, connection: Connection) -> None:  # noqa: ARG002 (it is not there)
        """Raise RuntimeError unless the peer has as many samples as it acknowledged."""
        query = f'sum(count_over_time({bodies.METRIC}{{job="{self._component}"}}[7d]))'
        asked = {"query": query, "time": str(self.ledger.newest_s + 1), "nocache": "1"}
        async with self._http.get(PEER_QUERY, params=asked) as answer:
            found = msgspec.json.decode(await answer.read())["data"]["result"]
        samples = int(found[0]["value"][1]) if found else 0
        if samples != self.ledger.samples:
            raise RuntimeError(f"{self.name}, {self.shape}: {samples}, not {self.ledger}")


class Copied(Sender):
    """Stores samples with a bare COPY on one connection."""

    name = "COPY"

    def __init__(self, shape: Shape, connection: Connection, cpu_s: CpuCounter) -> None:
        super().__init__(shape, cpu_s)
        self._connection = connection

    def prepare(self, some: Sequence[Batch]) -> PreparedRun:
        rows = [(batch, copy_rows(*batch.rows())) for batch in some]

        async def prepared() -> None:
            for batch, data in rows:
                async with self._connection.cursor() as cursor, cursor.copy(COPY) as copy:
                    await copy.write(data)
                self.ledger.enter(batch)

        return prepared

    def stored(self) -> tuple[bytes, dict[str, Any]]:
        return COPIED, {"first": self.shape.series}


class Inserted(Sender):
    """Stores samples with a bare INSERT of arrays that skips duplicates, on one connection."""

    name = "unnest"

    def __init__(self, shape: Shape, connection: Connection, cpu_s: CpuCounter) -> None:
        super().__init__(shape, cpu_s)
        self._connection = connection

    def prepare(self, some: Sequence[Batch]) -> PreparedRun:
        arrays = [(batch, _arrays(batch)) for batch in some]

        async def prepared() -> None:
            for batch, parameters in arrays:
                await self._connection.execute(UNNEST, parameters)
                self.ledger.enter(batch)

        return prepared

    def stored(self) -> tuple[bytes, dict[str, Any]]:
        return INSERTED, {"first": self.shape.series}


def _arrays(batch: Batch) -> dict[str, Array]:
    ids, times, values = batch.rows()
    return {"series_ids": Integers(ids), "times": Timestamps(times), "values": Doubles(values)}
