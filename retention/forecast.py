"""Measures the storage of each tier, and forecasts when the disk is full."""

import shutil
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from db.queries import Connection
from retention import usage as storage
from retention.usage import Chunk, Disk, Storage, TierUsage, TierUse

DAY = timedelta(days=1)
FAR = timedelta(days=36500)
PACKS = 8
"""The assumed minimum compression ratio, until a compressed chunk can be measured."""
RATE_CHUNKS = 2
"""How many of the newest chunks tell the growth."""
RATE_SPAN = timedelta(hours=1)
"""The growth is unknown for a shorter span: most pages of a new chunk are still empty."""


async def measure(
    connection: Connection, capacity_bytes: int | None, disk: Disk | None, now: datetime
) -> Storage:
    """Return the size of each tier, and when `disk` will be full.

    Without `disk`, a disk of `capacity_bytes` is assumed that holds only the database.
    """
    found: dict[str, list[Chunk]] = defaultdict(list)
    for chunk in await storage.chunks(connection):
        found[chunk.tier].append(chunk)
    tiers = [tier_use(tier, found[tier.name]) for tier in await storage.tiers(connection)]
    size = await storage.database_bytes(connection)
    if disk is None and capacity_bytes is not None:
        disk = Disk(capacity_bytes, max(0, capacity_bytes - size))
    growing = [
        (tier.bytes_per_day, tier.full_at)
        for tier in tiers
        if tier.bytes_per_day and (tier.full_at is None or tier.full_at > now)
    ]
    return Storage(
        tiers=tiers,
        database_bytes=size,
        growth_bytes_per_day=sum(rate for rate, _ in growing),
        disk=disk,
        full_at=fills_at(disk.free_bytes, growing, now) if disk else None,
    )


def disk_of(path: Path) -> Disk:
    """Return the size and the free space of the disk that contains a path."""
    usage = shutil.disk_usage(path)
    return Disk(usage.total, usage.free)


def tier_use(tier: TierUsage, chunks: Sequence[Chunk]) -> TierUse:
    """Return the use of a tier: the sums over its chunks."""
    rows = sum(chunk.rows for chunk in chunks)
    compressed = sum(chunk.bytes for chunk in chunks if chunk.is_compressed)
    size = tier.table_bytes + sum(chunk.bytes for chunk in chunks)
    return TierUse(
        name=tier.name,
        relation=tier.relation,
        rows=rows,
        bytes=size,
        compressed_bytes=compressed,
        uncompressed_bytes=size - compressed,
        unpacked_bytes=tier.table_bytes + sum(chunk.unpacked_bytes for chunk in chunks),
        bytes_per_row=size / rows if rows else None,
        oldest=min((chunk.oldest for chunk in chunks if chunk.oldest), default=None),
        newest=max((chunk.newest for chunk in chunks if chunk.newest), default=None),
        keep_days=tier.keep / DAY if tier.keep else None,
        bytes_per_day=bytes_per_day(tier.width, chunks),
        full_at=full_at(tier.keep, chunks),
    )


def bytes_per_day(width: timedelta, chunks: Sequence[Chunk]) -> float | None:
    """Return the compressed size of one day in bytes, or None while it is unknown.

    It is the rows a day in the newest chunks, multiplied by the bytes per row of the compressed
    chunks. Without a compressed chunk, the ratio `PACKS` is assumed.
    """
    filled = [chunk for chunk in chunks if chunk.rows and chunk.oldest and chunk.newest]
    recent = filled[-RATE_CHUNKS:]
    spans = [(chunk.oldest, chunk.newest) for chunk in recent if chunk.oldest and chunk.newest]
    if not spans:
        return None
    span = max(newest for _, newest in spans) - min(oldest for oldest, _ in spans) + width
    if span < RATE_SPAN:
        return None
    packed = [chunk for chunk in filled if chunk.is_compressed]
    per_row = _bytes_per_row(packed) if packed else _bytes_per_row(filled) / PACKS
    return sum(chunk.rows for chunk in recent) * per_row / (span / DAY)


def _bytes_per_row(chunks: Sequence[Chunk]) -> float:
    return sum(chunk.bytes for chunk in chunks) / sum(chunk.rows for chunk in chunks)


def full_at(keep: timedelta | None, chunks: Sequence[Chunk]) -> datetime | None:
    """Return when the tier reaches its steady state: one chunk is dropped for each new one.

    That is when its oldest chunk is dropped. It is None for a tier that is kept for ever or empty.
    """
    if keep is None or not chunks:
        return None
    return min(chunk.end_time for chunk in chunks) + keep


def fills_at(
    free_bytes: int, growing: Iterable[tuple[float, datetime | None]], now: datetime
) -> datetime | None:
    """Return when the free space is used up, or None if it never is.

    `growing` holds the bytes per day of each tier, and when it stops growing (None: never). The
    tiers stop one after another, so the total rate falls in steps. The loop walks these steps.
    """
    far = now + FAR
    ends = sorted((end or far, rate) for rate, end in growing)
    left, time = float(free_bytes), now
    for i, (end, _) in enumerate(ends):
        rate = sum(rate for _, rate in ends[i:])
        need = rate * ((end - time) / DAY)
        if need >= left:
            return time + DAY * (left / rate)
        left, time = left - need, end
    return None
