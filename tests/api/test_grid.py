"""Buckets: aligned, complete, never too many; and what a refusal advises is then accepted."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import grid
from api.grid import Grid
from api.times import parse_duration
from vigia.model import InvalidError

MOMENTS = st.integers(0, 2**32).map(lambda s: datetime.fromtimestamp(s, UTC))
SPANS = st.integers(1, 20 * 365 * 86400).map(lambda s: timedelta(seconds=s))
STEPS = st.one_of(st.sampled_from(grid.STEPS_S), st.integers(1, 90000))


@given(MOMENTS, SPANS, STEPS)
def test_buckets_are_multiples_of_the_step_and_cover_the_range(
    start: datetime, span: timedelta, step_s: int
) -> None:
    end = start + span

    made = grid.make(start, end, step_s)

    assert made.start % step_s == made.end % step_s == 0
    assert made.start <= start.timestamp() < made.start + step_s
    assert made.end - step_s < end.timestamp() <= made.end
    assert len(made.times) == (made.end - made.start) // step_s


@given(MOMENTS, SPANS, st.integers(2, 11_000), st.sampled_from([1, 60, 300, 3600, 86400]))
def test_auto_is_the_finest_step_of_the_list_with_no_more_points(
    start: datetime, span: timedelta, points: int, finest_s: int
) -> None:
    end = start + span

    made = grid.auto(start, end, points, finest_s)

    assert len(made.times) <= points
    assert made.step_s % finest_s == 0
    finer = [s for s in grid.STEPS_S if s < made.step_s and s % finest_s == 0]
    assert all(len(grid.make(start, end, s).times) > points for s in finer)


@pytest.mark.parametrize("hours", [0, -1])
def test_a_range_must_go_forward(hours: int) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    end = start + timedelta(hours=hours)

    with pytest.raises(InvalidError):
        grid.make(start, end, 60)
    with pytest.raises(InvalidError):
        grid.auto(start, end, 500, 1)


@pytest.mark.parametrize("text", ["0.5", "0.5s", "1.5s", "100.25", "0.1", "auto ", "1ns", "-1m"])
def test_a_step_is_whole_seconds(text: str) -> None:
    with pytest.raises(InvalidError):
        grid.step_of(text)


def test_partial_buckets_begin_with_the_one_that_holds_now() -> None:
    made = Grid(600, 1200, 60)
    at = datetime.fromtimestamp

    assert made.partial_from(at(659, UTC)) == at(600, UTC)
    assert made.partial_from(at(660, UTC)) == at(660, UTC)
    assert made.partial_from(at(1199, UTC)) == at(1140, UTC)
    assert made.partial_from(at(1200, UTC)) is None
    assert made.partial_from(at(0, UTC)) == at(600, UTC)


@given(MOMENTS, SPANS, STEPS, st.integers(0, 1000), st.integers(1, 7))
def test_what_passes_is_within_every_limit_and_advice_passes(
    start: datetime, span: timedelta, step_s: int, series: int, columns: int
) -> None:
    made = grid.make(start, start + span, step_s)
    tier = next(
        (name for name, width in reversed(grid.TIER_WIDTHS_S.items()) if step_s % width == 0), "raw"
    )

    problem = ""
    try:
        grid.check(made, tier, 15, series, columns)
    except InvalidError as refusal:
        problem = str(refusal)

    if advised := re.search(r"step that fits is (\w+)", problem):
        made = grid.make(start, start + span, int(parse_duration(advised[1])))
        assert made.step_s > step_s
    if advised or not problem:
        assert len(made.times) <= grid.POINTS_MAX
        assert len(made.times) * series * columns <= grid.CELLS_MAX
    else:
        assert "shorter range" in problem
