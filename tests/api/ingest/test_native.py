"""Samples in our own form: each is judged alone."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.ingest import limits, native
from api.ingest.intake import REASONS_MAX, Fault, Intake, Window
from api.ingest.native import Batch, Column
from vigia.model import Category, InvalidError, Kind, Sample, Series, time_of

NOW = datetime(2026, 11, 23, tzinfo=UTC)
WINDOW = Window(NOW - timedelta(days=28), NOW + timedelta(minutes=10))
T = NOW.timestamp()


def judge(**fields: Any) -> Intake:
    given_fields: dict[str, Any] = {
        "metric": "m",
        "component": "c",
        "times": [T],
        "values": [1.0],
    }
    return native.check(Batch([Column(**given_fields | fields)]), WINDOW)


def samples(intake: Intake) -> list[Sample]:
    return [
        Sample(column.series, time_of(time), value)
        for column in intake.columns
        for time, value in zip(column.times.tolist(), column.values.tolist(), strict=True)
    ]


def test_a_column_becomes_samples_of_its_series() -> None:
    checked = judge(
        category=Category.TRADING,
        labels={"b": "2", "a": "1"},
        unit="ms",
        kind=Kind.COUNTER,
        resolution=0.5,
        times=[T, "2026-11-23T00:00:01Z", str(int(T) + 2)],
        values=[1, 2.5, -3],
    )

    series = Series(
        metric="m",
        component="c",
        category=Category.TRADING,
        labels=(("a", "1"), ("b", "2")),
        unit="ms",
        kind=Kind.COUNTER,
        resolution=0.5,
    )
    assert samples(checked) == [
        Sample(series, NOW, 1),
        Sample(series, NOW + timedelta(seconds=1), 2.5),
        Sample(series, NOW + timedelta(seconds=2), -3),
    ]
    assert checked.reasons() == []


@pytest.mark.parametrize(
    ("times", "values", "word"),
    [
        ([T], [None], "null"),
        ([T], [1e300], "beyond"),
        ([T], [-1e300], "beyond"),
        ([T + 601], [1], "future"),
        ([T - 29 * 86400], [1], "no longer kept"),
        ([0], [1], "no longer kept"),
        ([-1], [1], "neither"),
        ([1e18], [1], "neither"),
        (["now"], [1], "neither"),
        (["-1h"], [1], "neither"),
        ([""], [1], "neither"),
        (["2026-11-23"], [1], "neither"),
    ],
)
def test_a_sample_that_cannot_be_stored_is_rejected_alone(
    times: list[Any], values: list[Any], word: str
) -> None:
    checked = judge(times=[T, *times], values=[1.0, *values])

    assert len(samples(checked)) == 1
    assert [reason.count for reason in checked.reasons()] == [1]
    assert word in checked.reasons()[0].reason


@pytest.mark.parametrize(
    "fields",
    [
        {"metric": ""},
        {"metric": "1m"},
        {"metric": "a b"},
        {"metric": "a\n"},
        {"metric": "é"},
        {"metric": "a" * 129},
        {"component": ""},
        {"component": "a/b"},
        {"unit": "x" * 33},
        {"unit": "\0"},
        {"labels": {f"l{i}": "" for i in range(31)}},
        {"labels": {"": "x"}},
        {"labels": {"é" * 65: "x"}},
        {"labels": {"l": "é" * 513}},
        {"labels": {"l": "\0"}},
        {"labels": {"l": "a\r\nb"}},
        {"labels": {"\x1b[31m": "x"}},
        {"labels": {"l": "\x9b31m"}},
        {"labels": {"l": "a\u202eb"}},
        {"labels": {"\u2066": "x"}},
        {"resolution": 0.0},
        {"resolution": -1.0},
    ],
)
def test_a_series_that_cannot_be_rejects_its_samples_only(fields: dict[str, Any]) -> None:
    good = Column(metric="m", component="c", times=[T], values=[1.0])
    bad = msgspec.structs.replace(good, times=[T, T + 1], values=[1.0, 2.0], **fields)

    checked = native.check(Batch([bad, good]), WINDOW)

    assert len(samples(checked)) == 1
    assert [reason.count for reason in checked.reasons()] == [2]


def test_longest_names_are_taken() -> None:
    labels = {"é" * 63 + f"{i:02}": "é" * 512 for i in range(30)}

    assert len(judge(metric="a" * 128, component="a.b:c-d_" * 16, labels=labels).columns) == 1


@pytest.mark.parametrize(("times", "values"), [([T], []), ([], [1.0]), ([T, T], [1.0])])
def test_columns_of_different_length_are_refused(times: list[Any], values: list[Any]) -> None:
    with pytest.raises(InvalidError, match=r"series\[0\]"):
        judge(times=times, values=values)


def test_a_batch_has_a_size() -> None:
    with pytest.raises(InvalidError, match="split"):
        judge(times=[T] * (limits.SAMPLES_MAX + 1), values=[1.0] * (limits.SAMPLES_MAX + 1))
    empty = Column(metric="m", component="c", times=[], values=[])
    with pytest.raises(InvalidError, match="split"):
        native.check(Batch([empty] * (limits.SERIES_MAX + 1)), WINDOW)


def test_reasons_are_few_however_many_there_are() -> None:
    checked = Intake()
    for i in range(50):
        checked.reject(Fault("word", f"reason {i}"), 100 - i)

    reasons = checked.reasons()

    assert len(reasons) == REASONS_MAX + 1
    assert sum(reason.count for reason in reasons) == checked.rejected.total()


@given(
    st.lists(st.tuples(st.floats(allow_nan=False) | st.none(), st.floats(-1e12, 1e12)), max_size=20)
)
def test_every_sample_is_either_stored_or_rejected(pairs: list[tuple[float | None, float]]) -> None:
    checked = judge(times=[time for _, time in pairs], values=[value for value, _ in pairs])

    assert len(samples(checked)) + checked.rejected.total() == len(pairs)
    assert all(WINDOW.start <= sample.time <= WINDOW.end for sample in samples(checked))
    assert all(abs(sample.value) <= limits.VALUE_MAX for sample in samples(checked))
