"""The event loop serves others while answers and messages with 100,000 series are made."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from api.documents import Documents
from api.feed import Metrics
from api.messages import EVERYTHING, State
from db.current import Current
from db.series import SERIES_MAX
from vigia.loop_lag import LoopLag
from vigia.main import SWITCH_INTERVAL_S

T0 = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LAG_S_MAX = 0.1
SHARE_MAX = 0.25
"""Of the time that something takes, where that is long because the machine is busy."""


@pytest.fixture(autouse=True)
def as_in_the_service() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def metrics() -> Metrics:
    """The newest values of as many series of one metric as there may be, in no order."""
    found = Metrics()
    found.newest.merge(
        (
            Current(
                n, "queue", "broker", "system", {"queue": f"{n * 7919 % SERIES_MAX}"}, "", T0, n
            )
            for n in range(SERIES_MAX)
        ),
        is_announced=True,
    )
    return found


@asynccontextmanager
async def measured() -> AsyncIterator[None]:
    """Fail when the event loop was held up in the block."""
    lag = LoopLag()
    task = asyncio.create_task(lag.run())
    began = time.monotonic()
    yield
    await asyncio.sleep(0.1)
    took_s = time.monotonic() - began
    task.cancel()
    assert lag.status()["lag_s_max"] < max(LAG_S_MAX, SHARE_MAX * took_s)


async def test_an_answer_with_every_series_holds_nobody_up(metrics: Metrics) -> None:
    documents = Documents(metrics.newest)
    async with measured():
        document = await documents.metrics()

    assert document.body.count(b'"labels"') == SERIES_MAX


async def test_an_answer_that_is_costly_is_made_seldom(metrics: Metrics) -> None:
    documents = Documents(metrics.newest)
    for n in range(10):
        metrics.newest.merge(
            [Current(0, "queue", "broker", "system", {"queue": f"new {n}"}, "", T0, 1.0)],
            is_announced=True,
        )
        await documents.metrics()

    assert documents.made == 1


async def test_a_state_with_every_series_holds_nobody_up(metrics: Metrics) -> None:
    metrics.release()
    state = State(1, metrics.version, T0, metrics.newest)
    async with measured():
        messages = state.messages(EVERYTHING)
        for message in messages:
            message.text(1)
            await asyncio.sleep(0)

    assert len(messages) > 100
