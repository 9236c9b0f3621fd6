"""Measures the memory of the service while it receives very many samples."""

import asyncio
import time
from collections.abc import Iterator

import psutil

from bench.bodies import STEP_S, Batch, batches
from bench.ingest import senders
from bench.ingest.competitors import MANY, MB, IngestCompetitors
from bench.ingest.report import Flat
from bench.ingest.senders import Posted

HOUR_S = 3600
SETTLE_S = 5.0
POLL_S = 0.2
CHECKPOINT_SAMPLES = 1_000_000


async def watch(competitors: IngestCompetitors, count: int) -> Flat:
    """Send samples, and measure the memory of the service meanwhile."""
    service = psutil.Process(competitors.service.pid)
    before = service.memory_info().rss
    sender = Posted(senders.FLAT, MANY, competitors.http, competitors.counters()[0])
    seen: list[tuple[int, int]] = []
    watching = asyncio.create_task(_look(service, sender, seen))
    began = time.monotonic()
    start_s = int(time.time()) - HOUR_S - count // MANY.series * STEP_S
    try:
        await _send(competitors, sender, batches(MANY, start_s), count)
    finally:
        watching.cancel()
    seconds = time.monotonic() - began
    seen.append((sender.ledger.samples, service.memory_info().rss))
    await asyncio.sleep(SETTLE_S)
    await sender.audit(competitors.sql)
    warm = max(rss for samples, rss in seen if samples <= count / 10)
    most = max(rss for samples, rss in seen if samples > count / 10)
    sizes = [size / MB for size in (before, warm, most, service.memory_info().rss)]
    return Flat(competitors.engine, sender.ledger.samples, seconds, *sizes)


async def _send(
    competitors: IngestCompetitors, sender: Posted, stream: Iterator[Batch], count: int
) -> None:
    """Send the samples in parts, each followed by a checkpoint: the embedded engine makes none."""
    while sender.ledger.samples < count:
        part = min(CHECKPOINT_SAMPLES, count - sender.ledger.samples)
        some = (next(stream) for _ in range(-(-part // MANY.samples)))
        await sender.post_all(((batch, sender.encode(batch)) for batch in some), counted="accepted")
        if competitors.is_embedded:
            await competitors.sql.execute(senders.CHECKPOINT)


async def _look(service: psutil.Process, sender: Posted, seen: list[tuple[int, int]]) -> None:
    """Record the memory and the number of samples until cancelled."""
    while True:
        seen.append((sender.ledger.samples, service.memory_info().rss))
        await asyncio.sleep(POLL_S)
