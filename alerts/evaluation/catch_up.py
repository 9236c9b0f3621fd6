"""Evaluates each minute, after any minutes that an outage left unevaluated, oldest first."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct, field

from alerts.clock import read_clock
from alerts.evaluation.lag import EvaluationLag
from alerts.evaluation.quarantine import RULE_FAULTS
from config.model import Config
from db.failures import OUTAGES
from db.queries import Connection, Pool
from db.unfit import UNFIT
from model.times import utc_now

CUT_OFF: tuple[type[BaseException], ...] = (*OUTAGES, asyncio.CancelledError)
QUEUE_MAX = 60
TRIES_MAX = 3
"""Tries of a minute whose evaluation is interrupted: the minute itself may be the cause."""
WAITS_MAX = 5
"""How many runs postpone missed minutes until spooled samples are stored."""
STORE_WAIT_S = 20.0
"""How long one run waits for spooled samples to be stored."""

Evaluate = Callable[
    [Connection, datetime, Mapping[str, object], Mapping[str, Sequence[str]], datetime],
    Awaitable[object],
]

Confirm = Callable[[Connection, datetime, datetime], Awaitable[object]]
"""Is called after each minute that was evaluated, with the minute and the time."""


class Evaluations(Struct, kw_only=True):
    """Evaluates minutes in order; minutes that an outage interrupts stay in `queue`.

    `wait_until_stored(seconds)` waits for collected samples to be stored and returns whether they
    are. `renew_config` reads the settings again if the database was replaced. `announce` wakes the
    readers of the bus.
    """

    pool: Pool
    config: Callable[[], Config]
    renew_config: Callable[[], Awaitable[None]]
    wait_until_stored: Callable[[float], Awaitable[bool]]
    announce: Callable[[], None]
    evaluate: Evaluate
    confirm: Confirm | None = None
    store_wait_s: float = STORE_WAIT_S
    lag: EvaluationLag = field(default_factory=EvaluationLag)
    queue: list[datetime] = field(default_factory=list)
    tries: int = 0
    waits: int = 0

    async def run(self, at: datetime) -> None:
        """Evaluate a minute, after the minutes in which the database was unavailable.

        1. Queue the minute. If the queue is full, drop the oldest one.
        2. If earlier minutes are queued, wait until the samples collected since then are stored.
           If that takes too long, leave all minutes to the next run, at most WAITS_MAX times.
        3. Evaluate the queue, oldest first. A minute that an outage interrupts stays queued for
           TRIES_MAX tries. A minute that fails for another reason is dropped: it would fail again.
        4. Measure the lag of the evaluation.
        """
        self._add(at)
        if await self._must_wait():
            return
        await self.renew_config()
        async with self.pool.connection() as connection:
            self.waits = 0
            while self.queue:
                await self._take_first(connection)
            clock = await read_clock(connection)
            self.lag.note(clock.evaluated_at, clock.now, utc_now())

    def _add(self, minute: datetime) -> None:
        if len(self.queue) >= QUEUE_MAX:
            self._drop_first()
        self.queue.append(minute)

    def _drop_first(self) -> None:
        del self.queue[0]
        self.tries = 0

    async def _must_wait(self) -> bool:
        """Return whether missed minutes are left to the next run."""
        if len(self.queue) == 1 or await self._is_stored():
            return False
        self.waits += 1
        return self.waits <= WAITS_MAX

    async def _is_stored(self) -> bool:
        # The pool raises if the database does not answer. The minutes then stay queued.
        async with self.pool.connection():
            pass
        return await self.wait_until_stored(self.store_wait_s)

    async def _take_first(self, connection: Connection) -> None:
        self.tries += 1
        is_cut_off = False
        try:
            await self._evaluate_first(connection)
        except UNFIT:
            # Neither the minute nor a rule causes this error, so it does not count as a try.
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

    async def _evaluate_first(self, connection: Connection) -> None:
        config = self.config()
        thresholds, dependencies = config.thresholds_document(), config.all_dependencies()
        try:
            await self.evaluate(connection, self.queue[0], thresholds, dependencies, utc_now())
            if self.confirm is not None:
                await self.confirm(connection, self.queue[0], utc_now())
        finally:
            # Even a failed evaluation may have committed some batches.
            self.announce()
