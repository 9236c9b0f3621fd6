"""The live hub: clients read one bounded log of events, and the newest metrics, at their own pace.

No client has a queue. Each has a position in the log, the `seq` of its last event, and a version of
the metrics. So a slow client costs nothing and delays nobody. If the log no longer contains its
position, the client gets the message `lagged` and then the whole state again.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import structlog

from db.pool import connect
from db.queries import Connection, Pool
from events import bus
from events.bus import Event
from health import status as health
from live.client import LOST, Client, Limits, Log, Metrics, refusal_of
from live.client_counts import ClientCounts
from live.deferred import Encoding, message
from live.messages import State, Topic, TransitionMessage, texts_of
from live.present import Present
from live.readings import RETRIED, RETRY_S, STATE_TIMEOUT_S, Readings
from model.series import Sample
from model.times import utc_now
from runtime.version import __version__

log = structlog.get_logger()

POLL_S = 1.0
"""How often the bus is polled: events of other replicas cause no wake-up here."""
PUSH_S = 0.25
"""Metrics committed within this time are sent together."""
RECHECK_S = 0.5
"""How often keys are checked. Together with the Authenticator's cache this stays below 5 s."""
RETRY_S_MAX = 4.0
PAGE_EVENTS = 200
KEEP_S_MIN = 0.1
WAKE_CLIENTS = 100
"""How many clients are woken before the loop does other work: about 3 ms."""
READERS_MAX = 2
"""How many clients read missed events from the database at a time."""
RECHECK_TIMEOUT_S = 2.0
RECHECKS_MAX = 8
"""How many keys are checked at a time."""
SLICE_SAMPLES = 1000
"""How many committed samples are processed before the loop does other work: some milliseconds."""
QUEUED_SAMPLES_MAX = 200_000
"""Most committed samples in the queue. Beyond it, newest values are read from the database."""


