"""Checks every component in each slot, and puts changes on the bus in the same transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from db.queries import Connection
from events import bus
from health import status as health
from health.status import Checked, ExpectedComponent


async def check(
    connection: Connection,
    at: datetime,
    interval_s: float,
    thresholds: Mapping[str, object],
    expected: Sequence[ExpectedComponent] = (),
    stale: timedelta = health.STALE_MIN,
) -> list[Checked]:
    """Check all components at a slot that covers `interval_s` seconds; return their states."""
    async with connection.transaction():
        checked = await health.check(connection, at, interval_s, thresholds, expected, stale)
        changed = [component for component in checked if component.changed]
        if changed:
            shown = {component.component for component in changed}
            await bus.append(connection, at, [("health", health.document(checked, shown))])
    return checked
