"""The planner: each second it sends groups and takes steps of escalations that are due.

It remembers nothing. Every timer is a row, so another replica or the process after a restart goes
on where this one stopped, and row locks keep two of them from sending the same.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial

from msgspec import Struct

from alerts.announcing import OnTransitions
from db.queries import Connection, Pool
from notifications.routing.escalating import ESCALATIONS_TOGETHER, escalate_due, expire_due
from notifications.routing.flushing import GROUPS_TOGETHER, flush_due

BATCHES_MAX = 100
"""In one run; what is left then is due in the next."""

Batch = Callable[[Connection, datetime], Awaitable[int]]
"""Does some of what is due in a transaction of its own; returns how much."""


class Planner(Struct, frozen=True, kw_only=True):
    """Sends what is due. `announce` is called after it has written anything to send.

    `on_transitions` follow the end of an acknowledgement, which is a transition of its alert.
    """

    pool: Pool
    on_transitions: Sequence[OnTransitions]
    announce: Callable[[], None]

    async def run(self, now: datetime) -> None:
        """Send everything that is due at a moment.

        Acknowledgements end first: the message of the step that follows shows a firing alert.
        """
        expire = partial(expire_due, on_transitions=self.on_transitions)
        await self._repeat(expire, ESCALATIONS_TOGETHER, now)
        await self._repeat(escalate_due, ESCALATIONS_TOGETHER, now)
        await self._repeat(flush_due, GROUPS_TOGETHER, now)

    async def _repeat(self, batch: Batch, size: int, now: datetime) -> None:
        """Do what is due batch by batch, and let others be served between them."""
        for _ in range(BATCHES_MAX):
            async with self.pool.connection() as connection:
                done = await batch(connection, now)
            if done:
                self.announce()
            if done < size:
                return
