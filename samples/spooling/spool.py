"""Samples that wait on disk while the database is away: each replica has its own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import structlog
from msgspec import Struct

from model.series import Column, Histogram, Series
from runtime.file_lock import FileLock
from runtime.settings import SettingsError
from runtime.spool import QUARANTINE, REQUEUED, Spool, refused_in
from runtime.threads import Threads
from samples.spooling.disk_failures import DiskFailures
from samples.spooling.postponed import Postponed
from samples.write_batch import WriteBatch

log = structlog.get_logger()

BUDGET_BYTES = 2**30
POSTPONED = "postponed"
LOCK_WAIT_S = 10.0


class _Column(Struct, frozen=True, array_like=True):
    """A column as it is written down; numbers are little-endian."""

    series: Series
    times: bytes
    values: bytes
    reason: str


class _Histogram(Struct, frozen=True, array_like=True):
    series: Series
    time: int
    buckets: bytes
    counts: bytes


class _WriteBatch(Struct, frozen=True, array_like=True):
    columns: list[_Column]
    histograms: list[_Histogram]


class _MarkedBatch(_WriteBatch, frozen=True, array_like=True):
    """The same, and whose it is; written only of the service's own, so that others are as ever."""

    is_own: bool = False


UNREADABLE = (ValueError, msgspec.MsgspecError)
"""What `unpack` raises for a record of another version, or of nobody."""
_DECODER = msgspec.msgpack.Decoder(_MarkedBatch)


def pack(batch: WriteBatch) -> bytes:
    columns = [
        _Column(
            c.series, c.times.astype("<i8").tobytes(), c.values.astype("<f8").tobytes(), c.reason
        )
        for c in batch.columns
    ]
    histograms = [
        _Histogram(
            h.series, h.time, h.buckets.astype("<i4").tobytes(), h.counts.astype("<i8").tobytes()
        )
        for h in batch.histograms
    ]
    if batch.is_own:
        return msgspec.msgpack.encode(_MarkedBatch(columns, histograms, is_own=True))
    return msgspec.msgpack.encode(_WriteBatch(columns, histograms))


def unpack(payload: bytes) -> WriteBatch:
    """Return what was packed. Raises ValueError for what was not."""
    found = _DECODER.decode(payload)
    return WriteBatch(
        [
            Column(
                c.series, np.frombuffer(c.times, "<i8"), np.frombuffer(c.values, "<f8"), c.reason
            )
            for c in found.columns
        ],
        [
            Histogram(
                h.series, h.time, np.frombuffer(h.buckets, "<i4"), np.frombuffer(h.counts, "<i8")
            )
            for h in found.histograms
        ],
        found.is_own,
    )


