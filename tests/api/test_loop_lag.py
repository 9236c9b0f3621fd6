"""The event loop stays responsive while responses and messages with 100,000 series are made."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from api.ingest.admission.parsed_write import AcceptedTimes
from api.ingest.formats import native, otlp_json
from api.ingest.formats.garbage import uncollected
from live.client import Metrics
from live.documents import Documents
from live.messages import EVERYTHING, State, Subscription
from model.errors import InvalidError
from samples.current import Current
from samples.series import SERIES_MAX
from tests.api.turns import short_turns
from vigia.main import SWITCH_INTERVAL_S
from vigia.self_monitoring.loop_lag import LoopLag

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


async def test_as_many_components_as_series_do_not_block_the_loop() -> None:
    metrics = Metrics()
    metrics.newest.merge(
        (
            Current(n, "load", f"host-{n * 7919 % SERIES_MAX:06}", "system", {}, "", T0, n)
            for n in range(SERIES_MAX)
        ),
        is_announced=True,
    )
    metrics.release()
    documents = Documents(metrics.newest, clock=iter(range(10**9, 2 * 10**9, 1000)).__next__)
    first = await documents.metrics()
    last = Current(0, "load", "host-last", "system", {}, "", T0, 1.0)
    metrics.newest.merge([last], is_announced=True)

    async with short_turns(ms_max=40):
        document = await documents.metrics()
        state = State(1, metrics.version, T0, metrics.cuts)
        assert next(iter(state.messages(EVERYTHING)))

    assert len(document.body) > len(first.body)
    names = list(msgspec.json.decode(document.body)["components"])
    assert names == sorted(names)
    assert len(names) == SERIES_MAX + 1


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
    state = State(1, metrics.version, T0, metrics.cuts)
    async with measured():
        messages = []
        for message in state.messages(EVERYTHING):
            messages.append(message)
            message.text(1)
            await asyncio.sleep(0)

    assert len(messages) > 100


def test_many_subscriptions_to_nothing_cost_less_than_one_to_everything(metrics: Metrics) -> None:
    version = metrics.version
    metrics.release()
    nothing = [Subscription(components=frozenset({f"none-{number}"})) for number in range(500)]
    began = time.monotonic()
    assert len(list(metrics.since(version, EVERYTHING))) > 100
    of_everything_s = time.monotonic() - began

    began = time.monotonic()
    assert not [found for one in nothing for found in metrics.since(version, one)]

    assert time.monotonic() - began < of_everything_s


COLUMN = b'{"metric":"a","component":"b","times":[],"values":[]}'
METRIC = b'{"name":"a","gauge":{"dataPoints":[{},{}]}}'
BODIES = {
    "more series than allowed": b'{"series":[' + b",".join([COLUMN] * 600_000) + b"]}",
    "every label of every series": b'{"series":['
    + b",".join(
        [
            COLUMN[:-1]
            + b',"labels":{'
            + b",".join(b'"label_%d":"value_%d"' % (number, number) for number in range(30))
            + b"}}"
        ]
        * 10_000
    )
    + b"]}",
    "metrics of OpenTelemetry": b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":['
    + b",".join([METRIC] * 60_000)
    + b"]}]}]}",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_a_body_that_is_read_holds_nobody_up(body: bytes) -> None:
    window = AcceptedTimes(T0 - timedelta(days=1), T0)

    def read() -> None:
        with uncollected(), suppress(InvalidError):
            if b"resourceMetrics" in body:
                for metric in otlp_json.request_of(body).metrics:
                    list(metric.points)
            else:
                native.read(body, window)

    async with measured():
        await asyncio.to_thread(read)
