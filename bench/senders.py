"""The ways of samples into a hypertable: through HTTP in every format, and bare."""

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

_QUERIES = named.load(__file__.replace("senders", "ingest"))
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

Turn = Callable[[], Awaitable[None]]


class Way(Struct, frozen=True):
    """A format, and how the service is to answer it.

    `told` is the field of the answer that counts the samples.
    """

    name: str
    path: str
    encode: Callable[[str, Batch], bytes]
    headers: dict[str, str]
    status: int = OK
    told: str = ""


JSON = Way(
    "JSON",
    f"{BASE}/metrics",
    bodies.to_json,
    {"Content-Type": "application/json"},
    told=ACCEPTED,
)
GZIP = Way(
    "JSON gzip",
    JSON.path,
    bodies.to_gzip,
    {**JSON.headers, "Content-Encoding": "gzip"},
    told=ACCEPTED,
)
AGAIN = Way("JSON again", JSON.path, bodies.to_json, JSON.headers, told=DUPLICATE)
FLAT = Way("flat", JSON.path, bodies.to_json, JSON.headers, told=ACCEPTED)
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


class Ledger(Struct):
    """What was acknowledged."""

    samples: int = 0
    sum: float = 0.0
    newest_s: int = 0

    def enter(self, batch: Batch) -> None:
        self.samples += batch.shape.samples
        self.sum += float(batch.values.sum())
        self.newest_s = max(self.newest_s, int(batch.times[-1]))


class Sender(ABC):
    """One way for the samples of one shape."""

    name: str

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.ledger = Ledger()

    @abstractmethod
    def prepare(self, some: Sequence[Batch]) -> Turn:
        """Return what stores the batches; all that is a client's affair is done before."""

    @abstractmethod
    def stored(self) -> tuple[bytes, dict[str, Any]]:
        """Return the query, and its parameters, that tells what is there."""

    async def audit(self, connection: Connection) -> None:
        """Raise RuntimeError unless every acknowledged sample is there once."""
        cursor = await connection.execute(*self.stored())
        row = await cursor.fetchone()
        assert row is not None
        samples, total, newest_s = row
        is_same = samples == self.ledger.samples and newest_s == self.ledger.newest_s
        if not (is_same and math.isclose(total, self.ledger.sum, rel_tol=1e-9)):
            raise RuntimeError(f"{self.name}, {self.shape}: there is {row}, not {self.ledger}")


class Posted(Sender):
    """Requests to the service, some in flight at a time."""

    def __init__(self, way: Way, shape: Shape, http: aiohttp.ClientSession) -> None:
        super().__init__(shape)
        self.name = way.name
        self._way = way
        self._component = f"{way.name}_{shape.series}".replace(" ", "_")
        self._http = http

    def encode(self, batch: Batch) -> bytes:
        """Return the body of a request."""
        return self._way.encode(self._component, batch)

    def prepare(self, some: Sequence[Batch]) -> Turn:
        requests = [(batch, self.encode(batch)) for batch in some]
        return lambda: self.post_all(iter(requests), self._way.told)

    async def post_all(self, requests: Iterator[tuple[Batch, bytes]], told: str) -> None:
        """Send all that there is; `told` is as in Way."""

        async def lane() -> None:
            for batch, body in requests:
                await self._post(batch, body, told)

        async with asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT):
                group.create_task(lane())

    async def _post(self, batch: Batch, body: bytes, told: str) -> None:
        way = self._way
        async with self._http.post(way.path, data=body, headers=way.headers) as response:
            answer = await response.read()
        is_stored = response.status == way.status
        if told and is_stored:
            is_stored = msgspec.json.decode(answer)[told] == batch.shape.samples
        if not is_stored:
            raise RuntimeError(f"{way.name} was answered {response.status}: {answer[:500]!r}")
        if told != DUPLICATE:
            self.ledger.enter(batch)

    def stored(self) -> tuple[bytes, dict[str, Any]]:
        return STORED, {"component": self._component}


class Again(Posted):
    """The first requests, and then again and again the same."""

    def __init__(self, shape: Shape, http: aiohttp.ClientSession) -> None:
        super().__init__(AGAIN, shape, http)
        self._first: list[tuple[Batch, bytes]] = []

    def prepare(self, some: Sequence[Batch]) -> Turn:
        told = DUPLICATE if self._first else ACCEPTED
        self._first = self._first or [(batch, self.encode(batch)) for batch in some]
        return lambda: self.post_all(iter(self._first), told)


class Copied(Sender):
    """A bare COPY, on one connection."""

    name = "COPY"

    def __init__(self, shape: Shape, connection: Connection) -> None:
        super().__init__(shape)
        self._connection = connection

    def prepare(self, some: Sequence[Batch]) -> Turn:
        rows = [(batch, copy_rows(*batch.rows())) for batch in some]

        async def turn() -> None:
            for batch, data in rows:
                async with self._connection.cursor() as cursor, cursor.copy(COPY) as copy:
                    await copy.write(data)
                self.ledger.enter(batch)

        return turn

    def stored(self) -> tuple[bytes, dict[str, Any]]:
        return COPIED, {"first": self.shape.series}


class Inserted(Sender):
    """A bare INSERT of arrays that passes over duplicates, on one connection."""

    name = "unnest"

    def __init__(self, shape: Shape, connection: Connection) -> None:
        super().__init__(shape)
        self._connection = connection

    def prepare(self, some: Sequence[Batch]) -> Turn:
        arrays = [(batch, _arrays(batch)) for batch in some]

        async def turn() -> None:
            for batch, parameters in arrays:
                await self._connection.execute(UNNEST, parameters)
                self.ledger.enter(batch)

        return turn

    def stored(self) -> tuple[bytes, dict[str, Any]]:
        return INSERTED, {"first": self.shape.series}


def _arrays(batch: Batch) -> dict[str, Array]:
    ids, times, values = batch.rows()
    return {"series_ids": Integers(ids), "times": Timestamps(times), "values": Doubles(values)}
