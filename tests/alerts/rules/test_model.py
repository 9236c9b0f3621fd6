"""The limits of rules agree with those of the tables and of health."""

import re
from pathlib import Path

import msgspec
import pytest

from alerts.rules.model import OFFSET_S_MAX, WINDOW_S_MAX, Rule
from alerts.sql_rules import query
from db import schema
from health.watched import REMEMBERED
from model.limits import VALUE_MAX
from model.rows import ROWS_MAX

DATABASE = Path(schema.__file__).parent
BOUNDS = r"CONSTRAINT alert_rules_{0}_check CHECK \(\(\({0} >= (\d+)\) AND \({0} <= (\d+)\)\)\)"


def bounds(column: str) -> tuple[int, ...]:
    found = re.search(BOUNDS.format(column), (DATABASE / "schema.sql").read_text())
    assert found is not None
    return tuple(map(int, found.groups()))


def test_the_table_takes_every_window_that_a_rule_may_have() -> None:
    assert bounds("window_s") == (1, WINDOW_S_MAX)


@pytest.mark.parametrize(("count", "is_good"), [(-1, False), (0, True), (100, True), (101, False)])
def test_the_table_takes_every_flap_count_that_a_rule_may_have(count: int, is_good: bool) -> None:
    wanted = {"name": "r", "metric": "m", "levels": {"warning": 1}, "flap_count": count}
    low, high = bounds("flap_count")

    assert (low <= count <= high) is is_good
    if is_good:
        assert msgspec.convert(wanted, Rule).flap_count == count
    else:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wanted, Rule)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_limit_is_a_value_that_can_be_stored(sign: int) -> None:
    wanted = {"name": "r", "metric": "m", "levels": {"warning": sign * VALUE_MAX}}

    assert msgspec.convert(wanted, Rule).levels == {"warning": sign * VALUE_MAX}
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**wanted, "levels": {"warning": sign * VALUE_MAX * 1.01}}, Rule)


def test_a_removal_is_remembered_for_longer_than_any_rule_looks_back() -> None:
    assert REMEMBERED.total_seconds() > WINDOW_S_MAX + OFFSET_S_MAX


def test_the_database_hands_out_one_row_and_one_character_more_than_an_answer_may_have() -> None:
    """So that too many are seen, and never more of them are sent."""
    routine = (DATABASE / "routines" / "sql_rules.sql").read_text()

    assert f", {query.ROW_CHARS_MAX + 1}) FROM" in routine
    assert f"LIMIT {ROWS_MAX + 1}'" in routine
