"""The planner: every second, it sends groups and runs escalation steps that are due.

It keeps no state in memory. Every timer is a column of a row, so another replica, or the process
after a restart, continues where this one stopped. Row locks prevent two planners from sending the
same.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial

from msgspec import Struct

from alerts.announcing import OnTransitions
from db import queries
from db.queries import Connection, Pool
from notifications.routing.escalating import ESCALATIONS_TOGETHER, escalate_due, expire_due
from notifications.routing.flushing import GROUPS_TOGETHER, flush_due

_QUERIES = queries.load(__file__)
DUE = _QUERIES["due"]

BATCHES_MAX = 100
"""The most batches of one run. The rest is due in the next run."""

Batch = Callable[[Connection, datetime], Awaitable[int]]
"""Handles some of what is due in a transaction of its own, and returns how many items."""


class _Due(Struct, frozen=True):
    is_paused: bool
    has_escalations: bool
    has_groups: bool


class Planner(Struct, frozen=True, kw_only=True):
    """Sends what is due. `announce` is called after every batch that wrote something.

    `on_transitions` receive the expiry of an acknowledgement, because it is a transition of the
    alert.
    """

    pool: Pool
    on_transitions: Sequence[OnTransitions]
    announce: Callable[[], None]

    async def run(self, now: datetime) -> None:
        """Send everything that is due at `now`. During a pause nothing is sent.

        Acknowledgements expire first, so that the message of the next escalation step shows a
        firing alert. They expire during a pause too, so that an alert does not look as if somebody
        worked on it.
        """
        waiting: Sequence[tuple[Batch, int]] | None = None
        for _ in range(BATCHES_MAX):
            # Return the connection to the pool between batches, so that requests are not blocked.
            async with self.pool.connection() as connection:
                if waiting is None:
                    waiting = await self._due(connection, now)
                done = [await batch(connection, now) for batch, _ in waiting]
            if any(done):
                self.announce()
            waiting = [one for one, count in zip(waiting, done, strict=True) if count >= one[1]]
            if not waiting:
                return

    async def _due(self, connection: Connection, now: datetime) -> Sequence[tuple[Batch, int]]:
        """Return the batches with due items, each with the maximum of items in one transaction."""
        [due] = await queries.rows(connection, _Due, DUE, now=now)
        expire = partial(expire_due, on_transitions=self.on_transitions)
        batches: Sequence[tuple[bool, Batch, int]] = (
            (due.has_escalations, expire, ESCALATIONS_TOGETHER),
            (due.has_escalations and not due.is_paused, escalate_due, ESCALATIONS_TOGETHER),
            (due.has_groups and not due.is_paused, flush_due, GROUPS_TOGETHER),
        )
        return [(batch, at_most) for is_due, batch, at_most in batches if is_due]
