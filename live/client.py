"""Live clients, and the shared log of events and metrics that each reads at its own pace."""

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import chain

from msgspec import Struct

from events.bus import Event
from health import status as health
from live.cuts import Cuts, Piece
from live.deferred import Deferred, Encoding, Message, Reached, message, pause
from live.messages import EVERYTHING, RENDERINGS_MAX, Subscription, Topic, TransitionMessage
from live.newest import SLICE_SERIES, Newest
from model.principal import ALLOWED, Principal, Role
from model.times import utc_now

STEP_ENTRIES = 16
"""Most log entries that a client takes at a time, and keeps in memory while it is slow."""
REPLIES_MAX = 32
SHOW_EVERY_S = 1.0
"""Shortest time between two whole states sent to a client, however often it subscribes."""
BURST_CHARS = 64 << 10
"""Most characters that a client takes at a time, and keeps in memory while it is slow."""
CHANGES_MAX = 16
"""For how many past versions the later changes are cached, until the next release."""
COMPONENT_COST = 4
"""Finding the changes of a component costs as much as looking at this many series."""
LOST = -1
"""A position before the start of every log."""


class Limits(Struct, frozen=True, kw_only=True):
    """Limits of all live clients together, and of each."""

    clients: int = 5000
    holder_clients: int = 1250
    """Clients of one key, including sessions opened with it."""
    kept: int = 500
    """Places reserved for clients with an admin key."""
    unauthenticated: int = 500
    """Connections that are not authenticated yet."""
    events: int = 1024
    event_bytes: int = 4 << 20
    auth_s: float = 5.0
    send_s: float = 10.0
    fresh_s: float = 1.0
    """How often the state is read again while it is requested."""
    stale_s: float = 15.0
    """If the state is older, a request waits for a new one."""


class Log:
    """The newest events in order; it contains every event whose seq is greater than `floor`."""

    def __init__(self, floor: int, limits: Limits) -> None:
        self.floor = floor
        self._limits = limits
        self._entries: list[TransitionMessage] = []
        self._bytes = 0

    @property
    def newest(self) -> int:
        return self._entries[-1].seq if self._entries else self.floor

    def append(self, event: Event) -> None:
        entry = TransitionMessage(event)
        self._entries.append(entry)
        self._bytes += entry.size
        while len(self._entries) > self._limits.events or self._bytes > self._limits.event_bytes:
            oldest = self._entries.pop(0)
            self._bytes -= oldest.size
            self.floor = oldest.seq

    def after(self, seq: int) -> list[TransitionMessage]:
        """Return the next few entries after a seq."""
        start = bisect_right(self._entries, seq, key=lambda entry: entry.seq)
        return self._entries[start : start + STEP_ENTRIES]


class Metrics:
    """The newest value of each series, and the newest health check.

    Both are released in versions. They are never replayed, because newer values replace them.
    """

    def __init__(self) -> None:
        self.newest = Newest()
        self.cuts = Cuts(self.newest)
        self._checked: tuple[int, Sequence[health.ComponentStatus]] = (0, ())
        self._shared = lru_cache(RENDERINGS_MAX)(self._reached)
        self._changed = lru_cache(CHANGES_MAX)(self._changed_after)

    @property
    def version(self) -> int:
        return self.newest.version

    def put_health(self, statuses: Sequence[health.ComponentStatus]) -> None:
        """Add the result of a health check, changed or not, to the next version."""
        self._checked = self.version + 1, statuses

    def release(self) -> None:
        self.newest.release()
        self._shared.cache_clear()
        self._changed.cache_clear()
        self.cuts.release()

    def since(self, version: int, subscription: Subscription) -> Iterable[Deferred]:
        """Return messages with the subscribed changes after a version."""
        if subscription.series is None:
            return self._shared(version, subscription)
        shared = self._shared(version, subscription.but_values)
        return chain(self._values(version, subscription), shared)

    def _reached(self, version: int, subscription: Subscription) -> Reached[Deferred]:
        values, states = self._values(version, subscription), self._health(version, subscription)
        return Reached(chain(values, states))

    def _values(self, version: int, subscription: Subscription) -> Iterator[Deferred]:
        if Topic.METRICS not in subscription.topics:
            return iter(())
        return self.cuts.messages(self._wanted(version, subscription))

    def _wanted(self, version: int, subscription: Subscription) -> Iterable[Piece]:
        if subscription.series is not None:
            found = self.newest.released_after(version, subscription.series)
            return self.cuts.pieces(subscription.among_series(found))
        # Clients may subscribe to different components. They share one search for changes.
        return self._changes(subscription.among(self._changed(version)), version)

    def _changed_after(self, version: int) -> Reached[str]:
        return Reached(self.newest.components_after(version))

    def _changes(self, components: Iterable[str], version: int) -> Iterator[Piece]:
        looked_at = 0
        for name in components:
            yield from self.cuts.changes(name, version)
            looked_at += COMPONENT_COST + self.newest.size(name)
            if looked_at >= SLICE_SERIES:
                # If few changes are released, no message fills up for a long time: pause here.
                yield pause()
                looked_at = 0

    def _health(self, version: int, subscription: Subscription) -> Iterator[Deferred]:
        checked_in, statuses = self._checked
        is_changed = version < checked_in <= self.version and Topic.HEALTH in subscription.topics
        if is_changed and any(subscription.wants(one.component) for one in statuses):
            yield Deferred(partial(_encode_health, statuses, subscription))


