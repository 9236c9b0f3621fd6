"""The live hub: clients read one bounded log of transitions, and the newest metrics, at their pace.

No client has a queue. Each has a place in the log, which is the `seq` of its last transition, and
in the metrics, which is a version; so a slow one costs nothing and delays nobody. When the log no
longer reaches back to its place, it is told so (`lagged`) and gets the whole state again.
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
"""How soon an event of another replica is noticed, whose wake-up does not come here."""
PUSH_S = 0.25
"""Metrics that are committed within this time go out together."""
RECHECK_S = 0.5
"""How often keys are asked for; with what the Authenticator remembers it makes less than 5 s."""
RETRY_S_MAX = 4.0
PAGE_EVENTS = 200
KEEP_S_MIN = 0.1
WAKE_CLIENTS = 100
"""How many clients are woken before other work gets its turn: about 3 ms."""
READERS_MAX = 2
"""How many clients at a time read what they missed from the database."""
RECHECK_TIMEOUT_S = 2.0
RECHECKS_MAX = 8
"""How many keys are asked for at a time."""
SLICE_SAMPLES = 1000
"""How many committed samples are taken before other work gets its turn: a few milliseconds."""
QUEUED_SAMPLES_MAX = 200_000
"""How many committed samples may wait to be taken; of more, the newest are read."""


class Live:
    """Follows the bus, takes what the writer committed, and lets clients read both."""

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
        """The encoded answers with newest values."""
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
        """Return why there is no place for a client; empty when there is one."""
        return self._counts.refusal(client)

    def publish(self, samples: Sequence[Sample]) -> None:
        """Take samples that were committed; never waits."""
        self._committed.append(samples)
        self._committed_samples += len(samples)
        if self._committed_samples > QUEUED_SAMPLES_MAX:
            self.skipped += self._committed_samples
            self._committed.clear()
            self._committed_samples = 0
            self.readings.ask()
        self._published.set()

    def publish_health(self, statuses: Sequence[health.ComponentStatus]) -> None:
        """Take what a check found, whether or not anything changed; never waits."""
        self._present.put_health(statuses)
        self._published.set()

    def wake(self) -> None:
        """Say that events were committed; never waits."""
        self._present.outdate()
        self._wake_up.set()

    def forget(self) -> None:
        """Forget what was learned from the database, which has become another one; never waits.

        Clients get `lagged` and the whole state as soon as it has been read from the new one.
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
            client.bell.set()
        self.readings.ask()
        self._wake_up.set()

    @contextmanager
    def joined(self, client: Client) -> Iterator[None]:
        """Count a client in, wake it when there is something, and end it when its key ends."""
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
        """Serve the clients until cancelled; an absent database is waited out."""
        async with asyncio.TaskGroup() as services:
            parts = (self._follow, self._push, self._read, self._recheck, self._keep_fresh)
            for task in parts:
                services.create_task(_repeat(task), name=f"live{task.__name__}")

    async def next(self, client: Client) -> list[str]:
        """Wait for what a client is to be sent next, which it then has the place behind."""
        while True:
            client.bell.clear()
            if texts := await self._due(client):
                return texts
            await client.bell.wait()

    async def _due(self, client: Client) -> list[str]:
        """Return what a client is to be sent now, nothing when it has it all."""
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
            # The state comes first, and has all of it.
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
        """Whether a number has been given out already, by this or another replica."""
        if seq <= self._log.newest:
            return True
        async with self._readers, connect(self._pool) as connection:
            return seq <= await bus.newest(connection)

    async def _place(self, client: Client) -> None:
        """Put a client at the place of the whole state, and begin with it."""
        state = await self.readings.state()
        client.seq, client.version = state.seq, state.version
        client.begin(state.messages(client.subscription))

    async def _show(self, client: Client) -> None:
        """Begin with the state for a client that keeps its place, lest it misses a transition."""
        state = await self.readings.state()
        client.version = state.version
        client.show(state.messages(client.subscription))

    async def _recover(self, client: Client) -> list[str]:
        """Tell a client that it missed transitions, and give it the state instead."""
        self.lagged += 1
        client.is_resuming = False
        after = max(client.seq, 0)
        async with asyncio.timeout(STATE_TIMEOUT_S):
            await self._following.wait()
        note = message("lagged", utc_now(), {"after": after}).text(min(after, self._log.newest))
        await self._place(client)
        return [note, *await client.more(self._encoding)]

    async def _replay(self, client: Client) -> list[str]:
        """Read what a client missed while it was away, a page at a time, until the log has it."""
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
        """Return the state for an answer, which is in memory; see `Readings.present`."""
        state = await self.readings.present()
        await self._take_committed()
        return state

    async def _read(self) -> None:
        if await self.readings.serve(self._pool):
            self._published.set()

    async def _keep_fresh(self) -> None:
        """Read again and again while clients listen: other replicas wake nobody here."""
        await asyncio.sleep(max(self.limits.fresh_s, KEEP_S_MIN))
        if self._counts.total and not self._present.is_fresh(self.limits.fresh_s):
            self.readings.ask()

    async def _follow(self) -> None:
        """Append what is new on the bus to the log, then wait for the wake-up."""
        self._wake_up.clear()
        # Until a run has gone well, the bus may have been trimmed meanwhile.
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
        """Begin the log anew unless the bus still holds all that comes after it."""
        newest, oldest = await bus.newest(connection), await bus.oldest(connection)
        if generation != self._generation:
            return
        start = newest if oldest is None else oldest - 1
        if self._following.is_set() and start <= self._log.newest <= newest:
            return
        # So many are loaded that most clients who come back after a restart need no database.
        self._log = Log(max(start, newest - self.limits.events), self.limits)
        if self._following.is_set():
            for client in self._all():
                client.seq = LOST
            await self._wake()

    async def _push(self) -> None:
        await self._published.wait()
        if self._present.state is None:
            # What is newer than what the database has can be said once that was read.
            await self.readings.state()
        self._published.clear()
        await self._take_committed()
        self._metrics.release()
        await self._wake()
        await asyncio.sleep(PUSH_S)

    async def _take_committed(self) -> None:
        """Take what was committed before this call, in slices."""
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
            client.bell.set()
            if number % WAKE_CLIENTS == 0:
                await asyncio.sleep(0)

    async def _recheck(self) -> None:
        """End the clients whose key or session has ended; each key is asked for once."""
        await asyncio.sleep(RECHECK_S)
        limit = asyncio.Semaphore(RECHECKS_MAX)
        groups = list(self._clients.values())
        found = await asyncio.gather(
            *(_recheck_group(group, limit) for group in groups), return_exceptions=True
        )
        # One answer that did not come keeps no other key from being refused.
        if failed := next((one for one in found if isinstance(one, BaseException)), None):
            raise failed

    def _all(self) -> list[Client]:
        return [client for group in self._clients.values() for client in group]


async def _recheck_group(group: set[Client], limit: asyncio.Semaphore) -> None:
    """Ask for the key that clients share, and end them if it may not listen any more."""
    async with limit, asyncio.timeout(RECHECK_TIMEOUT_S):
        if not group:
            return
        principal = await next(iter(group)).credential.check()
    if close_reason := refusal_of(principal):
        for client in group:
            client.end(close_reason)


async def missed(connection: Connection, seq: int) -> list[Event] | None:
    """Return the first page of events behind a number, None when not all of them are kept."""
    page = await bus.after(connection, seq, PAGE_EVENTS)
    newest, oldest = await bus.newest(connection), await bus.oldest(connection)
    kept_from = newest if oldest is None else oldest - 1
    return page if kept_from <= seq <= newest else None


async def _repeat(task: Callable[[], Awaitable[None]]) -> None:
    """Take turns for ever; where the database is away, log it and try again later and later."""
    pause_s = RETRY_S
    while True:
        try:
            await task()
            pause_s = RETRY_S
        except RETRIED as error:
            log.warning("live_retries", part=task.__name__.strip("_"), error=str(error).strip())
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RETRY_S_MAX)
