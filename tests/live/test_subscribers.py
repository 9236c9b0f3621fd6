"""Subscribers receive everything in order; a slow or failing one affects no other."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from events.bus import Event
from live import subscribers
from live.subscribers import Emitted, Subscriber, Subscribers, load
from model.series import Sample, Series

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def event(seq: int) -> Event:
    return Event(seq, NOW, "alerts", {"n": seq})


async def test_a_subscriber_hears_samples_and_events_in_their_order() -> None:
    heard: asyncio.Queue[Emitted] = asyncio.Queue()
    emitting = Subscribers([Subscriber("a", heard.put)])
    async with asyncio.TaskGroup() as group:
        task = group.create_task(emitting.run())
        series = Series(metric="m", component="c")
        late = Sample(series, NOW - timedelta(hours=1), 9.0)
        emitting.emit_samples([Sample(series, NOW, 1.5), late])
        emitting.emit_event(event(7))
        first, second = [await asyncio.wait_for(heard.get(), 5) for _ in range(2)]
        task.cancel()

    assert (first.type, first.seq) == ("metrics", None)
    assert first.data["components"]["c"]["metrics"]["m"]["value"] == 1.5
    assert (second.type, second.seq, second.data) == ("alerts", 7, {"n": 7})


async def test_a_subscriber_that_raises_is_called_again_and_harms_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subscribers, "DEADLINE_S", 0.05)
    calls: list[int | None] = []
    heard: asyncio.Queue[Emitted] = asyncio.Queue()

    async def broken(emitted: Emitted) -> None:
        calls.append(emitted.seq)
        if emitted.seq == 1:
            raise ValueError("no")
        await asyncio.sleep(60)

    emitting = Subscribers([Subscriber("broken", broken), Subscriber("good", heard.put)])
    async with asyncio.TaskGroup() as group:
        task = group.create_task(emitting.run())
        for seq in (1, 2, 3):
            emitting.emit_event(event(seq))
        good = [(await asyncio.wait_for(heard.get(), 5)).seq for _ in range(3)]
        async with asyncio.timeout(5):
            while len(calls) < 3:
                await asyncio.sleep(0.01)
        task.cancel()

    assert good == calls == [1, 2, 3]


async def test_a_slow_subscriber_loses_the_oldest_and_it_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subscribers, "QUEUE_MAX", 3)
    heard: asyncio.Queue[Emitted] = asyncio.Queue()
    slow = Subscriber("slow", heard.put)
    for seq in range(5):
        slow.put(Emitted("alerts", seq, NOW, {}))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(slow.run())
        assert [(await asyncio.wait_for(heard.get(), 5)).seq for _ in range(3)] == [2, 3, 4]
        task.cancel()

    assert slow.dropped == 2


def test_nobody_subscribed_costs_nothing() -> None:
    emitting = load()
    emitting.emit_samples([Sample(Series(metric="m", component="c"), NOW, 1.0)])

    assert list(emitting.subscribers) == []