def _encode_health(
    statuses: Sequence[health.ComponentStatus], subscription: Subscription
) -> Message:
    shown = {one.component for one in statuses if subscription.wants(one.component)}
    return message(Topic.HEALTH, utc_now(), health.document(statuses, shown))


class CloseReason(Struct, frozen=True):
    """The code and the reason of a close frame."""

    code: int
    reason: str


INVALID = CloseReason(4401, "send a valid key; see GET /api/v1/monitoring")
TOO_SMALL = CloseReason(4403, "this key may only write samples; use one with the role viewer")


class Credential(Struct, frozen=True):
    """The hash of a client's key or session, and a function that checks it again."""

    digest: bytes
    check: Callable[[], Awaitable[Principal | None]]


class Client:
    """One connection and its position in the stream: `seq` of events, `version` of metrics."""

    def __init__(
        self, credential: Credential, resume: int | None = None, holder: Principal | None = None
    ) -> None:
        self.credential = credential
        self.holder = holder
        self.subscription = EVERYTHING
        self.is_new = True
        self.is_resuming = resume is not None
        self.wants_state = False
        self.shown_s = -SHOW_EVERY_S
        self.seq = LOST if resume is None else resume
        self.version = 0
        self.wake_up = asyncio.Event()
        self.replies: deque[Message] = deque(maxlen=REPLIES_MAX)
        self._rest: Iterator[Deferred] = iter(())
        self.ended: asyncio.Future[CloseReason] = asyncio.get_running_loop().create_future()

    def reply(self, kind: str, data: object) -> None:
        """Send a reply to this client only. If it does not read, its oldest replies are dropped."""
        self.replies.append(message(kind, utc_now(), data))
        self.wake_up.set()

    def subscribe(self, subscription: Subscription, *, show: bool) -> None:
        """Change the subscription; with `show`, the whole state is sent first."""
        self.subscription = subscription
        if show:
            # Drop the unsent rest of the previous state.
            self.wants_state, self._rest = True, iter(())
        self.wake_up.set()

    def is_due(self, now_s: float) -> bool:
        """Return whether the whole state for the last subscription should be sent now."""
        return self.wants_state and now_s - self.shown_s >= SHOW_EVERY_S

    def show(self, messages: Iterable[Deferred]) -> None:
        """Start sending the state, and wake the client when the next one may be sent."""
        loop = asyncio.get_running_loop()
        self.wants_state, self.shown_s = False, loop.time()
        loop.call_later(SHOW_EVERY_S, self.wake_up.set)
        self.begin(messages)

    def begin(self, messages: Iterable[Deferred]) -> None:
        """Start sending a sequence of messages; `more` returns them."""
        self._rest = iter(messages)

    async def more(self, encoding: Encoding) -> list[str]:
        """Return the next messages of the sequence; an empty list at its end."""
        texts: list[str] = []
        chars, seq, rest = 0, self.seq, self._rest
        for one in rest:
            texts.append(await encoding.text(one, seq))
            chars += len(texts[-1])
            # Another sequence may have been started during the await.
            if chars > BURST_CHARS or rest is not self._rest:
                break
        if texts:
            # If everything is encoded and the socket accepts it, nothing else yields to the loop.
            await asyncio.sleep(0)
        return [text for text in texts if text]

    def answers(self) -> list[str]:
        """Return and clear the replies that were not sent yet."""
        texts = [reply.text(self.seq) for reply in self.replies]
        self.replies.clear()
        return texts

    def end(self, close_reason: CloseReason) -> None:
        if not self.ended.done():
            self.ended.set_result(close_reason)


def refusal_of(principal: Principal | None) -> CloseReason | None:
    """Return the close reason if a principal may not listen; None if it may."""
    if principal is None:
        return INVALID
    return None if principal.role in ALLOWED[Role.VIEWER] else TOO_SMALL
