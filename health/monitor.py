"""Checks every component once a slot, and judges later the slots that were missed."""

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
"""Of its slot, how long a check may take; a database that hangs for so long counts as down."""
JUDGE_SHARE = 0.5
"""Of its slot, when the last missed one is begun to be judged: others need the database as well."""
TRADING_MISSING = "not configured: set VIGIA_TRADING_DATABASE_URL"


class CheckSettings(Struct, frozen=True, kw_only=True):
    """The settings in force, as far as checks follow them; `targets` are those that are probed."""

    interval_s: float
    collect_s: float
    thresholds: Mapping[str, object]
    targets: Collection[str]


class Monitor(Struct, kw_only=True):
    """Checks the present first, and what was missed in the time that is left of a slot.

    `is_stored` says whether what was collected is stored; `publish` takes what a check found, and
    `announce` is called when events were committed.
    """

    pool: Pool
    settings: Callable[[], CheckSettings]
    is_stored: Callable[[], Awaitable[bool]]
    publish: Callable[[Sequence[Checked]], None]
    announce: Callable[[], None]
    has_trading: bool
    missed: MissedChecks

    async def run(self, at: datetime) -> None:
        """Check this slot; then judge those that were missed, once their samples are stored."""
        began, settings = time.monotonic(), self.settings()
        try:
            # Before the run itself is cancelled, which the end of the service does as well.
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
        # Before the check, which is the newest one afterwards.
        await self.missed.learn(connection)
        self.missed.note_gap(at, interval_s)
        known = self._expected_components(settings)
        checked = await check(connection, at, interval_s, settings.thresholds, known, stale)
        self.missed.note_checked(at)
        return checked

    def _expected_components(self, settings: CheckSettings) -> list[ExpectedComponent]:
        """Return what should be watched, so that what never answered is seen as well."""
        trading = ExpectedComponent("trading", Category.TRADING)
        if not self.has_trading:
            trading = ExpectedComponent("trading", Category.TRADING, TRADING_MISSING)
        targets = (ExpectedComponent(name, Category.EXTERNAL) for name in sorted(settings.targets))
        return [trading, *targets]

    async def _judge_missed(self, until: float) -> None:
        """Judge missed slots until a time, and never at the cost of a check of the present."""
        if not self.missed.slots or not await self.is_stored():
            return
        settings = self.settings()
        stale = stale_after(settings.collect_s)
        async with self.pool.connection() as connection:
            await self.missed.record(connection, settings.thresholds, stale, until)
