"""Runs a collector under a deadline. A failed run gives a sample too: `component_up` = 0."""

import asyncio
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

import structlog

from collectors.metrics import series_of
from model.limits import COLLECT_TIMEOUT_S_MAX
from model.series import COMPONENT_UP, Category, Sample
from model.text import clean
from runtime.schedule import SlotStats, every

DEADLINE_SHARE = 2 / 3
"""The deadline of a run as a fraction of the interval. `COLLECT_TIMEOUT_S_MAX` also limits it."""
GRACE_SHARE = 0.1
"""The time for a cancelled run to clean up, as a fraction of its deadline."""
REASON_CHARS_MAX = 200

log = structlog.get_logger()

Put = Callable[[Sequence[Sample]], None]


class Collector(Protocol):
    """Measures one component."""

    @property
    def name(self) -> str:
        """The name of the component."""

    @property
    def category(self) -> Category: ...

    async def collect(self, time: datetime) -> list[Sample]:
        """Measure now. Every sample has the slot's `time`. Any exception is a failed run."""


class DeadlineError(Exception):
    """A run did not end before its deadline, or the run before it has still not ended."""


class CollectorRun:
    """Runs a collector in one slot. Its samples and its `component_up` go to `put`."""

    def __init__(self, collector: Collector, put: Put) -> None:
        self._collector = collector
        self._put = put
        self._run: asyncio.Task[list[Sample]] | None = None
        self._reason = ""

    async def run(self, time: datetime, deadline_s: float = COLLECT_TIMEOUT_S_MAX) -> None:
        samples: list[Sample] = []
        try:
            samples = await self._collect(time, deadline_s)
            reason = ""
        except Exception as error:  # noqa: BLE001 (any failure of a collector is reported as data)
            reason = reason_of(error)
        self._put([*samples, self._up(time, reason)])

    async def _collect(self, time: datetime, deadline_s: float) -> list[Sample]:
        """Run the collector in a task, and abandon the task at the deadline. Raises DeadlineError.

        `asyncio.timeout` would wait until the cancelled task has ended. A query to a frozen
        database takes ten more seconds to end.

        1. If the previous task still runs, give up this slot: two runs must not overlap.
        2. Start a task, and wait for it until the deadline.
        3. Cancel it if it still runs, and give it a short time to clean up.
        """
        if self._run is not None and not self._run.done():
            await _give_up(self._run, deadline_s * GRACE_SHARE)
            raise DeadlineError("the previous run has not ended")
        run = asyncio.create_task(self._collector.collect(time), name=self._collector.name)
        self._run = run
        try:
            await asyncio.wait({run}, timeout=deadline_s)
            in_time = run.done()
        finally:
            await _give_up(run, deadline_s * GRACE_SHARE)
        if not in_time:
            raise DeadlineError(f"no answer within {deadline_s:g} s")
        if run.cancelled():
            raise DeadlineError("cancelled from within")
        return run.result()

    def _up(self, time: datetime, reason: str) -> Sample:
        if reason != self._reason:
            log.info("component_up", component=self._collector.name, up=not reason, reason=reason)
            self._reason = reason
        series = series_of(COMPONENT_UP, self._collector.name, self._collector.category)
        return Sample(series, time, 0.0 if reason else 1.0, reason)


async def collect_every(
    interval_s: Callable[[], float], collector: Collector, put: Put, stats: SlotStats
) -> None:
    """Run a collector in every slot, for ever. Each collector has its own task.

    So a slow collector never delays another.
    """
    run = CollectorRun(collector, put)

    async def take(time: datetime) -> None:
        await run.run(time, deadline_of(interval_s()))

    await every(interval_s, take, stats)


def deadline_of(interval_s: float) -> float:
    """Return the deadline of a run in seconds. It ends well before the next slot."""
    return min(COLLECT_TIMEOUT_S_MAX, interval_s * DEADLINE_SHARE)


async def _give_up(run: asyncio.Task[list[Sample]], grace_s: float) -> None:
    if run.done():
        return
    run.cancel()
    # Read the exception, or asyncio logs it as never retrieved. It was reported as a deadline.
    run.add_done_callback(lambda task: task.cancelled() or task.exception())
    await asyncio.wait({run}, timeout=grace_s)


_URL = re.compile(r"(\w+://)(?:\S*@)?([^\s/?#\"']+)[^\s\"']*")
_ASSIGNMENT = re.compile(r"(?i)(\w*(?:password|passwd|pwd|token|secret|key)\s*[=:]\s*)\S+")


def reason_of(error: BaseException) -> str:
    """Return an error as one line of at most `REASON_CHARS_MAX` characters, without secrets.

    It removes users, passwords, paths and queries from addresses, and the values of passwords,
    tokens and keys.
    """
    text = _ASSIGNMENT.sub(r"\1***", _URL.sub(r"\1\2", clean(str(error))))
    line = " ".join(f"{type(error).__name__}: {text}".removesuffix(": ").split())
    return line if len(line) <= REASON_CHARS_MAX else line[: REASON_CHARS_MAX - 1] + "…"
