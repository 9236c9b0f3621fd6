"""Live messages, filtered by subscription and cached in encoded form per subscription."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from functools import lru_cache, partial
from itertools import chain, islice

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from alerts import store as alerts
from events.bus import Event
from health import status as health
from live.cuts import Cuts, Piece
from live.deferred import Deferred, Encoding, Message, Reached, message
from live.newest import Identity

RENDERINGS_MAX = 64
"""For how many distinct subscriptions a message is cached."""


class Topic(StrEnum):
    """The types of messages that a client can subscribe to."""

    METRICS = "metrics"
    HEALTH = "health"
    ALERTS = "alerts"
    ALERT_RESOLVED = "alert_resolved"


class Subscription(Struct, frozen=True):
    """The subscription of a client. None for `components` means all; `without` are excluded.

    `series` limits values only, not health and alerts; None means all.
    """

    topics: frozenset[Topic] = frozenset(Topic)
    components: frozenset[str] | None = None
    without: frozenset[str] = frozenset()
    series: frozenset[Identity] | None = None

    def wants(self, component: str) -> bool:
        return component not in self.without and (
            self.components is None or component in self.components
        )

    def among(self, components: Iterable[str]) -> Iterator[str]:
        """Yield the subscribed components of many; it may yield names that are not among them."""
        if self.components is not None:
            found = list(islice(components, len(self.components) + 1))
            # If there are more components than the subscription names, use these names instead.
            components = found if len(found) <= len(self.components) else sorted(self.components)
        return filter(self.wants, components)

    def among_series(self, series: Iterable[Identity]) -> list[Identity]:
        """Return the series of subscribed components."""
        return [identity for identity in series if self.wants(identity[0])]

    @property
    def transitions(self) -> "Subscription":
        """The subscription without `series`, which does not matter for events: clients share it."""
        return self if self.series is None else replace(self, series=None)

    @property
    def but_values(self) -> "Subscription":
        """The subscription without values, which clients with different `series` share."""
        return replace(self, topics=self.topics - {Topic.METRICS}, series=None)


EVERYTHING = Subscription()


class TransitionMessage:
    """An event of the bus, encoded for each subscription on first use."""

    __slots__ = ("message", "seq", "size")

    def __init__(self, event: Event) -> None:
        self.seq = event.seq
        self.message = lru_cache(RENDERINGS_MAX)(partial(_deferred, event))
        self.size = len(self.message(EVERYTHING).text(self.seq))


def _deferred(event: Event, subscription: Subscription) -> Deferred:
    return Deferred(partial(_of_event, event, subscription))


def _of_event(event: Event, subscription: Subscription) -> Message | None:
    if event.type not in subscription.topics:
        return None
    data = _cut(event, subscription)
    return None if data is None else message(event.type, event.time, data)


def _cut(event: Event, subscription: Subscription) -> object | None:
    """Return the payload of an event limited to subscribed components; None if nothing is left."""
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


async def texts_of(
    entries: Iterable[TransitionMessage], subscription: Subscription, encoding: Encoding
) -> list[str]:
    """Return the texts of the events that a subscription includes."""
    wanted = subscription.transitions
    texts = [await encoding.text(one.message(wanted), one.seq) for one in entries]
    return [text for text in texts if text]


class State:
    """The whole present state, as of `seq` or later."""

    def __init__(self, seq: int, version: int, time: datetime, cuts: Cuts) -> None:
        self.seq = seq
        self.version = version
        self.time = time
        self.statuses: Sequence[health.ComponentStatus] = ()
        self.alerts: Sequence[alerts.Alert] = ()
        self.has_more_alerts = False
        self._shared = lru_cache(RENDERINGS_MAX)(self._reached)
        self._cuts = cuts

    def messages(self, subscription: Subscription) -> Iterable[Deferred]:
        """Return messages with the subscribed state, values first."""
        if subscription.series is None:
            return self._shared(subscription)
        return chain(self._metrics(subscription), self._shared(subscription.but_values))

    def _reached(self, subscription: Subscription) -> Reached[Deferred]:
        documents = {Topic.HEALTH: self._health, Topic.ALERTS: self._alerts}
        others = (
            Deferred(partial(self._encode, topic, partial(document, subscription)))
            for topic, document in documents.items()
            if topic in subscription.topics
        )
        return Reached(chain(self._metrics(subscription), others))

    def _metrics(self, subscription: Subscription) -> Iterator[Deferred]:
        if Topic.METRICS not in subscription.topics:
            return
        found = self._cuts.messages(self._wanted(subscription))
        # Even without a value: the first message tells a client to replace what it had.
        yield next(found, self._cuts.of(()))
        yield from found

    def _wanted(self, subscription: Subscription) -> Iterable[Piece]:
        if subscription.series is not None:
            return self._cuts.pieces(subscription.among_series(subscription.series))
        components = subscription.among(self._cuts.newest.components())
        return chain.from_iterable(map(self._cuts.whole, components))

    def _encode(self, topic: Topic, document: Callable[[], object]) -> Message:
        return message(topic, self.time, document())

    def _health(self, subscription: Subscription) -> health.Health:
        shown = {s.component for s in self.statuses if subscription.wants(s.component)}
        return health.document(self.statuses, shown)

    def _alerts(self, subscription: Subscription) -> dict[str, object]:
        wanted = [alert for alert in self.alerts if subscription.wants(alert.component)]
        return {"snapshot": True, "alerts": wanted, "has_more": self.has_more_alerts}
