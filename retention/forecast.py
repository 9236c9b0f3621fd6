"""What is kept, what it costs, and when the disk fills."""

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
"""How many times smaller compression makes rows at least, until it has been seen."""
RATE_CHUNKS = 2
RATE_SPAN = timedelta(hours=1)
"""Less is mostly pages that are still empty."""


async def measure(
    connection: Connection, capacity_bytes: int | None, disk: Disk | None, now: datetime
) -> Storage:
    """Return what the tiers take, and when `disk`, or else the capacity, will be full."""
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
    """Return the room on the disk that holds a path."""
    usage = shutil.disk_usage(path)
    return Disk(usage.total, usage.free)


def tier_use(tier: TierUsage, chunks: Sequence[Chunk]) -> TierUse:
    """Sum up the chunks of a tier."""
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
    """Return what a day takes once it is compressed: the rows of late, as those before were packed.

    Before there is a compressed chunk, a cautious ratio stands for it.
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
    """Return when the first of the chunks goes, and from then on one goes for each that comes."""
    if keep is None or not chunks:
        return None
    return min(chunk.end_time for chunk in chunks) + keep


def fills_at(
    free_bytes: int, growing: Iterable[tuple[float, datetime | None]], now: datetime
) -> datetime | None:
    """Return when the room is used up by tiers that each grow at a rate until they are full."""
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
