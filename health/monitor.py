"""Runs health checks: of the present slot first, then of slots that were missed."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from db.failures import FAILURES, Failure, failure_of
from db.queries import Connection, Pool
from health.checks import check
from health.missed import MissedChecks
from health.status import Checked, ExpectedComponent, stale_after
from model.series import Category

CHECK_SHARE = 0.9
"""Time limit of a check as a share of its slot. A database that hangs longer counts as down."""
JUDGE_SHARE = 0.5
"""Share of a slot after which no further missed slot is checked: others need the database too."""
TRADING_MISSING = "not configured: set VIGIA_TRADING_DATABASE_URL"


class CheckSettings(Struct, frozen=True, kw_only=True):
    """The settings that health checks need; `targets` are the names of probed components."""

    interval_s: float
    collect_s: float
    thresholds: Mapping[str, object]
    targets: Collection[str]


class Monitor(Struct, kw_only=True):
    """Checks the present slot, and missed slots in the time that remains.

    `is_stored` returns whether collected samples are stored. `publish` receives the result of each
    check. `announce` is called after events are committed.
    """

    pool: Pool
    settings: Callable[[], CheckSettings]
    is_stored: Callable[[], Awaitable[bool]]
    publish: Callable[[Sequence[Checked]], None]
    announce: Callable[[], None]
    has_trading: bool
    missed: MissedChecks

    async def run(self, at: datetime) -> None:
        """Check this slot, then missed slots if their samples are stored.

        Raises the error of a check that failed, after it recorded the slot as missed.
        """
        began, settings = time.monotonic(), self.settings()
        try:
            # This timeout must expire before the deadline of the run, whose cancellation looks like
            # the end of the service.
            async with (
                asyncio.timeout(CHECK_SHARE * settings.interval_s),
                self.pool.connection() as connection,
            ):
                checked = await self._check(connection, at, settings)
        except FAILURES as error:
            is_away = failure_of(error) is Failure.AWAY
            self.missed.note(at, settings.interval_s, is_away=is_away)
            raise
        self.publish(checked)
        if any(component.changed for component in checked):
            self.announce()
        await self._judge_missed(began + JUDGE_SHARE * settings.interval_s)

    async def _check(
        self, connection: Connection, at: datetime, settings: CheckSettings
    ) -> list[Checked]:
        interval_s, stale = settings.interval_s, stale_after(settings.collect_s)
        # Read the last check before this one becomes the last.
        await self.missed.learn(connection)
        self.missed.note_gap(at, interval_s)
        known = self._expected_components(settings)
        checked = await check(connection, at, interval_s, settings.thresholds, known, stale)
        self.missed.note_checked(at)
        return checked

    def _expected_components(self, settings: CheckSettings) -> list[ExpectedComponent]:
        """Return the components that should exist, including those that never answered."""
        trading = ExpectedComponent("trading", Category.TRADING)
        if not self.has_trading:
            trading = ExpectedComponent("trading", Category.TRADING, TRADING_MISSING)
        targets = (ExpectedComponent(name, Category.EXTERNAL) for name in sorted(settings.targets))
        return [trading, *targets]

    async def _judge_missed(self, until: float) -> None:
        """Check missed slots until a time, so that they never delay the next present check."""
        if not self.missed.slots or not await self.is_stored():
            return
        settings = self.settings()
        stale = stale_after(settings.collect_s)
        async with self.pool.connection() as connection:
            await self.missed.record(connection, settings.thresholds, stale, until)
