"""What live clients are sent, and how it is cut to a subscription; encoded once for all alike."""

from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from functools import lru_cache, partial
from itertools import chain

import msgspec
from msgspec import Struct

from api.newest import Newest
from db import alerts, current, health
from db.current import Current
from db.events import Event

RENDERINGS_MAX = 64
"""For how many different subscriptions one message is kept encoded."""
MESSAGE_VALUES = 500
"""How many values one message carries at most: about 50 kB, and a millisecond to encode."""
ENCODED_MAX = 256
"""How many messages with values are kept encoded, for the clients that have yet to reach them."""


class Topic(StrEnum):
    """The types of messages that a client can subscribe to."""

    METRICS = "metrics"
    HEALTH = "health"
    ALERTS = "alerts"
    ALERT_RESOLVED = "alert_resolved"


class Subscription(Struct, frozen=True):
    """What a client wants to hear; `components` None stands for all, `without` are left out."""

    topics: frozenset[Topic] = frozenset(Topic)
    components: frozenset[str] | None = None
    without: frozenset[str] = frozenset()

    def wants(self, component: str) -> bool:
        return component not in self.without and (
            self.components is None or component in self.components
        )


EVERYTHING = Subscription()


class Message(Struct, frozen=True):
    """A message but for its `seq`, which goes between the two parts."""

    head: str
    tail: str

    def text(self, seq: int) -> str:
        return f"{self.head}{seq}{self.tail}"


def message(kind: str, time: datetime, data: object) -> Message:
    """Encode a message of any type."""
    rest = msgspec.json.encode({"time": time, "data": data}).decode()
    return Message(f'{{"type":"{kind}","seq":', f",{rest[1:]}")


class Deferred:
    """A message that is encoded when the first client reaches it."""

    def __init__(self, kind: str, time: datetime, data: Callable[[], object]) -> None:
        self.kind = kind
        self.time = time
        self.data = data

    def text(self, seq: int) -> str:
        return _encoded(self).text(seq)


@lru_cache(ENCODED_MAX)
def _encoded(deferred: Deferred) -> Message:
    return message(deferred.kind, deferred.time, deferred.data())


AnyMessage = Message | Deferred


def metrics_messages(values: Sequence[Current], time: datetime) -> list[AnyMessage]:
    """Return values in as many messages as they need; their parts add up to the whole."""
    return [
        Deferred(
            Topic.METRICS, time, partial(current.document, values[start : start + MESSAGE_VALUES])
        )
        for start in range(0, len(values), MESSAGE_VALUES)
    ]


class Entry:
    """A transition, encoded when it is first wanted."""

    __slots__ = ("message", "seq", "size")

    def __init__(self, event: Event) -> None:
        self.seq = event.seq
        self.message = lru_cache(RENDERINGS_MAX)(partial(_of_event, event))
        whole = self.message(EVERYTHING)
        self.size = 0 if whole is None else len(whole.tail)

    def text(self, subscription: Subscription) -> str | None:
        """Return the message, or None for a client that does not want it."""
        found = self.message(subscription)
        return None if found is None else found.text(self.seq)


def _of_event(event: Event, subscription: Subscription) -> Message | None:
    if event.type not in subscription.topics:
        return None
    data = _cut(event, subscription)
    return None if data is None else message(event.type, event.time, data)


def _cut(event: Event, subscription: Subscription) -> object | None:
    """Return the part of an event's payload that is about wanted components, None for none."""
    payload = event.payload
    if event.type == Topic.ALERT_RESOLVED:
        return payload if subscription.wants(str(payload["component"])) else None
    if event.type == Topic.HEALTH:
        states = msgspec.convert(payload["components"], dict[str, object])
        shown = {name: state for name, state in states.items() if subscription.wants(name)}
        return {**payload, "components": shown} if shown else None
    about = msgspec.convert(payload["alerts"], list[dict[str, object]])
    wanted = [alert for alert in about if subscription.wants(str(alert["component"]))]
    return {**payload, "alerts": wanted} if wanted else None


class State:
    """The whole current state as it was at `seq` or later."""

    def __init__(self, seq: int, version: int, time: datetime, newest: Newest) -> None:
        self.seq = seq
        self.version = version
        self.time = time
        self.statuses: Sequence[health.ComponentStatus] = ()
        self.alerts: Sequence[alerts.Alert] = ()
        self.has_more_alerts = False
        self.messages = lru_cache(RENDERINGS_MAX)(self._messages)
        self._newest = newest

    def _messages(self, subscription: Subscription) -> list[AnyMessage]:
        documents = {Topic.HEALTH: self._health, Topic.ALERTS: self._alerts}
        found: list[AnyMessage] = [
            message(topic, self.time, document(subscription))
            for topic, document in documents.items()
            if topic in subscription.topics
        ]
        return [*self._metrics(subscription), *found]

    def _metrics(self, subscription: Subscription) -> list[AnyMessage]:
        if Topic.METRICS not in subscription.topics:
            return []
        wanted = filter(subscription.wants, self._newest.components())
        values = list(chain.from_iterable(self._newest.values(name) for name in wanted))
        # Without a value too: the first message replaces what a client knew.
        empty = message(Topic.METRICS, self.time, current.document(()))
        return metrics_messages(values, self.time) or [empty]

    def _health(self, subscription: Subscription) -> health.Health:
        shown = {s.component for s in self.statuses if subscription.wants(s.component)}
        return health.document(self.statuses, shown)

    def _alerts(self, subscription: Subscription) -> dict[str, object]:
        wanted = [alert for alert in self.alerts if subscription.wants(alert.component)]
        return {"snapshot": True, "alerts": wanted, "has_more": self.has_more_alerts}
