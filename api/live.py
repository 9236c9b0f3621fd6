"""The live hub: clients read one bounded log of transitions, and the newest metrics, at their pace.

No client has a queue. Each has a place in the log, which is the `seq` of its last transition, and
in the metrics, which is a version; so a slow one costs nothing and delays nobody. When the log no
longer reaches back to its place, it is told so (`lagged`) and gets the whole state again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import psycopg
import structlog

from api.database import connect
from api.feed import LOST, Client, Limits, Log, Metrics, refusal_of
from api.messages import Entry, State, Subscription, Topic, message
from db import alerts, events, health, series
from db.events import Event
from db.queries import Connection, Pool
from vigia import __version__
from vigia.model import Sample, UnavailableError, utc_now

log = structlog.get_logger()

POLL_S = 1.0
"""How soon an event of another replica is noticed, whose doorbell does not ring here."""
PUSH_S = 0.25
"""Metrics that are committed within this time go out together."""
RECHECK_S = 0.5
"""How often keys are asked for; with what the Authenticator remembers it makes less than 5 s."""
RETRY_S = 0.5
RETRY_S_MAX = 4.0
STATE_TIMEOUT_S = 10.0
PAGE_EVENTS = 200
WAKE_CLIENTS = 100
"""How many clients are woken before other work gets its turn: about 3 ms."""
ALERTS_MAX = 1000
READERS_MAX = 2
"""How many clients at a time read what they missed from the database."""


class Live:
    """Follows the bus, takes what the writer committed, and lets clients read both."""

    def __init__(
        self,
        pool: Pool,
        limits: Limits | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        self._on_event = on_event
        self.limits = limits or Limits()
        self.strangers = 0
        self.lagged = 0
        self.dead = 0
        self._pool = pool
        self._clients: dict[bytes, set[Client]] = {}
        self._count = 0
        self._log = Log(0, self.limits)
        self._metrics = Metrics()
        self._doorbell = asyncio.Event()
        self._published = asyncio.Event()
        self._following = asyncio.Event()
        self._in_doubt = True
        self._asked = asyncio.Event()
        self._asking: list[asyncio.Future[State]] = []
        self._readers = asyncio.Semaphore(READERS_MAX)

    @property
    def clients(self) -> int:
        return self._count

    @property
    def is_full(self) -> bool:
        return self._count >= self.limits.clients

    def publish(self, samples: Sequence[Sample]) -> None:
        """Take samples that were committed; never waits."""
        self._metrics.put(samples)
        self._published.set()

    def publish_health(self, statuses: Sequence[health.ComponentStatus]) -> None:
        """Take what a check found, whether or not anything changed; never waits."""
        self._metrics.put_health(statuses)
        self._published.set()

    def ring(self) -> None:
        """Say that events were committed; never waits."""
        self._doorbell.set()

    @contextmanager
    def joined(self, client: Client) -> Iterator[None]:
        """Count a client in, wake it when there is something, and end it when its key ends."""
        group = self._clients.setdefault(client.credential.digest, set())
        group.add(client)
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1
            group.remove(client)
            if not group:
                del self._clients[client.credential.digest]

    async def run(self) -> None:
        """Serve the clients until cancelled; an absent database is waited out."""
        async with asyncio.TaskGroup() as services:
            for turn in (self._follow, self._push, self._answer, self._recheck):
                services.create_task(_repeat(turn), name=f"live{turn.__name__}")

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
            return await self._greet(client)
        if client.is_resuming and (texts := await self._replay(client)):
            return texts
        if client.seq < self._log.floor:
            return await self._recover(client)
        if client.wants_state:
            return await self._show(client)
        return client.answers() or self._transitions(client) or self._news(client)

    def _transitions(self, client: Client) -> list[str]:
        while entries := self._log.after(client.seq):
            client.seq = entries[-1].seq
            if texts := _wanted(entries, client.subscription):
                return texts
        return []

    def _news(self, client: Client) -> list[str]:
        found = self._metrics.since(client.version, client.subscription)
        client.version = self._metrics.version
        return [news.text(client.seq) for news in found]

    async def _greet(self, client: Client) -> list[str]:
        async with asyncio.timeout(STATE_TIMEOUT_S):
            await self._following.wait()
        client.is_new = False
        client.version = self._metrics.version
        state = [] if client.is_resuming else await self._whole(client)
        hello = {
            "version": __version__,
            "seq": self._log.newest if client.is_resuming else client.seq,
            "resumed": client.is_resuming,
            "topics": list(Topic),
        }
        return [message("hello", utc_now(), hello).text(client.seq), *state]

    async def _whole(self, client: Client) -> list[str]:
        """Put a client at the place of the whole state."""
        state = await self.state()
        client.seq, client.version = state.seq, state.version
        return [part.text(client.seq) for part in state.messages(client.subscription)]

    async def _show(self, client: Client) -> list[str]:
        """Send the state to a client that keeps its place, lest it misses a transition."""
        client.wants_state = False
        state = await self.state()
        client.version = state.version
        return [part.text(client.seq) for part in state.messages(client.subscription)]

    async def _recover(self, client: Client) -> list[str]:
        """Tell a client that it missed transitions, and give it the state instead."""
        self.lagged += 1
        client.is_resuming = False
        note = message("lagged", utc_now(), {"after": max(client.seq, 0)}).text(max(client.seq, 0))
        return [note, *await self._whole(client)]

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
            if texts := _wanted([Entry(event) for event in page], client.subscription):
                return texts
        client.is_resuming = False
        return []

    async def state(self) -> State:
        """Return a state whose reading began after this call; all who ask meanwhile share it."""
        answer: asyncio.Future[State] = asyncio.get_running_loop().create_future()
        self._asking.append(answer)
        self._asked.set()
        async with asyncio.timeout(STATE_TIMEOUT_S):
            return await answer

    async def _answer(self) -> None:
        await self._asked.wait()
        self._asked.clear()
        asking, self._asking = self._asking, []
        try:
            state = await self._read_state()
        except BaseException:
            self._asking += [answer for answer in asking if not answer.done()]
            self._asked.set()
            raise
        for answer in asking:
            if not answer.done():
                answer.set_result(state)

    async def _read_state(self) -> State:
        # The places come first: what is committed between the reads is then sent twice, never not.
        version = self._metrics.version
        async with connect(self._pool, STATE_TIMEOUT_S) as connection:
            state = State(await events.newest(connection), version, utc_now())
            state.samples = await series.current(connection)
            state.statuses = await health.read(connection)
            found = await alerts.active(connection, alerts.Filter(), ALERTS_MAX + 1)
        state.alerts, state.has_more_alerts = found[:ALERTS_MAX], len(found) > ALERTS_MAX
        return state

    async def _follow(self) -> None:
        """Append what is new on the bus to the log, then wait for the doorbell."""
        self._doorbell.clear()
        # Until a turn has gone well, the bus may have been trimmed meanwhile.
        in_doubt, self._in_doubt = self._in_doubt, True
        async with connect(self._pool) as connection:
            if in_doubt:
                await self._place_log(connection)
            while page := await events.after(connection, self._log.newest, PAGE_EVENTS):
                for event in page:
                    self._log.append(event)
                    if self._on_event is not None and self._following.is_set():
                        self._on_event(event)
                await self._wake()
        self._in_doubt = False
        self._following.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_S):
                await self._doorbell.wait()

    async def _place_log(self, connection: Connection) -> None:
        """Begin the log anew unless the bus still holds all that comes after it."""
        newest, oldest = await events.newest(connection), await events.oldest(connection)
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
        self._published.clear()
        self._metrics.release()
        await self._wake()
        await asyncio.sleep(PUSH_S)

    async def _wake(self) -> None:
        for number, client in enumerate(self._all(), start=1):
            client.bell.set()
            if number % WAKE_CLIENTS == 0:
                await asyncio.sleep(0)

    async def _recheck(self) -> None:
        """End the clients whose key or session has ended; each key is asked for once."""
        await asyncio.sleep(RECHECK_S)
        for group in list(self._clients.values()):
            principal = await next(iter(group)).credential.check() if group else None
            if farewell := refusal_of(principal):
                for client in group:
                    client.end(farewell)

    def _all(self) -> list[Client]:
        return [client for group in self._clients.values() for client in group]


async def missed(connection: Connection, seq: int) -> list[Event] | None:
    """Return the first page of events behind a number, None when not all of them are kept."""
    page = await events.after(connection, seq, PAGE_EVENTS)
    newest, oldest = await events.newest(connection), await events.oldest(connection)
    kept_from = newest if oldest is None else oldest - 1
    return page if kept_from <= seq <= newest else None


def _wanted(entries: Sequence[Entry], subscription: Subscription) -> list[str]:
    texts = (entry.text(subscription) for entry in entries)
    return [text for text in texts if text is not None]


async def _repeat(turn: Callable[[], Awaitable[None]]) -> None:
    """Take turns for ever; where the database is away, log it and try again later and later."""
    pause_s = RETRY_S
    while True:
        try:
            await turn()
            pause_s = RETRY_S
        except (psycopg.Error, OSError, UnavailableError) as error:
            log.warning("live_retries", part=turn.__name__.strip("_"), error=str(error).strip())
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RETRY_S_MAX)
