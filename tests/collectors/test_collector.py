"""A collector's failure is a sample, and never affects another collector."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from collectors.collector import REASON_CHARS_MAX, CollectorRun, collect_every, reason_of
from collectors.host.thread import OneThread
from collectors.metrics import Reading, samples_of
from model.series import Category, Kind, Sample
from runtime.schedule import SlotStats

SLOT = datetime(2026, 1, 1, tzinfo=UTC)
DEADLINE_S = 0.05


class Scripted:
    """A collector that runs an action of the test, and then measures one value."""

    category = Category.EXTERNAL

    def __init__(self, act: Callable[[], Awaitable[object]], name: str = "scripted") -> None:
        self.name = name
        self._act = act

    async def collect(self, time: datetime) -> list[Sample]:
        await self._act()
        return samples_of([Reading("scripted_answer", 42)], self.name, self.category, time)


async def nothing() -> None:
    pass


async def wait_for_ever() -> None:
    await asyncio.Event().wait()


async def raise_with_a_secret() -> None:
    raise ConnectionError("cannot reach\npostgresql://vigia:hunter2@db.example:5432/vigia?sslkey=k")


async def take(
    run: CollectorRun, samples: list[Sample], deadline_s: float = DEADLINE_S
) -> list[Sample]:
    """Run once and return the samples that were put."""
    samples.clear()
    await run.run(SLOT, deadline_s)
    return list(samples)


def failure_of(samples: Sequence[Sample]) -> str:
    """Return the reason of the only sample, which must be a failure."""
    (only,) = samples
    assert only.series.metric == "component_up"
    assert only.value == 0
    assert only.time == SLOT
    return only.reason


async def test_success_puts_the_samples_and_component_up() -> None:
    put: list[Sample] = []

    answer, up = await take(CollectorRun(Scripted(nothing), put.extend), put)

    assert (answer.series.metric, answer.value) == ("scripted_answer", 42)
    assert (up.series.metric, up.value, up.reason, up.time) == ("component_up", 1, "", SLOT)
    assert up.series.component == "scripted"
    assert up.series.category is Category.EXTERNAL
    assert (up.series.unit, up.series.kind, up.series.resolution) == ("", Kind.GAUGE, 1)


async def test_an_exception_is_one_failed_sample_with_a_clean_reason() -> None:
    put: list[Sample] = []

    reason = failure_of(await take(CollectorRun(Scripted(raise_with_a_secret), put.extend), put))

    assert reason == "ConnectionError: cannot reach postgresql://db.example:5432"


async def test_a_run_that_waits_for_ever_fails_at_its_deadline_and_is_cancelled() -> None:
    put: list[Sample] = []
    cancelled = asyncio.Event()

    async def notice_the_end() -> None:
        try:
            await wait_for_ever()
        finally:
            cancelled.set()

    reason = failure_of(await take(CollectorRun(Scripted(notice_the_end), put.extend), put))

    assert reason == "DeadlineError: no answer within 0.05 s"
    assert cancelled.is_set()


async def test_a_run_that_ignores_its_cancellation_is_abandoned_and_not_started_twice() -> None:
    put: list[Sample] = []
    release = asyncio.Event()
    runs = 0

    async def refuse_to_end() -> None:
        nonlocal runs
        runs += 1
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()

    run = CollectorRun(Scripted(refuse_to_end), put.extend)

    first = failure_of(await take(run, put))
    second = failure_of(await take(run, put))
    release.set()
    recovered = await take(run, put)
    while recovered[-1].value == 0:
        recovered = await take(run, put)

    assert first == "DeadlineError: no answer within 0.05 s"
    assert second == "DeadlineError: the previous run has not ended"
    assert [sample.value for sample in recovered] == [42, 1]
    assert runs == 2


async def test_a_run_blocked_in_a_thread_fails_in_each_slot_without_a_second_thread() -> None:
    put: list[Sample] = []
    release = threading.Event()
    thread = OneThread("blocked run")
    run = CollectorRun(Scripted(lambda: thread.run(release.wait)), put.extend)

    first = failure_of(await take(run, put))
    second = failure_of(await take(run, put))
    threads = [each for each in threading.enumerate() if each.name == "blocked run"]
    release.set()
    threads[0].join(5)
    recovered = await take(run, put, deadline_s=5)

    assert first == "DeadlineError: no answer within 0.05 s"
    assert second == "BusyError: the previous run has not ended"
    assert len(threads) == 1
    assert [sample.value for sample in recovered] == [42, 1]


async def test_a_run_cancelled_from_within_is_a_failure_and_does_not_end_the_loop() -> None:
    put: list[Sample] = []

    async def await_something_cancelled() -> None:
        inner = asyncio.ensure_future(wait_for_ever())
        inner.cancel()
        await inner

    reason = failure_of(
        await take(CollectorRun(Scripted(await_something_cancelled), put.extend), put)
    )

    assert reason == "DeadlineError: cancelled from within"


async def test_cancelling_the_task_of_a_slot_cancels_its_run() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def notice_the_end() -> None:
        started.set()
        try:
            await wait_for_ever()
        finally:
            ended.set()

    put: list[Sample] = []
    task = asyncio.ensure_future(CollectorRun(Scripted(notice_the_end), put.extend).run(SLOT, 5))
    await asyncio.wait_for(started.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert ended.is_set()
    assert put == []


@contextlib.asynccontextmanager
async def running(*services: Awaitable[None]) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(service) for service in services]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("hang", ["in a wait", "in a thread"])
async def test_a_hanging_collector_never_delays_another(hang: str) -> None:
    interval_s, slots_wanted = 0.1, 10
    release, enough = threading.Event(), asyncio.Event()
    thread = OneThread("hanging neighbour")
    act = wait_for_ever if hang == "in a wait" else lambda: thread.run(release.wait)
    ups: dict[str, list[Sample]] = {"steady": [], "hanging": []}

    def put(samples: Sequence[Sample]) -> None:
        ups[samples[-1].series.component].append(samples[-1])
        if len(ups["steady"]) >= slots_wanted:
            enough.set()

    steady, hanging = SlotStats(name="steady"), SlotStats(name="hanging")
    async with running(
        collect_every(lambda: interval_s, Scripted(nothing, "steady"), put, steady),
        collect_every(lambda: interval_s, Scripted(act, "hanging"), put, hanging),
    ):
        await asyncio.wait_for(enough.wait(), 20)
    release.set()

    spans_s = [
        (later.time - sooner.time).total_seconds() for sooner, later in pairwise(ups["steady"])
    ]
    assert all(up.value == 1 for up in ups["steady"])
    assert ups["hanging"]
    assert all(up.value == 0 for up in ups["hanging"])
    assert steady.missed <= 1
    assert min(spans_s) == pytest.approx(interval_s)


def test_a_reason_is_one_short_line() -> None:
    reason = reason_of(ValueError("first\nsecond\t\x1b[31m" + "x" * 1000))

    assert reason.startswith("ValueError: first second [31mxxx")
    assert len(reason) == REASON_CHARS_MAX
    assert reason.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "postgres://user:CANARY@host/db is down",
        "GET https://hooks.example/services/CANARY failed",
        "https://api.example/x?token=CANARY",
        "wss://user:pa/ss:CANARY@host",
        'url("https://a.example/CANARY")',
        "host=db password=CANARY dbname=x",
        "api_key: CANARY",
    ],
)
def test_a_reason_contains_no_secrets(text: str) -> None:
    assert "CANARY" not in reason_of(RuntimeError(text))


def test_the_reason_of_an_error_without_text_is_its_class_name() -> None:
    assert reason_of(TimeoutError()) == "TimeoutError"