class SampleSpool:
    """The spool of one replica; it is asked in a thread of its own, since the disk may be slow."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._postponed = Postponed(spool.folder / POSTPONED)
        spool.beside_bytes = self._postponed.size_bytes
        self.folder = spool.folder
        self.quarantine_folder = spool.folder / QUARANTINE
        self.requeued_folder = spool.folder / REQUEUED
        self.failures = DiskFailures()
        """What the disk refuses to do with some of the files."""
        self._done: dict[Path, int] = {}
        self._unkept: OSError | None = None
        self._thread = Threads("spool")
        self.samples = 0
        self.refused = 0
        self.quarantined = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits, but what is postponed."""
        return not self.has_active and not self.closed

    @property
    def is_stored(self) -> bool:
        """Whether nothing waits, but what is postponed and what the disk does not give back."""
        return not self.has_active and all(path in self.failures for path in self.closed)

    @property
    def has_active(self) -> bool:
        """Whether there is a segment to which records are still added."""
        return self._spool.has_active

    @property
    def closed(self) -> list[Path]:
        """The segments to which nothing is added any more, oldest first."""
        return [path for path in self._spool.closed() if path not in self._done]

    @property
    def postponed(self) -> int:
        """How many records the database refuses without a clear reason."""
        return len(self._postponed)

    @property
    def undeleted(self) -> list[Path]:
        """Files that are done with, and that the disk did not delete."""
        return list(self._done)

    def status(self) -> dict[str, int | str]:
        """Return what waits, and what was ever put here, damaged or quarantined."""
        return {
            "bytes": self._spool.size_bytes + self._postponed.size_bytes,
            "postponed": self.postponed,
            "samples": self.samples,
            "damaged_bytes": sum(damage.bytes for damage in self._spool.damage),
            "refused": self.refused,
            "quarantined": self.quarantined,
            "failing": len(self.failures),
            "failure": self.failures.text,
        }

    async def put(self, batch: WriteBatch) -> None:
        """Return when everything is on the disk. Raises UnavailableError, OSError."""
        await self._thread.run(lambda: self._spool.append([pack(batch)]))
        self.samples += batch.samples

    async def segments(self) -> list[Path]:
        """Return what there is to drain, oldest first; later records go to other segments."""
        await self._thread.run(self._spool.segments)
        return self.closed

    async def read(self, segment: Path) -> list[WriteBatch]:
        """Return what a segment holds, in order; what cannot be understood is quarantined.

        Raises OSError.
        """
        self._unkept = None
        return await self._thread.run(lambda: list(self._read(segment)))

    def _read(self, segment: Path) -> Iterator[WriteBatch]:
        for payload in self._spool.read(segment):
            try:
                yield unpack(payload)
            except UNREADABLE as error:
                self._keep_aside(partial(self._refuse, payload, str(error)))

    async def read_record(self, path: Path) -> WriteBatch:
        """Return a load that stands alone; an empty one when it cannot be understood, or is gone.

        Raises OSError.
        """
        self._unkept = None
        return await self._thread.run(self._read_record, path)

    def _read_record(self, path: Path) -> WriteBatch:
        try:
            payload = path.read_bytes()
        except FileNotFoundError:
            return WriteBatch()
        try:
            return unpack(payload)
        except UNREADABLE as error:
            self._keep_aside(partial(self._refuse, payload, str(error)))
            return WriteBatch()

    async def postpone(self, batch: WriteBatch) -> None:
        """Keep a load beside the others, to be tried later."""
        await self._thread.run(lambda: self._keep_aside(partial(self._postpone, pack(batch))))

    def _postpone(self, payload: bytes) -> None:
        self._done.pop(self._postponed.put(payload), None)
        self._spool.beside_bytes = self._postponed.size_bytes

    async def postponed_paths(self) -> list[Path]:
        """Return the postponed records, those first whose last try is longest ago."""
        return await self._thread.run(self._postponed.paths)

    async def note_try(self, path: Path) -> None:
        """Put a postponed record that was tried in vain behind the others. Raises OSError."""
        await self._thread.run(self._postponed.note_try, path)

    async def refuse(self, batch: WriteBatch, reason: str) -> None:
        """Quarantine what the database will never take, so that it stops nobody else."""
        await self._thread.run(lambda: self._keep_aside(partial(self._refuse, pack(batch), reason)))

    def _keep_aside(self, keep: Callable[[], None]) -> None:
        """Keep a record; where the disk does not take it, keep the file that it came from."""
        try:
            keep()
        except OSError as error:
            self._unkept = self._unkept or error

    async def delete(self, path: Path) -> None:
        """Delete the file that was read last: all of it is stored, or kept aside.

        Raises OSError. A file of which a record could not be kept is not deleted; one that cannot
        be deleted is not read again.
        """
        if self._unkept is not None:
            raise self._unkept
        await self._thread.run(self._delete, path)

    async def delete_again(self, path: Path) -> None:
        """Delete one of the `undeleted`. Raises OSError."""
        await self._thread.run(self._delete, path)

    def _delete(self, path: Path) -> None:
        inode = self._done.pop(path, None) or _inode(path)
        try:
            if path.parent == self._postponed.folder:
                self._postponed.remove(path)
            elif path.parent == self._spool.folder:
                self._spool.remove(path)
            elif _inode(path) == inode:
                path.unlink(missing_ok=True)
        except OSError:
            self._done[path] = inode
            raise
        self._spool.beside_bytes = self._postponed.size_bytes

    async def count_quarantined(self) -> None:
        """Count the records in the quarantine, where people may have moved some. Raises OSError."""
        self.quarantined = await self._thread.run(self._spool.quarantined)

    async def requeued(self) -> list[Path]:
        """Return the records that a person moved back from the quarantine. Raises OSError."""
        found = await self._thread.run(refused_in, self.requeued_folder)
        return [path for path in found if self._done.get(path) != _inode(path)]

    async def close(self) -> None:
        await self._thread.run(self._spool.close)
        self._thread.close()

    def _refuse(self, payload: bytes, reason: str) -> None:
        if self._spool.quarantine(payload, reason):
            self.refused += 1
            with suppress(OSError):
                self.quarantined = self._spool.quarantined()
            log.error("record_quarantined", bytes=len(payload), reason=reason)


@asynccontextmanager
async def open_spool(folder: Path, budget_bytes: int = BUDGET_BYTES) -> AsyncIterator[SampleSpool]:
    """Open the folder for one replica. Raises SettingsError while another one has it."""
    with closing(_lock_of(folder)) as lock:
        if not await lock.lock(LOCK_WAIT_S):
            raise SettingsError(
                f"VIGIA_DATA_DIR: {folder} is used by another service; give each one its own"
            )
        opened = SampleSpool(await asyncio.to_thread(Spool, folder, budget_bytes))
        try:
            yield opened
        finally:
            await opened.close()


def _lock_of(folder: Path) -> FileLock:
    """Return the lock of a folder, which is made where there is none."""
    # The data directory by itself: `parents` gives the mode to none but the last folder.
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    return FileLock(folder / "lock")


def _inode(path: Path) -> int:
    """Return what tells a file from one that gets its name later; 0 where nobody knows."""
    try:
        return path.stat().st_ino
    except OSError:
        return 0
