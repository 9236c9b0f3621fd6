"""The last hour as one line: peaks are seen, and gaps stay gaps."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from notifications.wording.last_hour import BLOCKS, BLOCKS_MAX, LastHour, text_chart

START = datetime(2026, 3, 1, 2, tzinfo=UTC)


def hour(*values: float | None) -> LastHour:
    return LastHour(start=START, step_s=60, values=values)


def test_higher_values_are_higher_blocks() -> None:
    assert text_chart(hour(*range(8))) == "▁▂▃▄▅▆▇█"


def test_a_gap_stays_a_gap_and_the_ends_are_cut() -> None:
    assert text_chart(hour(None, 1, None, None, 3, None)) == "▁  █"


def test_a_flat_hour_is_low() -> None:
    assert text_chart(hour(5, 5, 5)) == "▁▁▁"


def test_an_hour_of_minutes_fits_and_a_short_peak_is_seen() -> None:
    values = [10.0] * 60
    values[31] = 99.0
    chart = text_chart(hour(*values))
    assert len(chart) == 30
    assert chart.count("█") == 1


def test_an_hour_without_any_value_is_nothing() -> None:
    assert text_chart(hour(None, None)) == text_chart(hour()) == ""


@given(st.lists(st.none() | st.floats(), max_size=400))
def test_whatever_the_values_the_chart_is_short(values: list[float | None]) -> None:
    chart = text_chart(hour(*values))
    assert len(chart) <= BLOCKS_MAX
    assert set(chart) <= {*BLOCKS, " "}
    assert (chart == "") == (hour(*values).known == [])
