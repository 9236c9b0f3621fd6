"""The law of the spool: after any steps and kills, it holds the same records as a list would."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import spool
from runtime.spool import Spool
from tests.runtime.spools import BUDGET_BYTES, record

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.lists(st.binary(min_size=1, max_size=60), max_size=4)),
        st.tuples(st.just("segments")),
        st.tuples(st.just("read"), st.integers(0, 5)),
        st.tuples(st.just("remove_oldest")),
        st.tuples(st.just("close_and_reopen")),
        st.tuples(st.just("kill_and_reopen"), st.integers(0, 20)),
    ),
    max_size=30,
)


class Model:
    """A spool beside lists that are to hold the same: a segment each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._spool = Spool(folder, BUDGET_BYTES)
        self._active: list[bytes] | None = None
        self._closed: list[list[bytes]] = []

    def append(self, payloads: list[bytes]) -> None:
        is_full = sum(map(len, map(record, self._active or []))) >= spool.SEGMENT_BYTES
        if is_full:
            self.segments()
        self._spool.append(payloads)
        self._active = [*(self._active or []), *payloads]

    def segments(self) -> None:
        self._spool.segments()
        self._rotate()

    def _rotate(self) -> None:
        self._closed += [self._active] if self._active is not None else []
        self._active = None

    def read(self, at: int) -> None:
        self.segments()
        for segment, payloads in list(zip(self._spool.segments(), self._closed, strict=True))[at:]:
            assert list(self._spool.read(segment)) == payloads

    def remove_oldest(self) -> None:
        self.segments()
        for segment in self._spool.segments()[:1]:
            self._spool.remove(segment)
            del self._closed[0]

    def close_and_reopen(self) -> None:
        self._spool.close()
        self._reopen()

    def kill_and_reopen(self, torn: int) -> None:
        """The last record was being written: a part of it is there."""
        newest = max(self._folder.glob("*.spool"), default=None)
        if newest is not None and self._active is not None:
            with newest.open("ab") as file:
                file.write(record(b"torn" * 10)[:torn])
        self._reopen()

    def _reopen(self) -> None:
        self._rotate()
        self._spool = Spool(self._folder, BUDGET_BYTES)

    def check(self) -> None:
        everything = [*self._closed, self._active or []]
        assert self._spool.size_bytes == sum(
            len(record(each)) for part in everything for each in part
        )
        assert self._spool.is_empty == (not self._closed and self._active is None)


@settings(max_examples=150, deadline=None)
@given(steps=STEPS)
def test_any_sequence_of_steps_holds_what_a_list_would(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, object]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool, "SEGMENT_BYTES", 150)
        patch.setattr(os, "fsync", lambda _: None)
        model = Model(tmp_path_factory.mktemp("spool"))
        for name, *arguments in steps:
            getattr(model, name)(*arguments)
            model.check()
        model.read(0)
