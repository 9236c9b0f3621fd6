"""Names of other protocols are converted, and the results are cached within a limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.ingest.admission.parsed_write import FaultError
from api.ingest.formats.names import ENTRY_BYTES, LARGE_BYTES, Component, Memory, name_of, series_of
from model.series import Kind
from model.text import METRIC_NAME, is_safe


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("http.server.duration", "http.server.duration"),
        ("job:rate-5m", "job:rate-5m"),
        ("a/b c", "a_b_c"),
        ("0x", "_0x"),
        (".hidden", "_.hidden"),
        ("-", "_-"),
        ("日本", "__"),
    ],
)
def test_other_characters_become_underscores(text: str, name: str) -> None:
    assert name_of(text) == name


@given(st.text(min_size=1, max_size=128))
def test_every_name_is_one_of_ours(text: str) -> None:
    try:
        assert METRIC_NAME.fullmatch(name_of(text))
    except FaultError:
        assert len(text) == 128 or not is_safe(text)


@pytest.mark.parametrize("text", ["", "x" * 129, "9" * 128, "x\n", "\x1fx"])
def test_a_name_that_would_be_another_is_refused(text: str) -> None:
    with pytest.raises(FaultError):
        name_of(text)


def test_labels_are_in_one_order_and_empty_ones_are_none() -> None:
    series = series_of(
        "m", Component("c", "job"), {"b": "2", "a": "1", "c": ""}, "ms", Kind.COUNTER
    )

    assert series.labels == (("a", "1"), ("b", "2"))
    assert (series.unit, series.kind) == ("ms", Kind.COUNTER)


def test_values_in_use_stay_in_the_cache_and_others_are_dropped() -> None:
    memory: Memory[int] = Memory(20 * ENTRY_BYTES)
    for n in range(1000):
        memory.put(n, n, 0)
        memory.put("used", 1, 0) if n == 0 else memory.get("used")
        assert len(memory._young) + len(memory._old) <= 24

    assert memory.get("used") == 1
    assert memory.get(999) == 999
    assert memory.get(0) is None


def test_large_values_are_not_cached() -> None:
    memory: Memory[int] = Memory()
    memory.put("large", 1, LARGE_BYTES + 1)
    memory.put("usual", 1, LARGE_BYTES)

    assert memory.get("large") is None
    assert memory.get("usual") == 1

    memory.forget()

    assert memory.get("usual") is None
