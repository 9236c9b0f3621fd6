"""Samples that wait on disk while the database is away: each replica has its own."""

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
import structlog
from msgspec import Struct

from db.load import Load
from db.spool import REASON, Spool
from vigia.model import Column, Histogram, Series
from vigia.settings import SettingsError

log = structlog.get_logger()

BUDGET_BYTES = 2**30
LOCK_WAIT_S = 10.0
LOCK_POLL_S = 0.2

Result = TypeVar("Result")


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


class _Load(Struct, frozen=True, array_like=True):
    columns: list[_Column]
    histograms: list[_Histogram]


_DECODER = msgspec.msgpack.Decoder(_Load)


def pack(load: Load) -> bytes:
    columns = [
        _Column(
            c.series, c.times.astype("<i8").tobytes(), c.values.astype("<f8").tobytes(), c.reason
        )
        for c in load.columns
    ]
    histograms = [
        _Histogram(
            h.series, h.time, h.buckets.astype("<i4").tobytes(), h.counts.astype("<i8").tobytes()
        )
        for h in load.histograms
    ]
    return msgspec.msgpack.encode(_Load(columns, histograms))


def unpack(payload: bytes) -> Load:
    """Return what was packed. Raises ValueError for what was not."""
    found = _DECODER.decode(payload)
    return Load(
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
    )


class Backlog:
    """The spool of one replica; it is asked in a thread of its own, since the disk may be slow."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self.folder = spool.folder
        self._thread = ThreadPoolExecutor(1, "spool")
        self.samples = 0
        self.refused = 0
        self.quarantined = 0

    @property
    def is_empty(self) -> bool:
        return self._spool.is_empty

    def status(self) -> dict[str, int]:
        """Return what waits, and what was ever put here, damaged or set aside."""
        return {
            "bytes": self._spool.size_bytes,
            "samples": self.samples,
            "damaged_bytes": sum(damage.bytes for damage in self._spool.damage),
            "refused": self.refused,
            "quarantined": self.quarantined,
        }

    async def put(self, load: Load) -> None:
        """Return when everything is on the disk. Raises UnavailableError, OSError."""
        await self._do(lambda: self._spool.append([pack(load)]))
        self.samples += load.samples

    async def segments(self) -> list[Path]:
        """Return what there is to take back, oldest first."""
        return await self._do(self._spool.segments)

    async def read(self, segment: Path) -> list[Load]:
        """Return what a segment holds, in order; what cannot be understood is set aside."""
        payloads = await self._do(lambda: list(self._spool.read(segment)))
        loads = []
        for payload in payloads:
            try:
                loads.append(unpack(payload))
            except (ValueError, msgspec.MsgspecError) as error:
                await self._refuse(payload, str(error))
        return loads

    async def refuse(self, load: Load, reason: str) -> None:
        """Quarantine what the database will never take, so that it stops nobody else."""
        await self._refuse(pack(load), reason)

    async def remove(self, segment: Path) -> None:
        """Forget a segment: all of it is stored, or set aside."""
        await self._do(lambda: self._spool.remove(segment))

    async def has_requeued(self) -> bool:
        """Whether a person moved records back from the quarantine; counts those still in it."""
        self.quarantined = await self._do(self._spool.quarantined)
        return bool(await self._do(self._spool.requeued))

    async def take_requeued(self) -> None:
        """Put records that were moved back from the quarantine behind all others."""
        for path in await self._do(self._spool.requeued):
            payload = await self._do(path.read_bytes)
            try:
                await self.put(unpack(payload))
            except (ValueError, msgspec.MsgspecError) as error:
                await self._refuse(payload, str(error))
            # Only now: a record that is in the spool twice is stored once.
            await self._do(path.unlink)

    async def close(self) -> None:
        await self._do(self._spool.close)
        self._thread.shutdown()

    async def _refuse(self, payload: bytes, reason: str) -> None:
        self.refused += 1
        name = f"refused-{time.time_ns()}"
        # Its reason first: a record without one is listed all the same.
        await self._do(lambda: self._spool.set_aside(name + REASON, reason.encode()))
        await self._do(lambda: self._spool.set_aside(name, payload))
        log.error("batch_quarantined", file=name, bytes=len(payload), reason=reason)

    async def _do(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


@asynccontextmanager
async def open_backlog(folder: Path, budget_bytes: int = BUDGET_BYTES) -> AsyncIterator[Backlog]:
    """Open the folder for one replica. Raises SettingsError while another one has it."""
    lock = _lock_file(folder)
    try:
        await _lock(lock, folder)
        backlog = Backlog(await asyncio.to_thread(Spool, folder, budget_bytes))
        try:
            yield backlog
        finally:
            await backlog.close()
    finally:
        os.close(lock)


def _lock_file(folder: Path) -> int:
    # The data directory itself, which a mode given with `parents` does not hold for.
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    return os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)


async def _lock(lock: int, folder: Path) -> None:
    try:
        async with asyncio.timeout(LOCK_WAIT_S):
            while not _is_locked(lock):  # noqa: ASYNC110 (no event tells)
                await asyncio.sleep(LOCK_POLL_S)
    except TimeoutError:
        raise SettingsError(
            f"VIGIA_DATA_DIR: {folder} is used by another service; give each one its own"
        ) from None


def _is_locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
