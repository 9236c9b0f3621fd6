"""The minutes that alerts are still to look at, oldest first."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

from msgspec import Struct, field

from db.failures import OUTAGES
from db.faults import RULE_FAULTS
from db.unfit import UNFIT

CUT_OFF: tuple[type[BaseException], ...] = (*OUTAGES, asyncio.CancelledError)
MINUTES_MAX = 60
TRIES_MAX = 3
"""Of a minute whose evaluation is cut off: it may be the cause of that."""
WAITS_MAX = 5
"""So many turns minutes wait for what was collected meanwhile to be stored."""


class Minutes(Struct):
    """Keeps what an outage of the database left to be done, and nothing else."""

    due: list[datetime] = field(default_factory=list)
    tries: int = 0
    waits: int = 0

    @property
    def are_missed(self) -> bool:
        """Whether more are due than the one that just ended."""
        return len(self.due) > 1

    def add(self, minute: datetime) -> None:
        if len(self.due) >= MINUTES_MAX:
            self._drop_first()
        self.due.append(minute)

    def may_wait(self) -> bool:
        """Whether all may be put off until the next turn: not for ever."""
        self.waits += 1
        return self.waits <= WAITS_MAX

    async def take(self, evaluate: Callable[[datetime], Awaitable[None]]) -> None:
        """Evaluate each in its order.

        One that is cut off stays, for a few tries; one that fails otherwise would fail again.
        """
        self.waits = 0
        while self.due:
            self.tries += 1
            is_cut_off = False
            try:
                await evaluate(self.due[0])
            except UNFIT:
                # No minute and no rule is the cause of that, so it is no try.
                is_cut_off, self.tries = True, 0
                raise
            except RULE_FAULTS:
                raise
            except CUT_OFF:
                is_cut_off = True
                raise
            finally:
                if not is_cut_off or self.tries >= TRIES_MAX:
                    self._drop_first()

    def _drop_first(self) -> None:
        del self.due[0]
        self.tries = 0
