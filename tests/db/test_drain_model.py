"""The law of the drain: whatever fails or is killed, each acknowledged sample is stored at last."""

import asyncio
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import errors

from model.series import Series
from runtime.spool import Spool
from samples.spooling import quarantine
from samples.spooling.drain import Drain
from samples.spooling.spool import SampleSpool
from samples.write_batch import WriteBatch
from tests.samples.spooling.test_drain import let_files_rest
from tests.samples.spooling.test_quarantine import batch, let_time_pass

CALLS = ("fsync", "listdir", "replace", "unlink", "utime")
"""What the disk may refuse."""
REAL = {call: getattr(os, call) for call in CALLS}
REFUSALS: dict[str, Exception] = {
    "refused": errors.NumericValueOutOfRange("too large"),
    "unclear": errors.InternalError_("no chunk"),
    "away": errors.AdminShutdown("terminating connection"),
}
STEPS = st.one_of(
    st.tuples(st.just("put"), st.lists(st.sampled_from(["good", "refused", "unclear"]))),
    st.tuples(st.just("drain"), st.lists(st.sampled_from(["takes", "away"]), max_size=3)),
    st.tuples(st.sampled_from(["drain", "requeue", "kill"]), st.just([])),
)


class Trouble(NamedTuple):
    """From a call on, so many of a kind fail, or the process ends at that call."""

    call: str
    begins_at: int
    times: int


TROUBLES = st.builds(
    Trouble,
    st.sampled_from(["", "kill", *CALLS]),
    st.integers(0, 8),
    st.integers(1, 8),
)


class Killed(BaseException):
    """The end of the process in the midst of a call."""


class Service:
    """A spool, a database, and what was acknowledged and stored."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._answers: list[str] = []
        self._number = 0
        self._is_well = True
        self.acknowledged: set[str] = set()
        self.stored: set[str] = set()
        self._start()

    def _start(self) -> None:
        self.spool = SampleSpool(Spool(self._folder, 10**9))
        self.drain_ = Drain(self.spool, self._store, self._takes_a_sample)

    async def _store(self, given_: WriteBatch) -> WriteBatch:
        metrics = [column.series.metric for column in given_.columns]
        answer = self._answers.pop() if self._answers else "takes"
        self._is_well = answer != "away"
        if not self._is_well:
            raise REFUSALS["away"]
        for metric in metrics:
            if error := REFUSALS.get(metric.partition("_")[0]):
                raise error
        self.stored.update(metrics)
        return WriteBatch()

    async def _takes_a_sample(self) -> bool:
        return self._is_well

    async def put(self, kinds: list[str]) -> None:
        for kind in kinds:
            self._number += 1
            metric = f"{kind}_{self._number}"
            await self.spool.put(batch(Series(metric=metric, component="a")))
            self.acknowledged.add(metric)

    async def drain(self, answers: list[str]) -> None:
        self._answers = list(answers)
        with suppress(errors.OperationalError):
            if await self.drain_.is_due():
                await self.drain_.run()

    async def kill(self, _: list[str]) -> None:
        raise Killed

    def restart(self) -> None:
        """Begin again with what is on the disk."""
        self.spool._thread.close()
        self._start()
        assert self.spool._spool.damage == []

    async def requeue(self, _: list[str]) -> None:
        quarantine.requeue(self._folder, [])

    def let_all_rest(self) -> None:
        let_files_rest(self.spool)
        let_time_pass(self.drain_)


@contextmanager
def failing(trouble: Trouble) -> Iterator[None]:
    """Let the disk fail for a step."""
    seen = count()

    def fail_in(call: str) -> Callable[..., object]:
        def answer(*arguments: object, **named: object) -> object:
            if trouble.call in (call, "kill") and (at := next(seen)) >= trouble.begins_at:
                if trouble.call == "kill":
                    raise Killed
                if at < trouble.begins_at + trouble.times:
                    raise OSError(errno.EIO, "Input/output error")
            return REAL[call](*arguments, **named)

        return answer

    with pytest.MonkeyPatch.context() as patch:
        for call in CALLS:
            patch.setattr(os, call, fail_in(call))
        yield


async def live(service: Service, steps: list[tuple[tuple[str, list[str]], Trouble]]) -> None:
    for (step, arguments), trouble in steps:
        try:
            with failing(trouble), suppress(OSError):
                await getattr(service, step)(arguments)
        except Killed:
            service.restart()
        service.let_all_rest()


async def end_well(service: Service) -> None:
    """Nothing fails any more, the database takes everything, and a person gives all back."""
    with pytest.MonkeyPatch.context() as patch:
        for kind in ("refused", "unclear"):
            patch.delitem(REFUSALS, kind)
        for _ in range(3):
            await service.requeue([])
            service.let_all_rest()
            await service.drain([])


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(STEPS, TROUBLES), max_size=12))
def test_whatever_fails_or_is_killed_each_acknowledged_sample_is_stored_at_last(
    steps: list[tuple[tuple[str, list[str]], Trouble]],
) -> None:
    async def run(folder: Path) -> None:
        service = Service(folder)
        try:
            await live(service, steps)
            service.restart()
            await end_well(service)
        finally:
            service.spool._thread.close()
        assert service.stored >= service.acknowledged
        assert service.spool.is_empty
        assert (service.spool.postponed, service.spool.status()["failing"]) == (0, 0)
        assert service.spool._spool.damage == []
        assert quarantine.read(folder) == []

    with TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder) / "spool"))
