"""What is new in a running total is told once, whatever comes late, twice or after a restart."""

import numpy as np
import pytest

from api.ingest import cumulative
from api.ingest.cumulative import Total, Totals
from api.ingest.histograms import Buckets
from vigia.model import Kind, Series

BOUNDS = np.array([1.0, 2.0])
S = Series(metric="m", component="c", kind=Kind.DISTRIBUTION)
BIRTH = 1000


def total(time: int, count: int, started: int = 0) -> Total:
    return Total(started, time, Buckets(np.array([1]), np.array([count]), BOUNDS))


def new(totals: Totals, of: Total, newer: dict[Series, Total] | None = None) -> int | None:
    found = totals.since(S, of, newer or {})
    return None if found is None else int(found.counts.sum())


@pytest.fixture
def totals() -> Totals:
    """A memory that has seen the total of 10 at 2000."""
    made = Totals(BIRTH)
    made.settle([(S, total(2000, 10))])
    return made


def test_a_first_total_that_began_before_is_only_where_to_count_from() -> None:
    assert new(Totals(BIRTH), total(2000, 10, started=BIRTH - 1)) is None
    assert new(Totals(BIRTH), total(2000, 10)) is None


def test_a_first_total_of_a_sender_that_began_since_is_all_new() -> None:
    assert new(Totals(BIRTH), total(2000, 10, started=BIRTH)) == 10


def test_the_next_total_is_counted_from_the_one_before(totals: Totals) -> None:
    assert new(totals, total(3000, 14)) == 4
    assert new(totals, total(3000, 10)) == 0


def test_what_was_not_stored_is_told_again(totals: Totals) -> None:
    assert new(totals, total(3000, 14)) == 4
    assert new(totals, total(3000, 14)) == 4

    totals.settle([(S, total(3000, 14))])

    assert new(totals, total(3000, 14)) is None
    assert new(totals, total(2500, 12)) is None
    assert new(totals, total(4000, 15)) == 1


def test_totals_of_one_request_are_counted_from_each_other(totals: Totals) -> None:
    assert new(totals, total(4000, 20), {S: total(3000, 14)}) == 6


def test_a_sender_that_began_again_is_counted_from_nothing(totals: Totals) -> None:
    assert new(totals, total(3000, 12, started=2500)) == 12
    assert new(totals, total(3000, 3)) == 3


def test_an_older_total_does_not_replace_a_newer_one(totals: Totals) -> None:
    totals.settle([(S, total(1500, 5))])

    assert new(totals, total(3000, 14)) == 4


def test_what_is_forgotten_is_never_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cumulative, "HELD_BYTES_MAX", 10 * total(0, 1).size)
    totals = Totals(BIRTH)
    totals.settle([(S, total(5000, 10, started=BIRTH))])
    others = [Series(metric=f"m{n}", component="c") for n in range(10)]

    totals.settle([(series, total(4000, 1)) for series in others])

    assert new(totals, total(6000, 11, started=BIRTH)) is None
    assert new(totals, total(6000, 11, started=5000)) == 11
    assert len(totals._last) == 10
