"""What is kept for live clients: the newest transitions and metrics, read by each at its pace."""

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
"""How many entries a client takes from the log at a time, and so keeps alive while it is slow."""
REPLIES_MAX = 32
SHOW_EVERY_S = 1.0
"""How often a client is sent the state for its subscription, however often it changes that."""
BURST_CHARS = 64 << 10
"""How much a client takes of a long state at a time, and so keeps alive while it is slow."""
CHANGES_MAX = 16
"""Of how many versions what came after them is kept, until the next one is released."""
COMPONENT_COST = 4
"""To look for what changed of a component takes as long as to look at so many of its series."""
LOST = -1
"""A place that is in no log."""


class Limits(Struct, frozen=True, kw_only=True):
    """What the clients may use together and each."""

    clients: int = 5000
    holder_clients: int = 1250
    """Clients with one key, and the sessions opened with it."""
    kept: int = 500
    """Places that only clients with an admin's key get."""
    unauthenticated: int = 500
    """Connections that have yet to say who they are."""
    events: int = 1024
    event_bytes: int = 4 << 20
    auth_s: float = 5.0
    send_s: float = 10.0
    fresh_s: float = 1.0
    """How often the state is read again while somebody asks for it."""
    stale_s: float = 15.0
    """How old the state of an answer may be; it is then waited for."""


class Log:
    """The newest transitions in order; whatever is behind `floor` is in it."""

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
        """Return the next few entries behind a place."""
        start = bisect_right(self._entries, seq, key=lambda entry: entry.seq)
        return self._entries[start : start + STEP_ENTRIES]


class Metrics:
    """The newest value of each series, and the newest check of health.

    Both are released in versions, and are never replayed: what is newer takes their place.
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
        """Take what a check found, changed or not, into the version to come."""
        self._checked = self.version + 1, statuses

    def release(self) -> None:
        self.newest.release()
        self._shared.cache_clear()
        self._changed.cache_clear()
        self.cuts.release()

    def since(self, version: int, subscription: Subscription) -> Iterable[Deferred]:
        """Return what changed after a version, as far as it is wanted."""
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
        # Many clients may each name other components: what changed is looked through once.
        return self._changes(subscription.among(self._changed(version)), version)

    def _changed_after(self, version: int) -> Reached[str]:
        return Reached(self.newest.components_after(version))

    def _changes(self, components: Iterable[str], version: int) -> Iterator[Piece]:
        looked_at = 0
        for name in components:
            yield from self.cuts.changes(name, version)
            looked_at += COMPONENT_COST + self.newest.size(name)
            if looked_at >= SLICE_SERIES:
                # Few of them may be released, and then no message is full for long.
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
    """Why a connection is closed: code and reason of its close frame."""

    code: int
    reason: str


INVALID = CloseReason(4401, "send a valid key; see GET /api/v1/monitoring")
TOO_SMALL = CloseReason(4403, "this key may only write samples")


class Credential(Struct, frozen=True):
    """What a client showed, by its hash, and how to ask again whom it stands for."""

    digest: bytes
    check: Callable[[], Awaitable[Principal | None]]


class Client:
    """One connection's place in the stream."""

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
        self.bell = asyncio.Event()
        self.replies: deque[Message] = deque(maxlen=REPLIES_MAX)
        self._rest: Iterator[Deferred] = iter(())
        self.ended: asyncio.Future[CloseReason] = asyncio.get_running_loop().create_future()

    def reply(self, kind: str, data: object) -> None:
        """Answer this client alone; the oldest answers go when it does not read them."""
        self.replies.append(message(kind, utc_now(), data))
        self.bell.set()

    def subscribe(self, subscription: Subscription, *, show: bool) -> None:
        """Change what is sent from now on; `show` sends the state of it first."""
        self.subscription = subscription
        if show:
            # What is left of the state before would be sent for nothing.
            self.wants_state, self._rest = True, iter(())
        self.bell.set()

    def is_due(self, now_s: float) -> bool:
        """Whether it is to be sent the state: of many subscriptions, that of the last."""
        return self.wants_state and now_s - self.shown_s >= SHOW_EVERY_S

    def show(self, messages: Iterable[Deferred]) -> None:
        """Begin with the state, and look again for a later subscription when that is due."""
        loop = asyncio.get_running_loop()
        self.wants_state, self.shown_s = False, loop.time()
        loop.call_later(SHOW_EVERY_S, self.bell.set)
        self.begin(messages)

    def begin(self, messages: Iterable[Deferred]) -> None:
        """Take messages that belong together; they come with `more`."""
        self._rest = iter(messages)

    async def more(self, encoding: Encoding) -> list[str]:
        """Take the next of messages that were begun, nothing when all of them were taken."""
        texts: list[str] = []
        chars, seq, rest = 0, self.seq, self._rest
        for one in rest:
            texts.append(await encoding.text(one, seq))
            chars += len(texts[-1])
            # Others may have been begun meanwhile.
            if chars > BURST_CHARS or rest is not self._rest:
                break
        if texts:
            # Where all is encoded already and the socket takes it, nothing else would wait.
            await asyncio.sleep(0)
        return [text for text in texts if text]

    def answers(self) -> list[str]:
        """Take the answers that have not been sent yet."""
        texts = [reply.text(self.seq) for reply in self.replies]
        self.replies.clear()
        return texts

    def end(self, close_reason: CloseReason) -> None:
        if not self.ended.done():
            self.ended.set_result(close_reason)


def refusal_of(principal: Principal | None) -> CloseReason | None:
    """Return why this principal may not listen, None when it may."""
    if principal is None:
        return INVALID
    return None if principal.role in ALLOWED[Role.VIEWER] else TOO_SMALL
