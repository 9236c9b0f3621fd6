"""Evaluates each minute, and before it the minutes that an outage has left, oldest first."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct, field

from alerts.clock import read_clock
from alerts.evaluation import evaluator
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
"""Of a minute whose evaluation is cut off: it may be the cause of that."""
WAITS_MAX = 5
"""So many runs minutes wait for what was collected meanwhile to be stored."""
STORE_WAIT_S = 20.0
"""How long a run waits for that."""

Evaluate = Callable[
    [Connection, datetime, Mapping[str, object], Mapping[str, Sequence[str]], datetime],
    Awaitable[object],
]


class Evaluations(Struct, kw_only=True):
    """Evaluates minutes in their order; those that an outage leaves stay `queue`, and nothing else.

    `wait_until_stored` waits so many seconds at most until what was collected is stored, and says
    whether it is; `renew_config` reads the settings of a database that has taken the place of
    another.
    """

    pool: Pool
    config: Callable[[], Config]
    renew_config: Callable[[], Awaitable[None]]
    wait_until_stored: Callable[[float], Awaitable[bool]]
    announce: Callable[[], None]
    evaluate: Evaluate = evaluator.evaluate
    store_wait_s: float = STORE_WAIT_S
    lag: EvaluationLag = field(default_factory=EvaluationLag)
    queue: list[datetime] = field(default_factory=list)
    tries: int = 0
    waits: int = 0

    async def run(self, at: datetime) -> None:
        """Evaluate a minute, and before it those in which the database was away.

        What was collected meanwhile, the database's own outage included, is stored before; or the
        minutes wait for the next run, a few times. A minute whose evaluation is cut off stays due
        for a few tries; one that fails otherwise would fail again.
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
        """Whether missed minutes are put off until the next run: not for ever."""
        if len(self.queue) == 1 or await self._is_stored():
            return False
        self.waits += 1
        return self.waits <= WAITS_MAX

    async def _is_stored(self) -> bool:
        # The pool hands out a connection only if the database answers: else minutes stay due.
        async with self.pool.connection():
            pass
        return await self.wait_until_stored(self.store_wait_s)

    async def _take_first(self, connection: Connection) -> None:
        self.tries += 1
        is_cut_off = False
        try:
            await self._evaluate_first(connection)
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

    async def _evaluate_first(self, connection: Connection) -> None:
        config = self.config()
        thresholds, dependencies = config.thresholds_document(), config.all_dependencies()
        try:
            await self.evaluate(connection, self.queue[0], thresholds, dependencies, utc_now())
        finally:
            # Also of what was committed before it failed.
            self.announce()
