"""Judges every component each slot, and puts changes on the bus in the same transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from db import events, health
from db.health import Checked, Known
from db.queries import Connection


async def check(
    connection: Connection,
    at: datetime,
    interval_s: float,
    thresholds: Mapping[str, object],
    known: Sequence[Known] = (),
    stale: timedelta = health.STALE_MIN,
) -> list[Checked]:
    """Judge the components at a slot that stands for `interval_s`, and return them all."""
    async with connection.transaction():
        checked = await health.check(connection, at, interval_s, thresholds, known, stale)
        changed = [component for component in checked if component.changed]
        if changed:
            shown = {component.component for component in changed}
            await events.append(connection, at, [("health", health.document(checked, shown))])
    return checked
