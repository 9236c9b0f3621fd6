"""Samples in the native format: each is checked alone."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.ingest.admission.parsed_write import REASONS_MAX, AcceptedTimes, Fault, ParsedWrite
from api.ingest.formats import native
from api.ingest.formats.native import Batch, Column
from model import limits
from model.errors import InvalidError
from model.series import Category, Kind, Sample, Series, identity_bytes
from model.times import time_of
from tests.api.ingest.memory import little_memory

NOW = datetime(2026, 11, 23, tzinfo=UTC)
WINDOW = AcceptedTimes(NOW - timedelta(days=28), NOW + timedelta(minutes=10))
T = NOW.timestamp()


def judge(**fields: Any) -> ParsedWrite:
    given_fields: dict[str, Any] = {
        "metric": "m",
        "component": "c",
        "times": [T],
        "values": [1.0],
    }
    return native.check([Column(**given_fields | fields)], WINDOW)


def samples(parsed: ParsedWrite) -> list[Sample]:
    return [
        Sample(column.series, time_of(time), value)
        for column in parsed.columns
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
        ([T], [1e300], "larger than"),
        ([T], [-1e300], "larger than"),
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

    checked = native.check([bad, good], WINDOW)

    assert len(samples(checked)) == 1
    assert [reason.count for reason in checked.reasons()] == [2]


def test_longest_names_are_taken() -> None:
    labels = {"é" * 63 + "00": "é" * 512} | {f"{i:02}": "é" * 8 for i in range(1, 29)}
    component = "a.b:c-d_" * 16
    rest = 2000 - identity_bytes(component, labels.items()) - len("29")
    longest = labels | {"29": "x" * rest}

    assert len(judge(metric="a" * 128, component=component, labels=longest).columns) == 1
    refused = judge(component=component, labels=longest | {"29": "x" * (rest + 1)})
    assert [fault.word for fault in refused.rejected] == ["labels"]


@pytest.mark.parametrize(("times", "values"), [([T], []), ([], [1.0]), ([T, T], [1.0])])
def test_columns_of_different_length_are_refused(times: list[Any], values: list[Any]) -> None:
    with pytest.raises(InvalidError, match=r"series\[0\]"):
        judge(times=times, values=values)


def test_a_batch_has_a_size() -> None:
    with pytest.raises(InvalidError, match="split"):
        judge(
            times=[T] * (limits.REQUEST_SAMPLES_MAX + 1),
            values=[1.0] * (limits.REQUEST_SAMPLES_MAX + 1),
        )
    empty = Column(metric="m", component="c", times=[], values=[])
    with pytest.raises(InvalidError, match="split"):
        native.check([empty] * (limits.REQUEST_SERIES_MAX + 1), WINDOW)


def test_reasons_are_few_however_many_there_are() -> None:
    checked = ParsedWrite()
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


EMPTY = b'{"metric":"a","component":"b","times":[],"values":[]}'
HOSTILE = {
    "series": b'{"series":[' + b",".join([EMPTY] * 600_000) + b"]}",
    "numbers": EMPTY.join([b'{"series":[', b"]}"]).replace(
        b"[],", b"[" + b"1," * 7_500_000 + b"1],"
    ),
    "labels": b'{"series":['
    + EMPTY[:-1]
    + b',"labels":{'
    + b",".join(b'"%d":""' % number for number in range(1_000_000))
    + b"}}]}",
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_request_beyond_the_limits_is_refused_before_it_takes_memory(body: bytes) -> None:
    with little_memory(16 << 20), pytest.raises(InvalidError, match="split it"):
        native.read(body, WINDOW)


def test_the_largest_batch_is_taken_though_it_is_read_in_pieces() -> None:
    each = limits.REQUEST_SAMPLES_MAX // limits.REQUEST_SERIES_MAX
    names = [f"l{number:02}" for number in range(limits.LABELS_MAX)]
    column = Column(
        metric="m",
        component="c",
        times=[T + number for number in range(each)],
        values=[1.0] * each,
        labels=dict.fromkeys(names, 'a,"\\'),
        unit=",",
        resolution=1.0,
    )
    batch = Batch([column] * limits.REQUEST_SERIES_MAX)

    checked = native.read(msgspec.json.encode(batch), WINDOW)

    assert sum(len(found.times) for found in checked.columns) == limits.REQUEST_SAMPLES_MAX
    assert checked.columns[-1].series == native.check([column], WINDOW).columns[0].series
    with pytest.raises(InvalidError, match="split it"):
        native.read(msgspec.json.encode(Batch([*batch.series, column])), WINDOW)


def test_a_column_of_a_large_batch_that_cannot_be_read_is_named() -> None:
    column = Column(metric="m", component="c", times=[T] * 20_000, values=[1.0] * 20_000)
    texts = [msgspec.json.encode(column)] * 3
    texts[2] = texts[2].replace(b'"m"', b"7")
    body = b'{"series":[' + b",".join(texts) + b"]}"
    with pytest.raises(InvalidError, match="in series, item 2: "):
        native.read(body, WINDOW)
