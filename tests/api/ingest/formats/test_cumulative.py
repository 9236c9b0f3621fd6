"""What is new in a running total is told once, whatever comes late, twice or after a restart.

A counter's start is stored as a sample of 0.
"""

import numpy as np
import pytest

from api.ingest.admission.parsed_write import FlatSamples
from api.ingest.formats import cumulative
from api.ingest.formats.cumulative import BEFORE_US, StartTimes, Total, Totals
from api.ingest.formats.histograms import Buckets
from model.series import Column, Kind, Series

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
    made.note_stored([(S, total(2000, 10))])
    return made


def test_a_first_total_that_began_before_is_only_where_to_count_from() -> None:
    assert new(Totals(BIRTH), total(2000, 10, started=BIRTH - 1)) is None
    assert new(Totals(BIRTH), total(2000, 10)) is None


def test_a_first_total_of_a_sender_that_began_since_is_all_new() -> None:
    assert new(Totals(BIRTH), total(2000, 10, started=BIRTH)) == 10


def test_the_next_total_is_counted_from_the_one_before(totals: Totals) -> None:
    assert new(totals, total(3000, 14)) == 4
    assert new(totals, total(3000, 10)) == 0


def test_a_difference_that_was_not_stored_is_computed_again(totals: Totals) -> None:
    assert new(totals, total(3000, 14)) == 4
    assert new(totals, total(3000, 14)) == 4

    totals.note_stored([(S, total(3000, 14))])

    assert new(totals, total(3000, 14)) is None
    assert new(totals, total(2500, 12)) is None
    assert new(totals, total(4000, 15)) == 1


def test_totals_of_one_request_are_counted_from_each_other(totals: Totals) -> None:
    assert new(totals, total(4000, 20), {S: total(3000, 14)}) == 6


def test_a_sender_that_began_again_is_counted_from_nothing(totals: Totals) -> None:
    assert new(totals, total(3000, 12, started=2500)) == 12
    assert new(totals, total(3000, 3)) == 3


def test_a_stream_whose_start_nobody_knows_is_counted_from_its_first_total(
    totals: Totals,
) -> None:
    assert new(totals, total(3000, 14, started=2000)) == 4


def test_an_older_total_does_not_replace_a_newer_one(totals: Totals) -> None:
    totals.note_stored([(S, total(1500, 5))])

    assert new(totals, total(3000, 14)) == 4


def test_a_forgotten_total_is_never_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cumulative, "HELD_BYTES_MAX", 10 * total(0, 1).size)
    totals = Totals(BIRTH)
    totals.note_stored([(S, total(5000, 10, started=BIRTH))])
    others = [Series(metric=f"m{n}", component="c") for n in range(10)]

    totals.note_stored([(series, total(4000, 1)) for series in others])

    assert new(totals, total(6000, 11, started=BIRTH)) is None
    assert new(totals, total(6000, 11, started=5000)) == 11
    assert len(totals._last) == 10


A, B = (Series(metric=name, component="c", kind=Kind.COUNTER) for name in "ab")
NOW = 2 * BEFORE_US


def zeros(known: StartTimes, *points: tuple[Series, int, int]) -> list[Column]:
    """Return the zeros of samples: the series of each, since when it counts, and its time."""
    series = list(dict.fromkeys(each for each, _, _ in points))
    ordered = [point for one in series for point in points if point[0] == one]
    counts = [sum(each == one for each, _, _ in points) for one in series]
    times = np.array([time for _, _, time in ordered], np.int64)
    starts = np.array([start for _, start, _ in ordered], np.int64)
    samples = FlatSamples(series, counts, times, np.ones(len(times)))
    return known.zeros(samples, starts, np.ones(len(times), bool))


def shown(columns: list[Column]) -> dict[Series, list[int]]:
    assert not any(column.values.any() for column in columns)
    return {column.series: column.times.tolist() for column in columns}


def test_each_start_is_a_zero_until_it_is_stored() -> None:
    known = StartTimes(NOW)
    points = [(A, NOW, NOW + 5), (B, NOW + 1, NOW + 5), (A, NOW, NOW + 7), (A, NOW + 8, NOW + 9)]

    found = zeros(known, *points)

    assert shown(found) == {A: [NOW, NOW + 8], B: [NOW + 1]}
    assert shown(zeros(known, *points)) == shown(found)
    known.note_stored(found)
    assert zeros(known, *points) == []
    assert shown(zeros(known, (B, NOW + 8, NOW + 9))) == {B: [NOW + 8]}


@pytest.mark.parametrize("start", [0, NOW - BEFORE_US - 1, NOW + 5, NOW + 6])
def test_a_start_that_is_old_or_unknown_is_no_zero(start: int) -> None:
    assert zeros(StartTimes(NOW), (A, start, NOW + 5)) == []


def test_two_senders_of_one_series_do_not_store_their_starts_in_turns() -> None:
    known = StartTimes(NOW)
    for start in (NOW, NOW + 1):
        known.note_stored(zeros(known, (A, start, NOW + 5)))

    assert zeros(known, (A, NOW, NOW + 6)) == []
    assert zeros(known, (A, NOW + 1, NOW + 6)) == []


def test_few_starts_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cumulative, "START_TIMES_MAX", 1)
    known = StartTimes(NOW)
    known.note_stored(zeros(known, (A, NOW, NOW + 5), (B, NOW, NOW + 5)))

    assert known._newest == {}
