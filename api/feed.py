"""What is kept for live clients: the newest transitions and metrics, read by each at its pace."""

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import lru_cache

from msgspec import Struct

from api.door import ALLOWED
from api.messages import (
    EVERYTHING,
    RENDERINGS_MAX,
    AnyMessage,
    Entry,
    Message,
    Subscription,
    Topic,
    message,
    metrics_messages,
)
from api.newest import Newest
from db import health
from db.events import Event
from vigia.model import Principal, Role, Sample, utc_now

STEP_ENTRIES = 16
"""How many entries a client takes from the log at a time, and so keeps alive while it is slow."""
REPLIES_MAX = 32
BURST_CHARS = 256 << 10
"""How much a client takes of a long state at a time, and so keeps alive while it is slow."""
LOST = -1
"""A place that is in no log."""


class Limits(Struct, frozen=True, kw_only=True):
    """What the clients may use together and each."""

    clients: int = 5000
    strangers: int = 500
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
        self._entries: list[Entry] = []
        self._bytes = 0

    @property
    def newest(self) -> int:
        return self._entries[-1].seq if self._entries else self.floor

    def append(self, event: Event) -> None:
        entry = Entry(event)
        self._entries.append(entry)
        self._bytes += entry.size
        while len(self._entries) > self._limits.events or self._bytes > self._limits.event_bytes:
            oldest = self._entries.pop(0)
            self._bytes -= oldest.size
            self.floor = oldest.seq

    def after(self, seq: int) -> list[Entry]:
        """Return the next few entries behind a place."""
        start = bisect_right(self._entries, seq, key=lambda entry: entry.seq)
        return self._entries[start : start + STEP_ENTRIES]


class Metrics:
    """The newest value of each series, and the newest check of health.

    Both are released in versions, and are never replayed: what is newer takes their place.
    """

    def __init__(self) -> None:
        self.newest = Newest()
        self._checked: tuple[int, Sequence[health.ComponentStatus]] = (0, ())
        self.since = lru_cache(RENDERINGS_MAX)(self._since)

    @property
    def version(self) -> int:
        return self.newest.version

    def put(self, samples: Iterable[Sample]) -> list[Sample]:
        """Take samples into the version to come, and return those that are newer than known."""
        return self.newest.put(samples)

    def put_health(self, statuses: Sequence[health.ComponentStatus]) -> None:
        """Take what a check found, changed or not, into the version to come."""
        self._checked = self.version + 1, statuses

    def release(self) -> None:
        self.newest.release()
        self.since.cache_clear()

    def _since(self, version: int, subscription: Subscription) -> list[AnyMessage]:
        """Return what changed after a version, as far as it is wanted."""
        return [*self._values(version, subscription), *self._health(version, subscription)]

    def _values(self, version: int, subscription: Subscription) -> list[AnyMessage]:
        if Topic.METRICS not in subscription.topics:
            return []
        changed = self.newest.released_after(version)
        wanted = [value for value in changed if subscription.wants(value.component)]
        return metrics_messages(wanted, utc_now())

    def _health(self, version: int, subscription: Subscription) -> list[AnyMessage]:
        checked_in, statuses = self._checked
        shown = {s.component for s in statuses if subscription.wants(s.component)}
        is_news = version < checked_in <= self.version
        if not is_news or not shown or Topic.HEALTH not in subscription.topics:
            return []
        return [message(Topic.HEALTH, utc_now(), health.document(statuses, shown))]


class Farewell(Struct, frozen=True):
    """Why a connection is closed: code and reason of its close frame."""

    code: int
    reason: str


INVALID = Farewell(4401, "send a valid key; see GET /api/v1/monitoring")
TOO_SMALL = Farewell(4403, "this key may only write samples")


class Credential(Struct, frozen=True):
    """What a client showed, by its hash, and how to ask again whom it stands for."""

    digest: bytes
    check: Callable[[], Awaitable[Principal | None]]


class Client:
    """One connection's place in the stream."""

    def __init__(self, credential: Credential, resume: int | None = None) -> None:
        self.credential = credential
        self.subscription = EVERYTHING
        self.is_new = True
        self.is_resuming = resume is not None
        self.wants_state = False
        self.seq = LOST if resume is None else resume
        self.version = 0
        self.bell = asyncio.Event()
        self.replies: deque[Message] = deque(maxlen=REPLIES_MAX)
        self._rest: Iterator[AnyMessage] = iter(())
        self.ended: asyncio.Future[Farewell] = asyncio.get_running_loop().create_future()

    def reply(self, kind: str, data: object) -> None:
        """Answer this client alone; the oldest answers go when it does not read them."""
        self.replies.append(message(kind, utc_now(), data))
        self.bell.set()

    def subscribe(self, subscription: Subscription, *, show: bool) -> None:
        """Change what is sent from now on; `show` sends the state of it first."""
        self.subscription = subscription
        self.wants_state = self.wants_state or show
        self.bell.set()

    def begin(self, messages: Iterable[AnyMessage]) -> list[str]:
        """Take the first of messages that belong together; the rest comes with `more`."""
        self._rest = iter(messages)
        return self.more()

    def more(self) -> list[str]:
        """Take the next of messages that were begun, nothing when all of them were taken."""
        texts: list[str] = []
        chars = 0
        for one in self._rest:
            texts.append(one.text(self.seq))
            chars += len(texts[-1])
            if chars > BURST_CHARS:
                break
        return texts

    def answers(self) -> list[str]:
        """Take the answers that have not been sent yet."""
        texts = [reply.text(self.seq) for reply in self.replies]
        self.replies.clear()
        return texts

    def end(self, farewell: Farewell) -> None:
        if not self.ended.done():
            self.ended.set_result(farewell)


def refusal_of(principal: Principal | None) -> Farewell | None:
    """Return why this principal may not listen, None when it may."""
    if principal is None:
        return INVALID
    return None if principal.role in ALLOWED[Role.VIEWER] else TOO_SMALL
