"""Previews the chunks and rows that a change of the retention would drop.

It calls the same SQL functions as the maintenance.
"""

from collections import defaultdict
from datetime import datetime, timedelta

from config.model import Retention
from db.queries import Connection
from retention import usage as storage
from retention.forecast import DAY, full_at
from retention.plan import plan
from retention.usage import (
    Chunk,
    ChunkName,
    DroppedChunk,
    DroppedRows,
    Preview,
    TierChange,
    TierUsage,
)


async def preview(connection: Connection, retention: Retention, now: datetime) -> Preview:
    """Return what the next two maintenance runs would drop with this retention."""
    wanted = plan(retention)
    tiers = await storage.tiers(connection)
    dropped = await storage.dropped_chunks(connection, wanted, now)
    rows = await storage.dropped_rows(connection, retention.metrics_document(), dropped, now)
    chunks: dict[str, list[Chunk]] = defaultdict(list)
    for chunk in await storage.chunks(connection):
        chunks[chunk.tier].append(chunk)
    keep = {w.name: w.keep for w in wanted}
    changes = [
        _change(tier, keep.get(tier.name), chunks[tier.name], set(dropped), rows) for tier in tiers
    ]
    return Preview(
        rows_before=sum(change.rows_before for change in changes),
        rows_after=sum(change.rows_after for change in changes),
        bytes_before=sum(change.bytes_before for change in changes),
        bytes_after=sum(change.bytes_after for change in changes),
        tiers=changes,
        metrics=rows,
    )


def _change(
    tier: TierUsage,
    keep: timedelta | None,
    chunks: list[Chunk],
    dropped: set[ChunkName],
    dropped_rows: list[DroppedRows],
) -> TierChange:
    goes = [chunk for chunk in chunks if ChunkName(tier.name, chunk.start_time) in dropped]
    stays = [chunk for chunk in chunks if chunk not in goes]
    return TierChange(
        name=tier.name,
        keep_days_before=_days(tier.keep),
        keep_days_after=_days(keep),
        rows_before=sum(chunk.rows for chunk in chunks),
        rows_after=sum(chunk.rows for chunk in stays)
        - sum(part.rows for part in dropped_rows if part.tier == tier.name),
        bytes_before=tier.table_bytes + sum(chunk.bytes for chunk in chunks),
        bytes_after=tier.table_bytes + sum(chunk.bytes for chunk in stays),
        dropped=[DroppedChunk(c.start_time, c.end_time, c.rows, c.bytes) for c in goes],
        dropped_before=tier.dropped_to,
        full_at=full_at(keep, stays),
    )


def _days(keep: timedelta | None) -> float | None:
    return None if keep is None else keep / DAY
