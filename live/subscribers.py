"""Hands what happens to Python code of others, which registers as entry points."""

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
    """What a subscriber is called with: a message of the live stream, as Python values.

    `type` is `metrics`, `health`, `alerts` or `alert_resolved`; `seq` is None for metrics.
    """

    type: str
    seq: int | None
    time: datetime
    data: dict[str, Any]


Function = Callable[[Emitted], Awaitable[None]]


class Subscriber:
    """One function and what waits for it; the oldest goes when it cannot keep up."""

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
        """Call the function with one thing after the other; what it raises is its own affair."""
        while True:
            emitted = await self._queue.get()
            try:
                async with asyncio.timeout(DEADLINE_S):
                    await self._function(emitted)
            except Exception as error:  # noqa: BLE001 (code of others must not end the service)
                reason = f"{type(error).__name__}: {error}"
                log.warning("subscriber_failed", subscriber=self.name, error=reason)


class Subscribers:
    """Everyone who subscribed."""

    def __init__(self, subscribers: Sequence[Subscriber]) -> None:
        self.subscribers = subscribers

    def emit_samples(self, samples: Sequence[Sample]) -> None:
        """Take samples that were committed; never waits."""
        if self.subscribers and samples:
            in_order = sorted(samples, key=lambda sample: sample.time)
            newest = {sample.series: sample for sample in in_order}
            document = current.document(current.of_sample(each) for each in newest.values())
            time = in_order[-1].time
            self._emit(Emitted("metrics", None, time, msgspec.to_builtins(document)))

    def emit_event(self, event: Event) -> None:
        """Take an event of the bus; never waits."""
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
    """Return an emitter to all entry points of the group `vigia.subscribers`.

    One that cannot be imported stops the start: whoever installed it relies on it.
    """
    found = [Subscriber(point.name, point.load()) for point in entry_points(group=GROUP)]
    if found:
        log.info("subscribers_loaded", names=[subscriber.name for subscriber in found])
    return Subscribers(found)
