"""Readings of the present state from the database: one at a time, shared by all who wait."""

import asyncio
from contextlib import suppress

import psycopg
import structlog

from db.pool import connect
from db.queries import Pool
from live.client import Limits
from live.messages import State
from live.present import Present
from model.errors import UnavailableError

log = structlog.get_logger()

STATE_TIMEOUT_S = 10.0
RETRY_S = 0.5
OUTDATED_WAIT_S = 0.5
"""How long a response waits for known changes before it is sent without them."""
RETRIED = (psycopg.Error, OSError, UnavailableError)


class Readings:
    """Schedules readings, and keeps the callers that wait for one."""

    def __init__(self, present: Present, limits: Limits) -> None:
        self._present = present
        self._limits = limits
        self._asked = asyncio.Event()
        self._asking: list[asyncio.Future[State]] = []
        # Make the first reading before anyone requests it.
        self.ask()

    def ask(self) -> None:
        """Request a reading. Never waits."""
        self._asked.set()

    async def state(self) -> State:
        """Return a state read after this call; wait for an unavailable database."""
        async with asyncio.timeout(STATE_TIMEOUT_S):
            while True:
                try:
                    return await self._reading()
                except RETRIED:
                    await asyncio.sleep(RETRY_S)

    async def present(self) -> State:
        """Return the state for a response: from memory, unless it is too old.

        Waits shortly for commits of this replica. Commits of other replicas appear within about a
        second while there are requests, and within `stale_s` in any case.
        """
        state = self._present.state
        if state is None or self._present.age_s > self._limits.stale_s:
            async with asyncio.timeout(STATE_TIMEOUT_S):
                return await self._reading()
        if self._present.is_outdated:
            with suppress(*RETRIED):
                async with asyncio.timeout(OUTDATED_WAIT_S):
                    return await self._reading()
        elif not self._present.is_fresh(self._limits.fresh_s):
            self.ask()
        return state

    async def serve(self, pool: Pool) -> bool:
        """Wait for a request and read once; return whether there is anything for live clients.

        A failed reading is not repeated. Its error is passed to all callers that wait.
        """
        await self._asked.wait()
        self._asked.clear()
        asking, self._asking = self._asking, []
        try:
            async with connect(pool, STATE_TIMEOUT_S) as connection:
                is_changed = await self._present.read(connection)
        except RETRIED as error:
            log.warning("state_unread", error=str(error).strip() or type(error).__name__)
            for answer in asking:
                if not answer.done():
                    answer.set_exception(error)
            return False
        for answer in asking:
            if not answer.done() and self._present.state is not None:
                answer.set_result(self._present.state)
        return is_changed

    async def _reading(self) -> State:
        answer: asyncio.Future[State] = asyncio.get_running_loop().create_future()
        self._asking.append(answer)
        self.ask()
        return await answer
