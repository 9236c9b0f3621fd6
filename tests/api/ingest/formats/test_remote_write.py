"""Prometheus' messages become columns; samples that cannot be stored are rejected one by one."""

import math
import struct
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.ingest.admission.parsed_write import AcceptedTimes, ParsedWrite
from api.ingest.formats import remote_write as prometheus
from api.ingest.formats.remote_write import RemoteWriteCache
from model.errors import InvalidError
from model.limits import REQUEST_SAMPLES_MAX
from model.series import Kind, Series
from tests.api.ingest.memory import little_memory
from tests.api.ingest.remote import metadata, part, sample, series, varint

NOW = datetime(2026, 11, 23, tzinfo=UTC)
WINDOW = AcceptedTimes(NOW - timedelta(days=28), NOW + timedelta(minutes=10))
T = int(NOW.timestamp() * 1000)
STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0_0000_0000_0002))[0]
UP = {"__name__": "up", "instance": "a:9090", "job": "node"}
LARGE_BYTES = 30 << 20
NAMED = part(1, part(1, "__name__") + part(2, "m"))
LARGE_LABEL = part(1, part(1, "a") + part(2, b"b" * LARGE_BYTES))
LARGE = {
    "samples": part(1, NAMED + sample(1.5, T) * (LARGE_BYTES // 20)),
    "a label": part(1, NAMED + LARGE_LABEL + sample(1.5, T)),
    "a label behind a sample": part(1, NAMED + sample(1.5, T) + LARGE_LABEL),
    "a family": part(3, part(2, b"n" * LARGE_BYTES) + part(5, b"u" * LARGE_BYTES)),
}
Rows = dict[Series, list[tuple[int, float]]]


def read(*parts: bytes, cache: RemoteWriteCache | None = None) -> ParsedWrite:
    return prometheus.read(b"".join(parts), WINDOW, cache or RemoteWriteCache())


def rows(parsed: ParsedWrite) -> Rows:
    return {
        column.series: list(zip(column.times.tolist(), column.values.tolist(), strict=True))
        for column in parsed.columns
    }


def only(parsed: ParsedWrite) -> Series:
    [column] = parsed.columns
    assert not parsed.rejected
    return column.series


def test_a_series_keeps_its_labels_and_its_job_is_the_component() -> None:
    parsed = read(series(UP, [(1.5, T), (0.0, T + 1), (-2.5, T + 2)]))

    expected = Series(metric="up", component="node", labels=(("instance", "a:9090"),))
    assert rows(parsed) == {
        expected: [(T * 1000, 1.5), (T * 1000 + 1000, 0), (T * 1000 + 2000, -2.5)]
    }
    assert not parsed.rejected


@pytest.mark.parametrize(
    ("job", "component"),
    [("k8s/pods", "k8s_pods"), ("9", "_9"), ("größe", "gr__e"), ("a b", "a_b")],
)
def test_a_job_becomes_a_name_of_ours_and_stays_apart_from_others(job: str, component: str) -> None:
    reported = only(read(series({"__name__": "m", "job": job}, [(1, T)])))

    assert reported == Series(metric="m", component=component, labels=(("job", job),))
    namesake = only(read(series({"__name__": "m", "job": component}, [(1, T)])))
    assert namesake == Series(metric="m", component=component)


def test_a_series_without_a_job_is_of_prometheus() -> None:
    assert only(read(series({"__name__": "m", "job": ""}, [(1, T)]))).component == "prometheus"


def test_a_unit_that_cannot_be_stored_costs_no_sample() -> None:
    for unit in ("u" * 33, "a\nb"):
        reported = only(read(metadata("cpu", 1, unit), series({"__name__": "cpu"}, [(1, T)])))
        assert (reported.kind, reported.unit) == (Kind.COUNTER, "")


def test_labels_without_a_value_are_none() -> None:
    assert only(read(series({"__name__": "m", "zone": ""}, [(1, T)]))).labels == ()


@pytest.mark.parametrize(
    ("metric", "kind"),
    [
        ("a_total", Kind.COUNTER),
        ("a_count", Kind.COUNTER),
        ("a_sum", Kind.COUNTER),
        ("a_bucket", Kind.COUNTER),
        ("a_created", Kind.GAUGE),
        ("total", Kind.GAUGE),
    ],
)
def test_the_ending_of_a_name_tells_counters(metric: str, kind: Kind) -> None:
    assert only(read(series({"__name__": metric}, [(1, T)]))).kind is kind


@pytest.mark.parametrize(
    ("family", "type_", "metric", "kind", "unit"),
    [
        ("cpu", 1, "cpu", Kind.COUNTER, "s"),
        ("cpu", 1, "cpu_total", Kind.COUNTER, "s"),
        ("odd_total", 2, "odd_total", Kind.GAUGE, "s"),
        ("h", 3, "h_bucket", Kind.COUNTER, ""),
        ("h", 3, "h_sum", Kind.COUNTER, "s"),
        ("h", 4, "h_bucket", Kind.GAUGE, ""),
        ("s", 5, "s", Kind.GAUGE, "s"),
        ("s", 5, "s_count", Kind.COUNTER, ""),
        ("x", 0, "x_total", Kind.COUNTER, "s"),
    ],
)
def test_metadata_tells_kinds_and_units(
    family: str, type_: int, metric: str, kind: Kind, unit: str
) -> None:
    cache = RemoteWriteCache()
    line = series({"__name__": metric}, [(1, T)])
    read(line, cache=cache)

    read(metadata(family, type_, "s"), cache=cache)

    reported = only(read(line, cache=cache))
    assert reported.kind is kind
    assert reported.unit == unit


def test_metadata_that_tells_nothing_new_changes_nothing() -> None:
    cache = RemoteWriteCache()
    line = series({"__name__": "cpu"}, [(1, T)])
    first = only(read(metadata("cpu", 1), line, cache=cache))

    assert only(read(metadata("cpu", 1), line, cache=cache)) is first


def test_markers_that_there_is_no_value_are_skipped_and_not_refused() -> None:
    parsed = read(
        series(UP, [(1, T), (STALE, T + 1)]),
        series(UP | {"b": "c"}, [(STALE, T)]),
        series({"__name__": "rpc_seconds", "quantile": "0.5"}, [(math.nan, T)]),
    )

    assert list(rows(parsed).values()) == [[(T * 1000, 1)]]
    assert {fault.word: count for fault, count in parsed.skipped.items()} == {"stale": 2, "nan": 1}
    assert not parsed.rejected


@pytest.mark.parametrize(
    ("value", "time", "word"),
    [
        (1, T + 601_000, "future"),
        (1, T - 29 * 86_400_000, "too_old"),
        (1, 0, "too_old"),
        (1, -1, "too_old"),
        (1, -(2**63), "too_old"),
        (1, 2**63 - 1, "future"),
    ],
)
def test_a_sample_of_another_time_is_refused_alone(value: float, time: int, word: str) -> None:
    parsed = read(series(UP, [(1, T), (value, time), (2, T - 1)]))

    assert list(rows(parsed).values()) == [[(T * 1000, 1), (T * 1000 - 1000, 2)]]
    assert {fault.word: count for fault, count in parsed.rejected.items()} == {word: 1}
    assert parsed.sentence().startswith("1: ")


@pytest.mark.parametrize(
    ("value", "word"), [(math.inf, "infinite"), (-math.inf, "infinite"), (1e300, "too_large")]
)
def test_a_value_beyond_what_is_stored_is_skipped_and_not_refused(value: float, word: str) -> None:
    parsed = read(series({"__name__": "odd"}, [(1, T), (value, T), (2, T - 1)]))

    assert list(rows(parsed).values()) == [[(T * 1000, 1), (T * 1000 - 1000, 2)]]
    [(fault, count)] = parsed.skipped.items()
    assert (fault.word, count, parsed.examples[fault]) == (word, 1, "odd")
    assert not parsed.rejected


@pytest.mark.parametrize(
    ("labels", "word"),
    [
        ({"job": "x"}, "name"),
        ({"__name__": ""}, "name"),
        ({"__name__": "m", "": "x"}, "label_name"),
    ],
)
def test_a_series_that_the_protocol_calls_invalid_is_refused_alone(
    labels: dict[str, str], word: str
) -> None:
    cache = RemoteWriteCache()
    for _ in range(2):
        parsed = read(series(labels, [(1, T), (2, T)]), series(UP, [(1, T)]), cache=cache)

        assert len(parsed.columns) == 1
        assert {fault.word: count for fault, count in parsed.rejected.items()} == {word: 2}


@pytest.mark.parametrize(
    ("labels", "word"),
    [
        ({"__name__": "m" * 129}, "name"),
        ({"__name__": "m\nn"}, "name"),
        ({"__name__": "m", "job": "a\nb"}, "name"),
        ({"__name__": "m", "l": "one\ntwo"}, "label_value"),
        ({"__name__": "m"} | {f"l{n}": "x" for n in range(31)}, "labels"),
        ({"__name__": "m", "l": "x" * 1025}, "label_value"),
        ({"__name__": "m", "l": "ä" * 513}, "label_value"),
        ({"__name__": "m", "l": "\x00"}, "label_value"),
        ({"__name__": "m", "l" * 129: "x"}, "label_name"),
        ({"__name__": "m", "l": "x" * 70_000}, "labels"),
    ],
)
def test_a_series_beyond_a_limit_is_skipped_alone(labels: dict[str, str], word: str) -> None:
    cache = RemoteWriteCache()
    for _ in range(2):
        parsed = read(series(labels, [(1, T), (2, T)]), series(UP, [(1, T)]), cache=cache)

        assert len(parsed.columns) == 1
        assert {fault.word: count for fault, count in parsed.skipped.items()} == {word: 2}


def test_the_limits_themselves_are_allowed() -> None:
    labels = {"__name__": "m" * 128, "l" * 128: "x" * 1024} | {f"{n:02}": "x" for n in range(29)}

    assert len(only(read(series(labels, [(1, T)]))).labels) == 30


def test_a_series_whose_labels_are_too_long_for_an_index_is_skipped() -> None:
    labels = {"__name__": "m"} | {f"{n:02}": "x" * 1024 for n in range(2)}

    skipped = read(series(labels, [(1, T)]), series(UP, [(1, T)]))
    assert [fault.word for fault in skipped.skipped] == ["labels"]
    assert len(skipped.columns) == 1


def test_a_bad_series_without_samples_is_no_reason_to_refuse() -> None:
    assert not read(series({}, []), series(UP, [])).rejected


def test_a_label_that_is_no_text_or_is_there_twice_is_refused() -> None:
    name = part(1, part(1, "__name__") + part(2, "m"))
    bad = part(1, part(1, "l") + part(2, b"\xff"))
    good = part(1, part(1, "l") + part(2, "x"))

    for labels, word in ((name + bad, "label_value"), (name + good + good, "labels")):
        parsed = read(part(1, labels + sample(1, T)))
        assert [fault.word for fault in parsed.rejected] == [word]


def test_native_histograms_are_refused_and_the_samples_beside_them_are_not() -> None:
    labels = part(1, part(1, "__name__") + part(2, "m"))

    parsed = read(part(1, labels + sample(1, T) + part(4, b"\x08\x01")))

    assert list(rows(parsed).values()) == [[(T * 1000, 1)]]
    assert [(fault.word, count) for fault, count in parsed.rejected.items()] == [
        ("native_histogram", 1)
    ]


def test_a_request_has_a_most_of_samples() -> None:
    one = series(UP, [(1, T)])

    assert len(read(one * REQUEST_SAMPLES_MAX).columns) == REQUEST_SAMPLES_MAX
    with pytest.raises(InvalidError, match="max_samples_per_send"):
        read(one * (REQUEST_SAMPLES_MAX + 1))
    with pytest.raises(InvalidError, match="too many fields"):
        read(b"\x0a\x00" * 600_000)


text = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=20)
some_labels = st.dictionaries(text.filter(lambda name: name != "job"), text, max_size=4)
some_samples = st.lists(
    st.tuples(st.floats(-1e100, 1e100) | st.just(0.0), st.integers(T - 10_000_000, T + 500_000)),
    max_size=5,
)


@given(st.lists(st.tuples(some_labels, some_samples), max_size=5), st.booleans(), st.data())
def test_every_way_to_write_a_message_means_the_same(
    given_series: list[tuple[dict[str, str], list[tuple[float, int]]]],
    known_before: bool,
    data: st.DataObject,
) -> None:
    """Fields in another order, longer numbers, and fields that nobody knows."""
    cache = RemoteWriteCache()
    usual, other = [], []
    for labels, samples in given_series:
        reported = {"__name__": "m", **labels}
        usual.append(series(reported, samples))
        parts = [part(1, part(2, value) + part(1, name)) for name, value in reported.items()]
        parts += [sample(*each, swapped=True) for each in samples]
        parts += [part(3, b"an exemplar"), b"\x78\x05", b"\x8d\x01abcd", part(200, b"")]
        other.append(part(1, b"".join(data.draw(st.permutations(parts)))))
    if known_before:
        read(*usual, cache=cache)

    expected, found = rows(read(*usual, cache=cache)), rows(read(*other, cache=cache))

    assert {s: sorted(v) for s, v in found.items()} == {s: sorted(v) for s, v in expected.items()}


@pytest.mark.parametrize("what", LARGE)
def test_a_large_part_is_read_where_it_lies(what: str) -> None:
    body, cache = LARGE[what], RemoteWriteCache()

    with little_memory(16 << 20), suppress(InvalidError):
        parsed = prometheus.read(body, WINDOW, cache)
        assert parsed.columns == []
    assert cache.kind("n" * LARGE_BYTES) == (Kind.GAUGE, "")


def test_labels_and_names_are_too_long_from_the_first_byte_on() -> None:
    most = {"__name__": "m", "a": "b" * (prometheus.LABELS_BYTES_MAX - 30)}
    for size in range(40):
        labels = most | {"a": most["a"] + "b" * size}
        reported = len(series(labels, [])) - 4
        skipped = read(series(labels, [(1, T)])).skipped
        assert (prometheus.LONG in skipped) == (reported > prometheus.LABELS_BYTES_MAX), reported
    for chars in (256, 257):
        cache = RemoteWriteCache()
        read(metadata("😀" * chars, 1), cache=cache)
        assert cache.kind("😀" * chars)[0] is (Kind.COUNTER if chars == 256 else Kind.GAUGE)


VALID = b"".join([
    series(UP, [(1, T)]),
    series({"__name__": "a_total", "code": "200"}, [(0, T), (5e-324, T - 15_000)]),
    metadata("a", 1, "s"),
    series({"__name__": "long", "l": "x" * 300}, [(STALE, T)]),
])  # fmt: skip


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        read(body)
    except InvalidError as error:
        refused = str(error)
        assert refused


@given(st.integers(0, len(VALID) - 1), st.integers(0, 255), st.integers(0, len(VALID)))
def test_a_damaged_message_is_read_or_refused(at: int, byte: int, length: int) -> None:
    damaged = bytearray(VALID)
    damaged[at] = byte
    cache = RemoteWriteCache()
    read(VALID, cache=cache)
    for body in (bytes(damaged), bytes(damaged[:length]), VALID[length:]):
        try:
            parsed = read(body, cache=cache)
        except InvalidError:
            continue
        for column in parsed.columns:
            assert len(column.times) == len(column.values) > 0


@pytest.mark.parametrize(
    "body",
    [
        b"\x0a",
        b"\x0a\x05abc",
        b"\x0b",
        b"\x0f",
        b"\x80" * 11,
        b"\x09abc",
        b"\x0d\x00",
        part(1, part(1, b"\x0a\xff\xff\xff\xff\x0f")),
        b"\x0a" + varint(2**63) + b"abc",
    ],
)
def test_an_invalid_message_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidError, match="protobuf"):
        read(body)
