"""The agent's send queue: requests on disk that are not delivered yet, oldest first."""

import errno
import gzip
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
import structlog
from msgspec import Struct

from model.errors import ConflictError, UnavailableError
from model.series import Sample, Series
from runtime.file_lock import FileLock
from runtime.spool import QUARANTINE, Spool
from runtime.threads import Threads

BATCH_SAMPLES_MAX = 10_000
"""Most samples of one request, well below the limits of the service."""
QUARANTINE_MAX = 100
UNREADABLE = (msgspec.DecodeError, EOFError, gzip.BadGzipFile, zlib.error)
"""Errors of a damaged segment, or of one that another version wrote."""
PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR})
"""Errors after which the file can probably be read a moment later."""

log = structlog.get_logger()


class Column(Struct, omit_defaults=True):
    """Samples of one series in the format of `POST /metrics`."""

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
    """Return samples as a compressed request body."""
    columns: dict[Series, Column] = {}
    for sample in samples:
        column = columns.get(sample.series) or _column(sample.series)
        columns[sample.series] = column
        column.times.append(sample.time.timestamp())
        column.values.append(sample.series.round(sample.value))
    return _compressed(Request(list(columns.values())))


def unpack(body: bytes) -> Request:
    return msgspec.json.decode(gzip.decompress(body), type=Request)


def batches(bodies: Iterable[bytes]) -> Iterator[bytes]:
    """Merge small requests, in order: an hour of outage becomes one request and not hundreds."""
    waiting: list[bytes] = []
    count = 0
    for body in bodies:
        samples = unpack(body).samples
        if waiting and count + samples > BATCH_SAMPLES_MAX:
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
    """The queue of requests of one agent, on disk.

    If it is full, the oldest samples are dropped, logged, and counted in `dropped`.
    `segments_quarantined` counts unreadable files.
    """

    def __init__(self, folder: Path, budget_bytes: int) -> None:
        """Open the folder. Raises ConflictError if another agent uses it."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._lock = FileLock(folder / "lock")
        if not self._lock.try_lock():
            self._lock.close()
            raise ConflictError(f"another agent uses {folder}; choose another folder with --spool")
        self._spool = Spool(folder, budget_bytes)
        self._thread = Threads("outbox")
        self._taken: Path | None = None
        self.dropped = self.segments_quarantined = 0

    @property
    def size_bytes(self) -> int:
        return self._spool.size_bytes

    async def put(self, samples: Sequence[Sample]) -> None:
        """Write samples to disk. If that fails, count them as dropped and log the reason."""
        try:
            await self._thread.run(lambda: self._append(pack(samples)))
        except (OSError, UnavailableError) as error:
            self._count_dropped(len(samples), str(error))

    async def take(self) -> list[bytes] | None:
        """Return the requests of the oldest segment; None if the queue is empty.

        Returns the same segment until `done` removes it.
        """
        return await self._thread.run(self._read_oldest)

    async def done(self) -> None:
        """Remove the segment last taken, after all of it is delivered or quarantined."""
        await self._thread.run(self._remove_taken)

    async def quarantine(self, body: bytes) -> bool:
        """Keep a request that the service always refuses; return False if too many are kept."""
        return await self._thread.run(self._keep, body)

    async def close(self) -> None:
        await self._thread.run(self._spool.close)
        self._thread.close()
        self._lock.close()

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
        try:
            count = sum(unpack(body).samples for body in self._spool.read(waiting[0]))
        except (*UNREADABLE, OSError) as error:
            self._give_up(waiting[0], error)
        else:
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
                return list(batches(self._spool.read(self._taken)))
            except (*UNREADABLE, OSError) as error:
                self._give_up(self._taken, error)
                self._taken = None
        return None

    def _give_up(self, segment: Path, error: Exception) -> None:
        """Quarantine an unreadable segment, or delete it if the quarantine is full.

        The number of its samples is unknown, so they are not counted as dropped. Raises `error`
        again if it is temporary.
        """
        if isinstance(error, OSError) and error.errno in PASSING:
            raise error
        is_kept = self._has_room_aside()
        if is_kept:
            self._spool.move_aside(segment)
        else:
            self._spool.remove(segment)
        self.segments_quarantined += 1
        log.error("segment_quarantined", segment=segment.name, error=str(error), kept=is_kept)

    def _remove_taken(self) -> None:
        if self._taken is not None:
            self._spool.remove(self._taken)
            self._taken = None

    def _keep(self, body: bytes) -> bool:
        if has_room := self._has_room_aside():
            self._spool.write_quarantined(f"refused-{self._count_aside():03}.json.gz", body)
        return has_room

    def _has_room_aside(self) -> bool:
        return self._count_aside() < QUARANTINE_MAX

    def _count_aside(self) -> int:
        return len(list((self._folder / QUARANTINE).iterdir()))
