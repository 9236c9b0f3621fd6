"""A client examines large states in small steps, one in each turn of the event loop."""

import asyncio
import sys
from collections.abc import Awaitable
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import pytest

from live.client import Client, Credential, Metrics
from live.deferred import Encoding
from live.messages import EVERYTHING
from model.series import Sample, Series

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIVE = str(Path(sys.modules[Metrics.__module__].__file__ or "").parent)
MANY = 10_000
STEPS_MAX = 10_000
"""Lines of `live` in one turn: at most one for each of many series."""


class Steps:
    """The most lines of `live` that ran in one turn of the event loop, calls and returns too."""

    def __init__(self) -> None:
        self.largest = 0
        self._now = 0

    def _trace(self, frame: FrameType, _event: str, _arg: object) -> Any:
        if not frame.f_code.co_filename.startswith(LIVE):
            return None
        self._now += 1
        return self._trace

    async def _turn(self) -> None:
        while True:
            self.largest, self._now = max(self.largest, self._now), 0
            await asyncio.sleep(0)

    async def of(self, work: Awaitable[list[str]]) -> list[str]:
        """Count while something is done, and return what came of it."""
        turns, before = asyncio.create_task(self._turn()), sys.gettrace()
        sys.settrace(self._trace)
        try:
            return await work
        finally:
            sys.settrace(before)
            turns.cancel()


def samples(components: int, series: int) -> list[Sample]:
    return [
        Sample(Series(metric=f"m{number}", component=f"c{name}"), NOW, 1.0)
        for name in range(components)
        for number in range(series)
    ]


def metrics_of(*, components: int, series: int) -> Metrics:
    metrics = Metrics()
    metrics.newest.put(samples(components, series))
    return metrics


async def nobody() -> None:
    """Answer for a key that is not asked for."""


async def reported(metrics: Metrics, version: int = 0) -> list[str]:
    """Return everything that a client is sent of what changed after a version."""
    client, encoding, texts = Client(Credential(b"", nobody)), Encoding(), list[str]()
    client.begin(metrics.since(version, EVERYTHING))
    while some := await client.more(encoding):
        texts += some
    return texts


def components_in(texts: list[str]) -> list[str]:
    return [name for text in texts for name in msgspec.json.decode(text)["data"]["components"]]


@pytest.mark.parametrize(("components", "series"), [(MANY, 1), (1, MANY)])
async def test_many_changes_are_looked_through_in_many_turns(components: int, series: int) -> None:
    metrics, steps = metrics_of(components=components, series=series), Steps()
    metrics.release()

    texts = await steps.of(reported(metrics))

    assert set(components_in(texts)) == {f"c{name}" for name in range(components)}
    assert 0 < steps.largest <= STEPS_MAX


@pytest.mark.parametrize(("components", "series"), [(MANY, 1), (1, MANY), (100, MANY // 100)])
async def test_unreleased_changes_are_searched_in_small_steps_too(
    components: int, series: int
) -> None:
    """While many samples are taken, a client may look again and again."""
    metrics, steps = metrics_of(components=components, series=series), Steps()

    assert await steps.of(reported(metrics)) == []
    assert 0 < steps.largest <= STEPS_MAX


async def test_a_change_during_the_search_is_sent_once_it_is_released() -> None:
    metrics = metrics_of(components=1000, series=1)
    metrics.release()
    changes = iter(metrics.since(0, EVERYTHING))
    first = next(changes)
    later = [msgspec.structs.replace(one, value=2.0) for one in samples(1000, 1)]
    metrics.newest.put([msgspec.structs.replace(one, time=NOW.replace(second=15)) for one in later])
    version = metrics.version

    texts = [one.text(0) for one in [first, *changes]]
    metrics.release()
    texts += await reported(metrics, version)

    assert set(components_in([text for text in texts if text])) == {f"c{n}" for n in range(1000)}
