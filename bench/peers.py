"""Prometheus and VictoriaMetrics with the same data, where Debian's packages are installed."""

import asyncio
import shutil
import tempfile
from abc import ABC, abstractmethod
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.processes import POLL_S, Running, Server, fetch, running
from bench.reference import Reference
from bench.shapes import Values
from model.series import Kind, Series

BLOCK_S = 54 * 3600
"""The block size of a Prometheus with 30 days of retention: at most a tenth of that, in steps."""
TOOLS = 2
KEEP = "100y"
MERGED = b"has been successfully finished"
MERGE_S = 120.0
LIMITS = [*np.geomspace(20, 600, 23).tolist(), np.inf]
"""The bucket limits of a histogram, as a careful client would choose them."""


class Peer(ABC):
    """A time-series database for comparison."""

    name: str
    binaries: tuple[str, ...]
    package: str
    ready: str
    uncached = ""

    @property
    def is_installed(self) -> bool:
        return all(shutil.which(binary) for binary in self.binaries)

    @abstractmethod
    def command(self, folder: Path, port: int) -> list[str]: ...

    @abstractmethod
    async def fill(self, folder: Path, data: Reference) -> None: ...

    @abstractmethod
    def stored_bytes(self, folder: Path) -> int: ...

    def running(self, folder: Path, connections: int = 1) -> AbstractAsyncContextManager[Running]:
        """Run it on a filled or empty folder during the block."""
        server = Server(partial(self.command, folder), self.ready)
        return running(server, folder / "server.log", connections)


class Prometheus(Peer):
    name = "Prometheus"
    binaries = ("prometheus", "promtool")
    package = "prometheus"
    ready = "/-/ready"

    def command(self, folder: Path, port: int) -> list[str]:
        config = folder / "prometheus.yml"
        config.write_text("", encoding="utf-8")
        return [
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            # A larger value would make it merge the blocks into larger ones.
            "--storage.tsdb.retention.time=33d",
            f"--web.listen-address=127.0.0.1:{port}",
            "--web.enable-remote-write-receiver",
        ]

    async def fill(self, folder: Path, data: Reference) -> None:
        """Create the blocks from text, with one file for each, so that no text is read twice."""
        slots = asyncio.Semaphore(TOOLS)

        async def make(number: int, file: Path) -> None:
            async with slots:
                where = data.times // BLOCK_S == number
                await asyncio.to_thread(_write_openmetrics, file, data, where)
                await _run(
                    "promtool", "tsdb", "create-blocks-from", "--max-block-duration=54h",
                    "openmetrics", str(file), str(folder / "data"),
                )  # fmt: skip
                await asyncio.to_thread(file.unlink)

        async with asyncio.TaskGroup() as group:
            for number in np.unique(data.times // BLOCK_S):
                group.create_task(make(number, folder / f"{number}.txt"))

    def stored_bytes(self, folder: Path) -> int:
        return _size(path for path in (folder / "data").iterdir() if (path / "meta.json").exists())


class VictoriaMetrics(Peer):
    name = "VictoriaMetrics"
    binaries = ("victoria-metrics",)
    package = "victoria-metrics"
    ready = "/health"
    uncached = "&nocache=1"

    def command(self, folder: Path, port: int) -> list[str]:
        return [
            "victoria-metrics",
            f"-storageDataPath={folder / 'data'}",
            f"-retentionPeriod={KEEP}",
            f"-httpListenAddr=127.0.0.1:{port}",
        ]

    async def fill(self, folder: Path, data: Reference) -> None:
        async with self.running(folder) as started:
            session = started.http
            for labels, values in _peer_series(data):
                there = ~np.isnan(values)
                body = b'{"metric":%s,"values":%s,"timestamps":%s}\n' % (
                    msgspec.json.encode(labels),
                    msgspec.json.encode(values[there].tolist()),
                    msgspec.json.encode((data.times[there] * 1000).tolist()),
                )
                async with session.post("/api/v1/import", data=body) as response:
                    response.raise_for_status()
            await fetch(session, "/internal/force_flush")
            await fetch(session, "/internal/force_merge")
            log = folder / "server.log"
            async with asyncio.timeout(MERGE_S):
                while MERGED not in await asyncio.to_thread(log.read_bytes):
                    await asyncio.sleep(POLL_S)

    def stored_bytes(self, folder: Path) -> int:
        return _size([folder / "data" / "data", folder / "data" / "indexdb"])


PEERS: tuple[Peer, ...] = (Prometheus(), VictoriaMetrics())
PROMETHEUS, VICTORIA_METRICS = (peer.name for peer in PEERS)


def installed() -> list[Peer]:
    """Return the installed peers, and print how to install the others."""
    for peer in PEERS:
        if not peer.is_installed:
            print(f"Without {peer.name}; install it with: sudo apt-get install {peer.package}")
    return [peer for peer in PEERS if peer.is_installed]


def home(data: Reference) -> Path:
    """Return the folder that keeps the peers' copies of the data for the next run."""
    return Path(tempfile.gettempdir()) / f"vigia-bench-{data.fingerprint}"


async def stored(peer: Peer, folder: Path, data: Reference) -> Path:
    """Return a folder under `folder` with a peer's copy of the data. Fill it if it is missing."""
    finished = folder / peer.package
    if not finished.exists():
        unfinished = folder / f"{peer.package}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        await peer.fill(unfinished, data)
        unfinished.rename(finished)
    return finished


def labels_of(series: Series) -> dict[str, str]:
    return {"__name__": series.metric, "component": series.component, **dict(series.labels)}


def _peer_series(data: Reference) -> Iterator[tuple[dict[str, str], Values]]:
    """Yield labels and values. A distribution becomes a histogram, as a client would count it.

    A bucket counts the samples so far that are at most its limit `le`.
    """
    for series, values in zip(data.series, data.values, strict=True):
        labels = labels_of(series)
        if series.kind is not Kind.DISTRIBUTION:
            yield labels, values
            continue
        for limit in LIMITS:
            counts = np.cumsum(values <= limit).astype(np.float64)
            name = {
                "__name__": f"{series.metric}_bucket",
                "le": f"{limit:g}".replace("inf", "+Inf"),
            }
            yield labels | name, np.where(np.isnan(values), np.nan, counts)


def _write_openmetrics(file: Path, data: Reference, where: NDArray[np.bool_]) -> None:
    with file.open("w", encoding="utf-8") as output:
        for labels, values in sorted(_peer_series(data), key=lambda one: one[0]["__name__"]):
            there = where & ~np.isnan(values)
            output.writelines(_lines(labels, values[there].tolist(), data.times[there].tolist()))
        output.write("# EOF\n")


def _lines(labels: dict[str, str], values: list[float], times: list[int]) -> Iterator[str]:
    matchers = ",".join(f'{k}="{v}"' for k, v in labels.items() if k != "__name__")
    head = f"{labels['__name__']}{{{matchers}}} "
    return (f"{head}{value!r} {time}\n" for value, time in zip(values, times, strict=True))


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command, stdout=DEVNULL, stderr=PIPE)
    try:
        _, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise RuntimeError(f"{command[0]}: {errors.decode(errors='replace')[-2000:]}")


def _size(folders: Iterator[Path] | list[Path]) -> int:
    return sum(
        file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file()
    )
