"""Passes events and samples to subscribers: Python functions registered as entry points."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from importlib.metadata import entry_points
from typing import Any

import msgspec
import structlog
from msgspec import Struct

from events.bus import Event
from model.series import Sample
from samples import current

log = structlog.get_logger()

GROUP = "vigia.subscribers"
QUEUE_MAX = 1000
DEADLINE_S = 30.0


class Emitted(Struct, frozen=True):
    """The argument of a subscriber: a message of the live stream as Python objects.

    `type` is `metrics`, `health`, `alerts`, `alert_resolved`, or `security.` and a type of the
    audit. `seq` is None for metrics.
    """

    type: str
    seq: int | None
    time: datetime
    data: dict[str, Any]


Function = Callable[[Emitted], Awaitable[None]]


class Subscriber:
    """A function and its queue. If it cannot keep up, the oldest message is dropped."""

    def __init__(self, name: str, function: Function) -> None:
        self.name = name
        self.dropped = 0
        self._function = function
        self._queue: asyncio.Queue[Emitted] = asyncio.Queue(QUEUE_MAX)

    def put(self, emitted: Emitted) -> None:
        if self._queue.full():
            self._queue.get_nowait()
            self.dropped += 1
            log.warning("subscriber_lags", subscriber=self.name, dropped=self.dropped)
        self._queue.put_nowait(emitted)

    async def run(self) -> None:
        """Call the function for one message after the other; log the errors that it raises."""
        while True:
            emitted = await self._queue.get()
            try:
                async with asyncio.timeout(DEADLINE_S):
                    await self._function(emitted)
            except Exception as error:  # noqa: BLE001 (code of others must not end the service)
                reason = f"{type(error).__name__}: {error}"
                log.warning("subscriber_failed", subscriber=self.name, error=reason)


class Subscribers:
    """All subscribers."""

    def __init__(self, subscribers: Sequence[Subscriber]) -> None:
        self.subscribers = subscribers

    def emit_samples(self, samples: Sequence[Sample]) -> None:
        """Queue committed samples for all subscribers. Never waits."""
        if self.subscribers and samples:
            in_order = sorted(samples, key=lambda sample: sample.time)
            newest = {sample.series: sample for sample in in_order}
            document = current.document(current.of_sample(each) for each in newest.values())
            time = in_order[-1].time
            self._emit(Emitted("metrics", None, time, msgspec.to_builtins(document)))

    def emit_event(self, event: Event) -> None:
        """Queue an event of the bus for all subscribers. Never waits."""
        self._emit(Emitted(event.type, event.seq, event.time, event.payload))

    async def run(self) -> None:
        """Serve the subscribers until cancelled."""
        async with asyncio.TaskGroup() as group:
            for subscriber in self.subscribers:
                group.create_task(subscriber.run(), name=f"subscriber {subscriber.name}")

    def _emit(self, emitted: Emitted) -> None:
        for subscriber in self.subscribers:
            subscriber.put(emitted)


def load() -> Subscribers:
    """Return the subscribers of all entry points in the group `vigia.subscribers`.

    Raises ImportError if one cannot be imported, because its users rely on it.
    """
    found = [Subscriber(point.name, point.load()) for point in entry_points(group=GROUP)]
    if found:
        log.info("subscribers_loaded", names=[subscriber.name for subscriber in found])
    return Subscribers(found)
