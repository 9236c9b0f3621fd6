"""Rounding to a resolution, and labels in one order."""

import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.series import COMPONENT_UP, HOST_SILENT_SECONDS, SQL_RULE_ROWS, Series, labels_of

ROOT = Path(__file__).parents[2]
NAMED_IN_SQL = re.compile(r"metric (?:=|<>) (?:CASE [\w.]+ WHEN '\w+' THEN )?'(\w+)'")

resolutions = st.integers(-20, 20).map(lambda exponent: 2.0**exponent)
measured = st.floats(-1e12, 1e12)


def series(resolution: float | None) -> Series:
    return Series(metric="server_cpu_percent", component="server", resolution=resolution)


@given(measured, resolutions)
def test_rounding_moves_a_value_by_half_a_step_at_most(value: float, resolution: float) -> None:
    assert abs(series(resolution).round(value) - value) <= resolution / 2


@given(measured, resolutions)
def test_a_rounded_value_is_a_whole_number_of_steps(value: float, resolution: float) -> None:
    steps = series(resolution).round(value) / resolution

    assert steps == math.floor(steps)


@given(measured, resolutions)
def test_rounding_twice_changes_nothing(value: float, resolution: float) -> None:
    once = series(resolution).round(value)

    assert series(resolution).round(once) == once


@given(measured, measured, resolutions)
def test_rounding_keeps_the_order(one: float, other: float, resolution: float) -> None:
    low, high = sorted((one, other))

    assert series(resolution).round(low) <= series(resolution).round(high)


@given(st.floats(allow_nan=False))
def test_without_a_resolution_a_value_stays_as_it_came(value: float) -> None:
    assert series(None).round(value) == value


@given(st.floats(allow_nan=False, allow_infinity=False), resolutions)
def test_every_finite_value_can_be_rounded(value: float, resolution: float) -> None:
    assert series(resolution).round(value) == pytest.approx(value, abs=resolution)


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_infinity_has_no_nearest_step(value: float) -> None:
    assert series(0.5).round(value) == value


def test_not_a_number_stays_one() -> None:
    assert math.isnan(series(0.5).round(math.nan))


@given(st.dictionaries(st.text(), st.text()))
def test_equal_label_sets_are_equal_labels(pairs: dict[str, str]) -> None:
    turned = dict(reversed(pairs.items()))

    assert labels_of(pairs) == labels_of(turned)
    assert dict(labels_of(pairs)) == pairs


def test_series_with_equal_labels_are_one_key() -> None:
    one = Series(metric="m", component="c", labels=labels_of({"b": "2", "a": "1"}))
    other = Series(metric="m", component="c", labels=labels_of({"a": "1", "b": "2"}))

    assert {one: 1}[other] == 1


def test_sql_knows_by_name_only_metrics_that_the_service_itself_measures() -> None:
    named = {
        name
        for path in ROOT.glob("[a-z]*/**/*.sql")
        if not {"migrations", "node_modules", "bench"} & set(path.parts)
        for name in NAMED_IN_SQL.findall(path.read_text())
    }

    assert named == {COMPONENT_UP, HOST_SILENT_SECONDS, SQL_RULE_ROWS}