class Live:
    """Follows the bus and the samples that the writer commits, and serves both to clients.

    `run` fills the log and releases values; each client's own task calls `next` in a loop.
    """

    def __init__(
        self,
        pool: Pool,
        limits: Limits | None = None,
        on_event: Callable[[Event], None] | None = None,
        on_samples: Callable[[Sequence[Sample]], None] | None = None,
    ) -> None:
        self._on_event = on_event
        self._on_samples = on_samples
        self.limits = limits or Limits()
        self.unauthenticated = 0
        self.lagged = 0
        self.dead = 0
        self._pool = pool
        self._clients: dict[bytes, set[Client]] = {}
        self._counts = ClientCounts(self.limits)
        self._log = Log(0, self.limits)
        self._metrics = Metrics()
        self._present = Present(self._metrics)
        self.documents = self._present.documents
        """The encoded documents of newest values."""
        self._committed: deque[Sequence[Sample]] = deque()
        self._committed_samples = 0
        self.skipped = 0
        self._taking = asyncio.Lock()
        self._wake_up = asyncio.Event()
        self._published = asyncio.Event()
        self._following = asyncio.Event()
        self._in_doubt = True
        self.readings = Readings(self._present, self.limits)
        self._generation = 0
        self._readers = asyncio.Semaphore(READERS_MAX)
        self._encoding = Encoding()

    @property
    def clients(self) -> int:
        return self._counts.total

    def refusal(self, client: Client) -> str:
        """Return why a client is refused; an empty text if it is accepted."""
        return self._counts.refusal(client)

    def publish(self, samples: Sequence[Sample]) -> None:
        """Queue committed samples. Never waits."""
        self._committed.append(samples)
        self._committed_samples += len(samples)
        if self._committed_samples > QUEUED_SAMPLES_MAX:
            self.skipped += self._committed_samples
            self._committed.clear()
            self._committed_samples = 0
            self.readings.ask()
        self._published.set()

    def publish_health(self, statuses: Sequence[health.ComponentStatus]) -> None:
        """Take the result of a health check, changed or not. Never waits."""
        self._present.put_health(statuses)
        self._published.set()

    def wake(self) -> None:
        """Wake the hub after events were committed. Never waits."""
        self._present.outdate()
        self._wake_up.set()

    def forget(self) -> None:
        """Forget all state, because the database was replaced by another one. Never waits.

        Clients get `lagged` and the whole state as soon as it is read from the new database.
        """
        self._generation += 1
        self._present.forget()
        self._committed.clear()
        self._committed_samples = 0
        self._following.clear()
        self._in_doubt = True
        self._log = Log(0, self.limits)
        for client in self._all():
            client.seq = LOST
            client.wake_up.set()
        self.readings.ask()
        self._wake_up.set()

    @contextmanager
    def joined(self, client: Client) -> Iterator[None]:
        """Register a client for the block, so that it is counted, woken and rechecked."""
        group = self._clients.setdefault(client.credential.digest, set())
        group.add(client)
        self._counts.add(client)
        try:
            yield
        finally:
            self._counts.remove(client)
            group.remove(client)
            if not group:
                del self._clients[client.credential.digest]

    async def run(self) -> None:
        """Serve clients until cancelled; retry while the database is unavailable."""
        async with asyncio.TaskGroup() as services:
            parts = (self._follow, self._push, self._read, self._recheck, self._keep_fresh)
            for task in parts:
                services.create_task(_repeat(task), name=f"live{task.__name__}")

    async def next(self, client: Client) -> list[str]:
        """Wait for the next messages for a client; return them and advance its position."""
        while True:
            client.wake_up.clear()
            if texts := await self._due(client):
                return texts
            await client.wake_up.wait()

    async def _due(self, client: Client) -> list[str]:
        """Return the next messages for a client; an empty list if it is up to date.

        The order: `hello`, missed events, `lagged` with the whole state, the state for a new
        subscription, replies, the rest of a started sequence, new events, new values.
        """
        if client.is_new:
            return await self._hello(client)
        if client.is_resuming and (texts := await self._replay(client)):
            return texts
        if client.seq < self._log.floor:
            return await self._recover(client)
        if client.is_due(asyncio.get_running_loop().time()):
            await self._show(client)
        if texts := client.answers() or await client.more(self._encoding):
            return texts
        return await self._transitions(client) or await self._changes(client)

    async def _transitions(self, client: Client) -> list[str]:
        while entries := self._log.after(client.seq):
            client.seq = entries[-1].seq
            if texts := await texts_of(entries, client.subscription, self._encoding):
                return texts
        return []

    async def _changes(self, client: Client) -> list[str]:
        if client.wants_state:
            # The state is sent first, and includes these changes.
            return []
        found = self._metrics.since(client.version, client.subscription)
        client.version = self._metrics.version
        client.begin(found)
        return await client.more(self._encoding)

    async def _hello(self, client: Client) -> list[str]:
        async with asyncio.timeout(STATE_TIMEOUT_S):
            await self._following.wait()
            has_been = not client.is_resuming or await self._has_been(client.seq)
        client.is_new = False
        client.version = self._metrics.version
        if not client.is_resuming:
            await self._place(client)
        hello = {
            "version": __version__,
            "seq": self._log.newest if client.is_resuming else client.seq,
            "resumed": client.is_resuming and has_been,
            "topics": list(Topic),
        }
        seq = client.seq if has_been else self._log.newest
        return [message("hello", utc_now(), hello).text(seq), *await client.more(self._encoding)]

    async def _has_been(self, seq: int) -> bool:
        """Return whether a seq was ever assigned, by this or another replica."""
        if seq <= self._log.newest:
            return True
        async with self._readers, connect(self._pool) as connection:
            return seq <= await bus.newest(connection)

    async def _place(self, client: Client) -> None:
        """Start sending the whole state, and set the client's position to it."""
        state = await self.readings.state()
        client.seq, client.version = state.seq, state.version
        client.begin(state.messages(client.subscription))

    async def _show(self, client: Client) -> None:
        """Start sending the state, but keep the client's seq, so that it misses no event."""
        state = await self.readings.state()
        client.version = state.version
        client.show(state.messages(client.subscription))

    async def _recover(self, client: Client) -> list[str]:
        """Send `lagged` to a client that missed events, and then the whole state."""
        self.lagged += 1
        client.is_resuming = False
        after = max(client.seq, 0)
        async with asyncio.timeout(STATE_TIMEOUT_S):
            await self._following.wait()
        note = message("lagged", utc_now(), {"after": after}).text(min(after, self._log.newest))
        await self._place(client)
        return [note, *await client.more(self._encoding)]

    async def _replay(self, client: Client) -> list[str]:
        """Return a page of events that a client missed, until its position is within the log."""
        while not self._log.floor <= client.seq <= self._log.newest:
            async with self._readers, connect(self._pool) as connection:
                page = await missed(connection, client.seq)
            if page is None:
                return await self._recover(client)
            if not page:
                break
            client.seq = page[-1].seq
            entries = [TransitionMessage(event) for event in page]
            if texts := await texts_of(entries, client.subscription, self._encoding):
                return texts
        client.is_resuming = False
        return []

    async def present(self) -> State:
        """Return the state for a response, from memory; see `Readings.present`."""
        state = await self.readings.present()
        await self._take_committed()
        return state

    async def _read(self) -> None:
        if await self.readings.serve(self._pool):
            self._published.set()

    async def _keep_fresh(self) -> None:
        """Request readings while clients listen, because other replicas cause no wake-up here."""
        await asyncio.sleep(max(self.limits.fresh_s, KEEP_S_MIN))
        if self._counts.total and not self._present.is_fresh(self.limits.fresh_s):
            self.readings.ask()

    async def _follow(self) -> None:
        """Append new events of the bus to the log, then wait for the wake-up."""
        # Cleared before the bus is read: an event committed during the read sets it again.
        self._wake_up.clear()
        # After a failed run the bus may have been trimmed, so check the position of the log first.
        in_doubt, self._in_doubt, generation = self._in_doubt, True, self._generation
        async with connect(self._pool) as connection:
            if in_doubt:
                await self._place_log(connection, generation)
            while page := await bus.after(connection, self._log.newest, PAGE_EVENTS):
                if generation != self._generation:
                    return
                for event in page:
                    self._log.append(event)
                    if self._on_event is not None and self._following.is_set():
                        self._on_event(event)
                await self._wake()
        if generation != self._generation:
            return
        self._in_doubt = False
        self._following.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_S):
                await self._wake_up.wait()

    async def _place_log(self, connection: Connection, generation: int) -> None:
        """Start a new log, unless the bus still contains all events after the present one."""
        newest, oldest = await bus.newest(connection), await bus.oldest(connection)
        if generation != self._generation:
            return
        start = newest if oldest is None else oldest - 1
        if self._following.is_set() and start <= self._log.newest <= newest:
            return
        # Load past events, so that most clients that resume after a restart need no database.
        self._log = Log(max(start, newest - self.limits.events), self.limits)
        if self._following.is_set():
            for client in self._all():
                client.seq = LOST
            await self._wake()

    async def _push(self) -> None:
        await self._published.wait()
        if self._present.state is None:
            # Without a first reading, "newer than the database's value" is not defined.
            await self.readings.state()
        self._published.clear()
        await self._take_committed()
        self._metrics.release()
        await self._wake()
        await asyncio.sleep(PUSH_S)

    async def _take_committed(self) -> None:
        """Process the samples queued before this call, in slices."""
        if not self._committed and not self._taking.locked():
            return
        async with self._taking:
            while self._committed:
                samples = self._committed.popleft()
                self._committed_samples -= len(samples)
                for start in range(0, len(samples), SLICE_SAMPLES):
                    newer = self._metrics.newest.put(samples[start : start + SLICE_SAMPLES])
                    if newer and self._on_samples is not None:
                        self._on_samples(newer)
                    await asyncio.sleep(0)

    async def _wake(self) -> None:
        for number, client in enumerate(self._all(), start=1):
            client.wake_up.set()
            if number % WAKE_CLIENTS == 0:
                await asyncio.sleep(0)

    async def _recheck(self) -> None:
        """Close the clients whose key or session has ended; check each key once."""
        await asyncio.sleep(RECHECK_S)
        limit = asyncio.Semaphore(RECHECKS_MAX)
        groups = list(self._clients.values())
        found = await asyncio.gather(
            *(_recheck_group(group, limit) for group in groups), return_exceptions=True
        )
        # Raise only after all checks: one that failed must not keep other keys from being refused.
        if failed := next((one for one in found if isinstance(one, BaseException)), None):
            raise failed

    def _all(self) -> list[Client]:
        return [client for group in self._clients.values() for client in group]


async def _recheck_group(group: set[Client], limit: asyncio.Semaphore) -> None:
    """Check the key that clients share, and close them if it may no longer listen."""
    async with limit, asyncio.timeout(RECHECK_TIMEOUT_S):
        if not group:
            return
        principal = await next(iter(group)).credential.check()
    if close_reason := refusal_of(principal):
        for client in group:
            client.end(close_reason)


async def missed(connection: Connection, seq: int) -> list[Event] | None:
    """Return the first page of events after a seq; None if some of them are no longer kept."""
    # Read the page first: events deleted in between then show in `oldest`.
    page = await bus.after(connection, seq, PAGE_EVENTS)
    newest, oldest = await bus.newest(connection), await bus.oldest(connection)
    kept_from = newest if oldest is None else oldest - 1
    return page if kept_from <= seq <= newest else None


async def _repeat(task: Callable[[], Awaitable[None]]) -> None:
    """Run a task for ever; if the database is unavailable, log it and retry with growing pauses."""
    pause_s = RETRY_S
    while True:
        try:
            await task()
            pause_s = RETRY_S
        except RETRIED as error:
            log.warning("live_retries", part=task.__name__.strip("_"), error=str(error).strip())
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RETRY_S_MAX)
