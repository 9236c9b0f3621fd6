"""The run-time settings in force: reads them from the database and applies changes."""

import asyncio
from collections.abc import Callable
from datetime import datetime

from msgspec import Struct, field

from alerts.evaluation.evaluator import drop_component
from config.model import Config, Retention
from config.store import read
from db.queries import Connection, Pool
from health import watched
from health.monitor import CheckSettings
from health.status import forget
from model.times import utc_now
from retention.apply import apply
from vigia.transitions import ON_TRANSITIONS


class CurrentConfig(Struct):
    """The settings in force. Calls `announce` after the removal of a target resolves alerts."""

    pool: Pool
    announce: Callable[[], None]
    value: Config = field(default_factory=Config)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _applied: Retention | None = None
    _is_outdated: bool = False

    async def begin(self, connection: Connection) -> None:
        """Apply the settings of a database that has just been prepared."""
        async with self._lock:
            await self._read(connection)

    async def renew(self) -> None:
        """Read the settings again and apply them."""
        async with self._lock, self.pool.connection() as connection:
            await self._read(connection)

    async def renew_outdated(self) -> None:
        """Read the settings again if the database was replaced by another one."""
        if self._is_outdated:
            await self.follow(utc_now())

    async def follow(self, now: datetime) -> None:
        """Apply changes made by any replica, and resolve the alerts of removed targets."""
        async with self._lock, self.pool.connection() as connection:
            await self._read(connection)
            for name in await watched.remove_others(connection, self._targets(), now):
                await forget(connection, name)
                if await drop_component(connection, name, now, ON_TRANSITIONS):
                    self.announce()

    def forget(self) -> None:
        """Mark the settings as outdated, because the database was replaced by another one."""
        self._applied, self._is_outdated = None, True

    def checks(self) -> CheckSettings:
        """Return the settings that health checks need."""
        config = self.value
        return CheckSettings(
            interval_s=config.intervals.health_s,
            collect_s=config.intervals.collect_s,
            thresholds=config.thresholds_document(),
            targets=self._targets(),
        )

    def resolution(self, metric: str, declared: float | None) -> float | None:
        """Return the resolution to which values of a metric are rounded; None for none."""
        return self.value.retention.resolution(metric, declared)

    def _targets(self) -> set[str]:
        """Return the names of the enabled targets and scrapes."""
        return {target.name for target in self.value.outside if target.enabled}

    async def _read(self, connection: Connection) -> None:
        """Read the settings, and apply them to the tiers and the watched components.

        The caller holds the lock. Without it, an old reading could be applied after a newer one.
        """
        self.value = await read(connection)
        self._is_outdated = False
        await watched.watch(connection, self._targets())
        wanted = self.value.retention
        if self._applied != wanted:
            await apply(connection, wanted)
            self._applied = wanted
