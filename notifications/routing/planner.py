"""The planner: each second it sends groups and takes steps of escalations that are due.

It remembers nothing. Every timer is a row, so another replica or the process after a restart goes
on where this one stopped, and row locks keep two of them from sending the same.
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
"""In one run; what is left then is due in the next."""

Batch = Callable[[Connection, datetime], Awaitable[int]]
"""Does some of what is due in a transaction of its own; returns how much."""


class _Due(Struct, frozen=True):
    is_paused: bool
    has_escalations: bool
    has_groups: bool


class Planner(Struct, frozen=True, kw_only=True):
    """Sends what is due. `announce` is called after it has written anything to send.

    `on_transitions` follow the end of an acknowledgement, which is a transition of its alert.
    """

    pool: Pool
    on_transitions: Sequence[OnTransitions]
    announce: Callable[[], None]

    async def run(self, now: datetime) -> None:
        """Send everything that is due at a moment; what is due during a pause waits.

        Acknowledgements end first: the message of the step that follows shows a firing alert. They
        end during a pause too, so that nobody takes the alert for one that is seen to.
        """
        waiting: Sequence[tuple[Batch, int]] | None = None
        for _ in range(BATCHES_MAX):
            # The connection goes back between batches, so that others are served.
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
        """Return what there is to do, and how much of each a transaction does at most."""
        [due] = await queries.rows(connection, _Due, DUE, now=now)
        expire = partial(expire_due, on_transitions=self.on_transitions)
        batches: Sequence[tuple[bool, Batch, int]] = (
            (due.has_escalations, expire, ESCALATIONS_TOGETHER),
            (due.has_escalations and not due.is_paused, escalate_due, ESCALATIONS_TOGETHER),
            (due.has_groups and not due.is_paused, flush_due, GROUPS_TOGETHER),
        )
        return [(batch, at_most) for is_due, batch, at_most in batches if is_due]
