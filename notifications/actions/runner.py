"""Runs actions that alerts have started, one at a time and outside of any transaction."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from msgspec import Struct

from alerts import store as alerts
from alerts.store import Alert
from audit import log as audit_log
from config.actions import Action
from db.queries import Pool
from model.errors import DomainError
from notifications.actions import run_store
from notifications.actions.run_store import DueRun, RunState
from notifications.delivery import DeliveryError, PermanentError

log = structlog.get_logger()

LEASE = timedelta(hours=6)
"""Longer than any run. A process that restarts releases the leases of its predecessor."""
LATE_AFTER = timedelta(hours=1)
"""Runs that are later than this, after an outage or a pause, are skipped."""
TRIES_MAX = 3
TRY_AGAIN_AFTER = timedelta(minutes=5)
EXPECTED = (DomainError, DeliveryError, OSError)

Do = Callable[[Action, Alert, DueRun], Awaitable[str]]
"""Performs an action for an alert and returns a text about the result.

Raises DomainError, DeliveryError or OSError if it fails.
"""


class Runner(Struct, kw_only=True):
    """Runs the actions of one kind."""

    kind: str
    do: Do
    pool: Pool
    actions: Callable[[], tuple[Action, ...]]
    lease: UUID
    now: Callable[[], datetime]
    _has_begun: bool = False

    async def run(self, _: datetime) -> None:
        """Run everything that is due.

        An unexpected exception of an action is raised after its run was stored as failed.
        """
        await self._begin()
        try:
            while (due := await self._claim()) is not None:
                await self._run(due)
        except BaseException:
            # The database may have been unavailable when the run ended. The next slot releases its
            # lease.
            self._has_begun = False
            raise

    async def _begin(self) -> None:
        if not self._has_begun:
            async with self.pool.connection() as connection:
                await run_store.take_back(connection, self.kind, self.lease)
            self._has_begun = True

    async def _claim(self) -> DueRun | None:
        now = self.now()
        async with self.pool.connection() as connection:
            return await run_store.claim(connection, self.kind, now, self.lease, now + LEASE)

    async def _run(self, due: DueRun) -> None:
        action = next((one for one in self.actions() if one.name == due.action), None)
        if action is None or not action.enabled or action.kind != self.kind:
            await self._finish(due, RunState.SKIPPED, "the action no longer exists")
        elif due.attempts == 1 and self.now() - due.requested_at > LATE_AFTER:
            await self._finish(due, RunState.SKIPPED, "it would have been more than an hour late")
        else:
            await self._try(action, due)

    async def _try(self, action: Action, due: DueRun) -> None:
        async with self.pool.connection() as connection:
            found = await alerts.read(connection, [due.alert_id])
        try:
            result = await self.do(action, found[0], due)
        except EXPECTED as error:
            is_final = isinstance(error, PermanentError) or due.attempts >= TRIES_MAX
            await self._fail(due, str(error), is_final=is_final)
        except Exception as error:
            # The action has a defect, and another try would fail in the same way.
            await self._fail(due, f"{type(error).__name__}: {error}", is_final=True)
            raise
        else:
            await self._finish(due, RunState.DONE, result)

    async def _fail(self, due: DueRun, reason: str, *, is_final: bool) -> None:
        log.warning("action_failed", action=due.action, alert_id=due.alert_id, reason=reason)
        if is_final:
            await self._finish(due, RunState.FAILED, reason)
            return
        async with self.pool.connection() as connection:
            await run_store.try_again(connection, due, self.now() + TRY_AGAIN_AFTER, reason)

    async def _finish(self, due: DueRun, state: RunState, result: str) -> None:
        detail = f"{due.kind} for alert {due.alert_id}: {state}; {result}"
        event = audit_log.Event(self.now(), audit_log.Type.ACTION_RUN, due.action, detail=detail)
        async with self.pool.connection() as connection, connection.transaction():
            await run_store.finish(connection, due, self.now(), state, result)
            await audit_log.log(connection, event)
