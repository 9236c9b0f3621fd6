"""Serves one address: sends its deliveries in order, within its limit, and stores the results."""

import random
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import structlog
from msgspec import Struct, field

from db.failures import FAILURES
from model.errors import DomainError
from notifications.delivery import (
    Channel,
    DeliveryError,
    GoneError,
    PermanentError,
    TemporaryError,
)
from notifications.message import Event, Message
from notifications.outbox import gone, outcomes, pacing, queue
from notifications.outbox.pool_share import PoolShare
from notifications.outbox.queue import LeasedAddress, NotificationContent, PendingDelivery
from notifications.registry import type_of
from runtime.network.egress import Egress

log = structlog.get_logger()

LEASE = timedelta(seconds=45)
"""Longer than any try. If a process dies, others take over its addresses after this time."""
SERVED_TOGETHER_MAX = timedelta(seconds=20)
"""After this time the address is released, so that other waiting addresses are served too."""

Compose = Callable[
    [Channel, PendingDelivery, Sequence[NotificationContent], datetime], Awaitable[Message]
]
"""Composes the message of a delivery, or of the members of a group, in its reader's language."""
FindChannel = Callable[[int, str], Awaitable[Channel]]
"""Returns a channel with its secrets, set to one address. Raises NotFoundError."""


class Sender(Struct, kw_only=True, frozen=True):
    """Serves the addresses whose leases it holds."""

    pool: PoolShare
    egress: Egress
    find_channel: FindChannel
    compose: Compose
    now: Callable[[], datetime]
    lease: UUID = field(default_factory=uuid4)
    chance: random.Random = field(default_factory=random.Random)
    reach: Callable[[str], None] = lambda _: None
    """Called at named points. A test ends the process there."""

    async def serve(self, address: LeasedAddress) -> None:
        """Send until nothing is due, a try fails or the limit is used up; release the lease."""
        failures, retry_at = address.failures, self.now()
        try:
            failures, retry_at = await self._send_or_note_why(address)
        except Exception:
            # Either Vigia has a defect or the database is unavailable. In both cases this address
            # waits as after a failed try, and other addresses are served.
            failures += 1
            retry_at = self._retry_at(failures, None)
            log.exception("address_not_served", channel_id=address.channel_id)
        finally:
            await self._release(address, failures, retry_at)

    async def _send_or_note_why(self, address: LeasedAddress) -> tuple[int, datetime]:
        """Send what is due. If the channel is unusable, write the reason to the delivery log."""
        try:
            return await self._send_all(address)
        except DomainError as error:
            # For example, no key decrypts the channel's secret any longer.
            await self._note_obstacle(address, TemporaryError(str(error)))
            failures = address.failures + 1
            return failures, self._retry_at(failures, None)

    async def _note_obstacle(self, address: LeasedAddress, error: DeliveryError) -> None:
        """Store on the first waiting delivery why its channel is unusable."""
        log.warning("channel_unusable", channel_id=address.channel_id, reason=str(error))
        async with self.pool.connection() as connection:
            delivery = await queue.following(connection, address, self.now())
        if delivery is not None:
            await self._note_failure(delivery, error, address.failures)

    async def _release(self, address: LeasedAddress, failures: int, retry_at: datetime) -> None:
        try:
            async with self.pool.connection() as connection:
                await queue.release(connection, address, self.lease, failures, retry_at)
        except FAILURES as error:
            # The lease expires by itself.
            log.warning("lease_not_released", reason=str(error))

    async def _send_all(self, address: LeasedAddress) -> tuple[int, datetime]:
        """Send, and return the failures in a row and the time to serve the address again."""
        until = self.now() + SERVED_TOGETHER_MAX
        channel = await self.find_channel(address.channel_id, address.address)
        failures = address.failures
        while (now := self.now()) < until:
            plan = await self._plan(address, channel, now)
            if plan.wait_until is not None:
                return failures, plan.wait_until
            delivery = await self._next(address, plan, now)
            if delivery is None:
                return failures, now
            retry_at = await self._try(channel, address.address, delivery, failures)
            if retry_at is not None:
                return failures + 1, retry_at
            failures = 0
        return failures, now

    async def _plan(self, address: LeasedAddress, channel: Channel, now: datetime) -> pacing.Plan:
        limit = type_of(channel.type).limit
        since = now - 2 * timedelta(seconds=limit.period_s)
        async with self.pool.connection() as connection:
            waits = await queue.waiting(connection, address, now)
            if waits.oldest is None:
                return pacing.Plan()
            tries = await queue.attempts(connection, address, since, 2 * limit.messages)
        return pacing.plan(now, waits.waiting, waits.oldest, tries, limit)

    async def _next(
        self, address: LeasedAddress, plan: pacing.Plan, now: datetime
    ) -> PendingDelivery | None:
        """Return the delivery to send next: a single one, or the carrier of a new group."""
        if not plan.singles and not plan.grouped:
            return None
        async with self.pool.connection() as connection:
            # Renew the lease before each try: a process that stalled for longer than its lease must
            # not send anything that another process may be sending.
            if not await queue.renew(connection, address, now, self.lease, now + LEASE):
                return None
            if plan.grouped:
                await queue.form_group(connection, address, now, uuid4().hex, plan.grouped)
            return await queue.following(connection, address, now)

    async def _try(
        self, channel: Channel, address: str, delivery: PendingDelivery, failures: int
    ) -> datetime | None:
        """Send one delivery. Return when to try it again, or None if it is finished."""
        now, started = self.now(), time.monotonic()
        try:
            message = await self._message(channel, delivery, now)
            self.reach("before_send")
            receipt = await outcomes.send(self.egress, channel, message, now)
        except GoneError as error:
            retry_at = await self._note_failure(delivery, error, failures, started)
            await self._remove(channel, address)
            return retry_at
        except DeliveryError as error:
            return await self._note_failure(delivery, error, failures, started)
        except (psycopg.Error, TimeoutError, DomainError):
            # The database is unavailable, or the channel cannot be read. The message is not the
            # cause.
            raise
        except Exception as error:
            # A defect in composing this message must not block the messages behind it.
            log.exception("message_not_made", key=delivery.key)
            reason = f"Vigia could not make this message ({type(error).__name__}); its log says why"
            return await self._note_failure(delivery, PermanentError(reason), failures)
        self.reach("after_send")
        duration_s = time.monotonic() - started
        async with self.pool.connection() as connection:
            await queue.mark_sent(connection, delivery, self.now(), receipt, duration_s)
        self.reach("after_mark")
        return None

    async def _message(self, channel: Channel, delivery: PendingDelivery, now: datetime) -> Message:
        members: Sequence[NotificationContent] = ()
        if delivery.event == Event.GROUP:
            async with self.pool.connection() as connection:
                members = await queue.members(connection, delivery)
        return await self.compose(channel, delivery, members, now)

    async def _remove(self, channel: Channel, address: str) -> None:
        async with self.pool.connection() as connection:
            await gone.remove(connection, channel, address, self.now())

    async def _note_failure(
        self,
        delivery: PendingDelivery,
        error: DeliveryError,
        failures: int,
        started: float | None = None,
    ) -> datetime | None:
        """Store a failed try. Return when the next try is due, or None if there is none.

        `started` is a time of the monotonic clock. None: nothing was sent.
        """
        now = self.now()
        duration_s = None if started is None else time.monotonic() - started
        is_final = isinstance(error, PermanentError)
        if is_final or now - delivery.created_at >= pacing.GIVE_UP_AFTER:
            log.warning("delivery_failed", key=delivery.key, reason=str(error))
            async with self.pool.connection() as connection:
                await queue.fail(connection, delivery, now, error, duration_s)
            return None
        wait_s = error.retry_after_s if isinstance(error, TemporaryError) else None
        next_at = self._retry_at(failures + 1, wait_s)
        async with self.pool.connection() as connection:
            await queue.postpone(connection, delivery, now, error, next_at, duration_s)
        return next_at

    def _retry_at(self, failures: int, retry_after_s: float | None) -> datetime:
        wait_s = pacing.backoff_s(failures, retry_after_s, self.chance)
        return self.now() + timedelta(seconds=wait_s)
