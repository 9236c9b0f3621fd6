"""What an agent has collected and not delivered yet: requests that wait on disk, oldest first."""

import asyncio
import fcntl
import gzip
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog
from msgspec import Struct

from db.spool import QUARANTINE, Spool
from vigia.model import ConflictError, Sample, Series, UnavailableError

PORTION_SAMPLES_MAX = 10_000
"""Of one request, which then stays well below the limits of the service."""
SET_ASIDE_MAX = 100
UNREADABLE = (msgspec.DecodeError, EOFError, gzip.BadGzipFile, zlib.error)
"""What was written by another version, or by nobody."""

log = structlog.get_logger()

Result = TypeVar("Result")


class Column(Struct, omit_defaults=True):
    """Samples of one series, as `POST /metrics` takes them."""

    metric: str
    component: str
    category: str
    times: list[float]
    values: list[float]
    labels: dict[str, str] = {}
    unit: str = ""
    kind: str = "gauge"
    resolution: float | None = None

    def identity(self) -> bytes:
        return msgspec.msgpack.encode(msgspec.structs.replace(self, times=[], values=[]))


class Request(Struct):
    """The body of one request."""

    series: list[Column]

    @property
    def samples(self) -> int:
        return sum(len(column.times) for column in self.series)


def pack(samples: Iterable[Sample]) -> bytes:
    """Return samples as a request's body, compressed."""
    columns: dict[Series, Column] = {}
    for sample in samples:
        column = columns.get(sample.series) or _column(sample.series)
        columns[sample.series] = column
        column.times.append(sample.time.timestamp())
        column.values.append(sample.series.round(sample.value))
    return _compressed(Request(list(columns.values())))


def unpack(body: bytes) -> Request:
    return msgspec.json.decode(gzip.decompress(body), type=Request)


def portions(bodies: Iterable[bytes]) -> Iterator[bytes]:
    """Put small requests together, in order; an hour of outage is then one and not hundreds."""
    waiting: list[bytes] = []
    count = 0
    for body in bodies:
        samples = unpack(body).samples
        if waiting and count + samples > PORTION_SAMPLES_MAX:
            yield _merged(waiting)
            waiting, count = [], 0
        waiting.append(body)
        count += samples
    if waiting:
        yield _merged(waiting)


def _merged(bodies: Sequence[bytes]) -> bytes:
    if len(bodies) == 1:
        return bodies[0]
    columns: dict[bytes, Column] = {}
    for body in bodies:
        for column in unpack(body).series:
            known = columns.setdefault(column.identity(), column)
            if known is not column:
                known.times += column.times
                known.values += column.values
    return _compressed(Request(list(columns.values())))


def _column(series: Series) -> Column:
    return Column(
        metric=series.metric,
        component=series.component,
        category=series.category.value,
        times=[],
        values=[],
        labels=dict(series.labels),
        unit=series.unit,
        kind=series.kind.value,
        resolution=series.resolution,
    )


def _compressed(request: Request) -> bytes:
    return gzip.compress(msgspec.json.encode(request), 6, mtime=0)


class Outbox:
    """A spool of requests, for one agent.

    When it is full, the oldest make room for the newest: `dropped` counts the samples, and each
    time is logged.
    """

    def __init__(self, folder: Path, budget_bytes: int) -> None:
        """Open the folder. Raises ConflictError while another agent has it."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._lock_file = _locked(folder / "lock")
        self._spool = Spool(folder, budget_bytes)
        # One thread, because the spool is for one; work that was begun ends before the next.
        self._thread = ThreadPoolExecutor(1, "outbox")
        self._taken: Path | None = None
        self.dropped = 0

    @property
    def size_bytes(self) -> int:
        return self._spool.size_bytes

    async def put(self, samples: Sequence[Sample]) -> None:
        """Return when the samples are on the disk, or are lost, counted and logged."""
        try:
            await self._do(lambda: self._append(pack(samples)))
        except (OSError, UnavailableError) as error:
            self._count_dropped(len(samples), str(error))

    async def take(self) -> list[bytes] | None:
        """Return the requests of the oldest segment, until it is `done`; None: there is none."""
        return await self._do(self._read_oldest)

    async def done(self) -> None:
        """Forget the segment that was taken: all of it is delivered, or set aside."""
        await self._do(self._remove_taken)

    async def set_aside(self, body: bytes) -> bool:
        """Keep a request that the service will never take, for people; False: there are many."""
        return await self._do(lambda: self._keep(body))

    async def close(self) -> None:
        await self._do(self._spool.close)
        self._thread.shutdown()
        os.close(self._lock_file)

    async def _do(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _append(self, body: bytes) -> None:
        while True:
            try:
                self._spool.append([body])
            except UnavailableError:
                if not self._drop_oldest():
                    raise
            else:
                return

    def _drop_oldest(self) -> bool:
        waiting = [path for path in self._spool.segments() if path != self._taken]
        if not waiting:
            return False
        count = sum(unpack(body).samples for body in self._spool.read(waiting[0]))
        self._spool.remove(waiting[0])
        self._count_dropped(count, "the spool is full")
        return True

    def _count_dropped(self, count: int, reason: str) -> None:
        self.dropped += count
        log.error("samples_dropped", count=count, reason=reason, total=self.dropped)

    def _read_oldest(self) -> list[bytes] | None:
        while segments := self._spool.segments():
            self._taken = segments[0]
            try:
                return list(portions(self._spool.read(self._taken)))
            except UNREADABLE as error:
                log.warning("segment_set_aside", segment=self._taken.name, error=str(error))
                self._spool.set_aside(self._taken.name, self._taken.read_bytes())
                self._remove_taken()
        return None

    def _remove_taken(self) -> None:
        if self._taken is not None:
            self._spool.remove(self._taken)
            self._taken = None

    def _keep(self, body: bytes) -> bool:
        there = len(list((self._folder / QUARANTINE).iterdir()))
        if there < SET_ASIDE_MAX:
            self._spool.set_aside(f"refused-{there:03}.json.gz", body)
        return there < SET_ASIDE_MAX


def _locked(file: Path) -> int:
    """Hold a file for this process; the kernel lets go of it with the process."""
    handle = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise ConflictError(f"another agent uses {file.parent}; give --spool a folder") from None
    return handle
