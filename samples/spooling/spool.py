"""The spool: samples that wait on disk while the database is away. Each replica has its own."""

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
    """A column as it is stored in a record. Numbers are little-endian."""

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
    """A batch with `is_own`. Only own batches are written in this form.

    So the records of senders keep the format that older versions read.
    """

    is_own: bool = False


UNREADABLE = (ValueError, msgspec.MsgspecError)
"""The errors of `unpack` for a record of another version, or for any other bytes."""
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
    """Return the batch of a record. Raises one of `UNREADABLE`."""
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
    """The spool of one replica. Its disk operations run in their own thread: a disk may be slow."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._postponed = Postponed(spool.folder / POSTPONED)
        spool.beside_bytes = self._postponed.size_bytes
        self.folder = spool.folder
        self.quarantine_folder = spool.folder / QUARANTINE
        self.requeued_folder = spool.folder / REQUEUED
        self.failures = DiskFailures()
        """The files that could not be read, written or deleted."""
        self._done: dict[Path, int] = {}
        self._unkept: OSError | None = None
        self._thread = Threads("spool")
        self.samples = 0
        self.refused = 0
        self.quarantined = 0

    @property
    def is_empty(self) -> bool:
        """Whether no record waits except postponed ones."""
        return not self.has_active and not self.closed

    @property
    def is_stored(self) -> bool:
        """Whether no record waits except postponed ones and those in unreadable files."""
        return not self.has_active and all(path in self.failures for path in self.closed)

    @property
    def has_active(self) -> bool:
        """Whether there is an active segment."""
        return self._spool.has_active

    @property
    def closed(self) -> list[Path]:
        """The closed segments that are not stored yet, oldest first."""
        return [path for path in self._spool.closed() if path not in self._done]

    @property
    def postponed(self) -> int:
        """How many records the database refused without a clear error."""
        return len(self._postponed)

    @property
    def undeleted(self) -> list[Path]:
        """Files whose records are stored, but which could not be deleted."""
        return list(self._done)

    def status(self) -> dict[str, int | str]:
        """Return the sizes and counts for metrics, and the first disk failure."""
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
        """Write a batch durably. Raises UnavailableError when the spool is full, and OSError."""
        await self._thread.run(lambda: self._spool.append([pack(batch)]))
        self.samples += batch.samples

    async def segments(self) -> list[Path]:
        """Close the active segment, and return all segments to drain, oldest first."""
        await self._thread.run(self._spool.segments)
        return self.closed

    async def read(self, segment: Path) -> list[WriteBatch]:
        """Return the batches of a segment in order. Unreadable records are quarantined.

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
        """Return the batch of a file with one record, or an empty one for an unreadable record.

        It is empty for a deleted file too. Raises OSError.
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
        """Store a batch among the postponed records."""
        await self._thread.run(lambda: self._keep_aside(partial(self._postpone, pack(batch))))

    def _postpone(self, payload: bytes) -> None:
        # A postponed record of this name may have been stored before. This one is not stored yet.
        self._done.pop(self._postponed.put(payload), None)
        self._spool.beside_bytes = self._postponed.size_bytes

    async def postponed_paths(self) -> list[Path]:
        """Return the postponed records, least recently tried first."""
        return await self._thread.run(self._postponed.paths)

    async def note_try(self, path: Path) -> None:
        """Move a postponed record that failed again behind the others. Raises OSError."""
        await self._thread.run(self._postponed.note_try, path)

    async def refuse(self, batch: WriteBatch, reason: str) -> None:
        """Quarantine a batch that the database will never accept, so that it blocks no other."""
        await self._thread.run(lambda: self._keep_aside(partial(self._refuse, pack(batch), reason)))

    def _keep_aside(self, keep: Callable[[], None]) -> None:
        """Store a record elsewhere. If the disk fails, `delete` must keep the file it came from."""
        try:
            keep()
        except OSError as error:
            self._unkept = self._unkept or error

    async def delete(self, path: Path) -> None:
        """Delete the file that was read last, after all its records were stored or put aside.

        Raises OSError. If a record could not be put aside, the file is kept. If the file cannot be
        deleted, it is not read again, and `delete_again` retries.
        """
        if self._unkept is not None:
            raise self._unkept
        await self._thread.run(self._delete, path)

    async def delete_again(self, path: Path) -> None:
        """Try again to delete one of the `undeleted` files. Raises OSError."""
        await self._thread.run(self._delete, path)

    def _delete(self, path: Path) -> None:
        inode = self._done.pop(path, None) or _inode(path)
        try:
            if path.parent == self._postponed.folder:
                self._postponed.remove(path)
            elif path.parent == self._spool.folder:
                self._spool.remove(path)
            # A person may have requeued another record under the same name meanwhile.
            elif _inode(path) == inode:
                path.unlink(missing_ok=True)
        except OSError:
            self._done[path] = inode
            raise
        self._spool.beside_bytes = self._postponed.size_bytes

    async def count_quarantined(self) -> None:
        """Count the records in the quarantine. A person may have moved some. Raises OSError."""
        self.quarantined = await self._thread.run(self._spool.quarantined)

    async def requeued(self) -> list[Path]:
        """Return the records that a person requeued from the quarantine. Raises OSError."""
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
    """Open the folder for one replica. Raises SettingsError if another process uses it."""
    with closing(_lock_of(folder)) as lock:
        if not await lock.lock(LOCK_WAIT_S):
            raise SettingsError(
                f"VIGIA_DATA_DIR: another service uses {folder}; give each one its own directory"
            )
        opened = SampleSpool(await asyncio.to_thread(Spool, folder, budget_bytes))
        try:
            yield opened
        finally:
            await opened.close()


def _lock_of(folder: Path) -> FileLock:
    """Create a folder if it is missing, and return its lock."""
    # The parent is created separately, because mkdir applies `mode` only to the last folder.
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    return FileLock(folder / "lock")


def _inode(path: Path) -> int:
    """Return the inode of a file, or 0 if it cannot be read.

    It distinguishes a file from a later one of the same name.
    """
    try:
        return path.stat().st_ino
    except OSError:
        return 0
