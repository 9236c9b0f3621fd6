"""The present state in memory: newest values, health, open alerts, and the newest event's seq.

It contains commits and checks of this replica at once. Changes of other replicas are read from the
database: only series that changed since the previous reading, a few hundred at a time.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from math import inf

from alerts import store as alerts
from db.queries import Connection
from events import bus
from health import status as health
from live.client import Metrics
from live.documents import Documents
from live.messages import State
from live.newest import SLICE_SERIES
from model.errors import UnavailableError
from model.times import utc_now
from samples import current

ALERTS_MAX = 1000
ALERTS_EVERY_S = 10.0
"""How often open alerts are read if no event says that they changed."""
SHARE = 20.0
"""A reading is repeated after SHARE times as long as it took, so it takes 1/20 of the time."""
EVERY_S_MAX = 10.0


class Present:
    """The present state for responses and live clients, and its age."""

    def __init__(self, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self.documents = Documents(metrics.newest)
        self.state: State | None = None
        self._metrics = metrics
        self._clock = clock
        self._watermark: str | None = None
        self._read_at = -inf
        self._took_s = 0.0
        self._is_outdated = False
        self._statuses: Sequence[health.ComponentStatus] | None = None
        self._checks = 0
        self._alerts: Sequence[alerts.Alert] = ()
        self._has_more_alerts = False
        self._alerts_at = -inf
        self._alerts_seq = -1
        self._generation = 0

    @property
    def age_s(self) -> float:
        """Seconds since the newest complete reading began."""
        return self._clock() - self._read_at

    def is_fresh(self, fresh_s: float) -> bool:
        """Return whether no new reading is needed yet."""
        every_s = max(fresh_s, min(SHARE * self._took_s, EVERY_S_MAX)) if fresh_s else 0.0
        return not self._is_outdated and self.age_s < every_s

    @property
    def is_outdated(self) -> bool:
        """Whether events were committed since the newest reading began."""
        return self._is_outdated

    def outdate(self) -> None:
        """Note that events were committed, so that the next response waits for a reading."""
        self._is_outdated = True

    def put_health(self, statuses: Sequence[health.ComponentStatus]) -> None:
        """Take the result of a health check of this replica."""
        self._checks += 1
        self._take_health([_plain(status) for status in statuses])

    def forget(self) -> None:
        """Forget everything, because the database was replaced by another one."""
        self._generation += 1
        self._watermark, self._read_at, self.state = None, -inf, None
        self._statuses, self._alerts_at = None, -inf
        self._metrics.newest.forget()
        self.documents.forget()

    async def read(self, connection: Connection) -> bool:
        """Read changes from the database; return whether there is anything for live clients."""
        began, generation = self._clock(), self._generation
        self._is_outdated, was_outdated = False, self._is_outdated
        changes = self._metrics.newest.changes
        try:
            # Read the seq first: events committed during the reading are then sent twice, but none
            # is missed.
            seq = await bus.newest(connection)
            is_changed = await self._read_health(connection, generation)
            await self._read_values(connection, generation)
            await self._read_alerts(connection, generation, seq, is_due=was_outdated)
        except BaseException:
            self._is_outdated = self._is_outdated or was_outdated
            raise
        has_changed = changes != self._metrics.newest.changes
        if has_changed:
            self._metrics.release()
        self._read_at, self._took_s = began, self._clock() - began
        self.state = self._state(seq)
        return has_changed or is_changed

    def _state(self, seq: int) -> State:
        state = State(seq, self._metrics.version, utc_now(), self._metrics.cuts)
        state.statuses = self._statuses or ()
        state.alerts, state.has_more_alerts = self._alerts, self._has_more_alerts
        return state

    async def _read_values(self, connection: Connection, generation: int) -> None:
        newest = self._metrics.newest
        found = await current.changes(connection, self._watermark)
        if self._watermark is not None and int(found.watermark) < int(self._watermark):
            # A lower transaction id than before means that the database was restored.
            found = await current.changes(connection, None)
        for start in range(0, len(found.numbers), SLICE_SERIES):
            numbers = found.numbers[start : start + SLICE_SERIES]
            values = await current.values(connection, numbers)
            self._check(generation)
            newest.merge(values, is_announced=self._watermark is None)
        if newest.count_read() > found.count:
            await self._keep(await current.numbers(connection), generation)
        self._check(generation)
        self._watermark = found.watermark

    async def _keep(self, numbers: Collection[int], generation: int) -> None:
        """Remove the series that are no longer in the database."""
        known = self._metrics.newest.numbers()
        for start in range(0, len(known), SLICE_SERIES):
            self._check(generation)
            some = known[start : start + SLICE_SERIES]
            self._metrics.newest.remove(number for number in some if number not in numbers)
            await asyncio.sleep(0)

    async def _read_health(self, connection: Connection, generation: int) -> bool:
        checks = self._checks
        statuses = await health.read(connection)
        self._check(generation)
        # A check of this replica during the reading is newer.
        is_changed = checks == self._checks and statuses != self._statuses
        if is_changed:
            was_known = self._statuses is not None
            self._statuses = statuses
            if was_known:
                self._metrics.put_health(statuses)
            return was_known
        return False

    def _take_health(self, statuses: Sequence[health.ComponentStatus]) -> None:
        self._statuses = statuses
        self._metrics.put_health(statuses)
        if self.state is not None:
            self.state = self._state(self.state.seq)

    async def _read_alerts(
        self, connection: Connection, generation: int, seq: int, *, is_due: bool
    ) -> None:
        now = self._clock()
        if is_due or seq != self._alerts_seq or now - self._alerts_at > ALERTS_EVERY_S:
            found = await alerts.active(connection, alerts.Filter(), ALERTS_MAX + 1)
            self._check(generation)
            if found[:ALERTS_MAX] != self._alerts:
                self._alerts = found[:ALERTS_MAX]
            self._has_more_alerts = len(found) > ALERTS_MAX
            self._alerts_seq, self._alerts_at = seq, now

    def _check(self, generation: int) -> None:
        if generation != self._generation:
            raise UnavailableError("the database was replaced by another one; try again soon")


def _plain(status: health.ComponentStatus) -> health.ComponentStatus:
    names = health.ComponentStatus.__struct_fields__
    return health.ComponentStatus(*(getattr(status, name) for name in names))
