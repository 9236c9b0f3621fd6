"""The reference parser reads every exposition, whatever the names, labels and values."""

import shutil
import subprocess
import time
from collections.abc import Sequence
from typing import Any

import msgspec
import prometheus_client.openmetrics.parser as openmetrics
import prometheus_client.parser as prometheus
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from api.exposition.families import Point, number_text
from api.exposition.text import OPENMETRICS, TEXT, Exposition, Form, labels_text

PROMTOOL = shutil.which("promtool")
FORMS = [OPENMETRICS, TEXT]
TIME_MS = 1_767_225_600_123


def point(metric: str, value: float = 1.0, **options: Any) -> Point:
    """A point of component `a`; `labels` as a dict."""
    labels = msgspec.json.encode(options.pop("labels", {})).decode()
    return Point(metric, labels_text(options.pop("component", "a"), labels), value, **options)


def written(points: Sequence[Point], form: Form = OPENMETRICS) -> str:
    made = Exposition()
    made.add(points)
    return made.write(form).decode()


def families(text: str, form: Form = OPENMETRICS) -> list[Metric]:
    parser = openmetrics if form is OPENMETRICS else prometheus
    return list(parser.text_string_to_metric_families(text))


def test_openmetrics_has_types_units_seconds_and_an_end() -> None:
    text = written(
        [
            point("server_cpu_percent", 12.5, unit="percent", time_ms=TIME_MS),
            point("sent_bytes_total", 3, unit="bytes", counts=True, time_ms=TIME_MS),
        ]
    )

    assert text == (
        "# TYPE server_cpu_percent gauge\n"
        "# UNIT server_cpu_percent percent\n"
        "# HELP server_cpu_percent Busy time of all cores since the last slot.\n"
        'server_cpu_percent{component="a"} 12.5 1767225600.123\n'
        "# TYPE sent_bytes counter\n"
        "# UNIT sent_bytes bytes\n"
        'sent_bytes_total{component="a"} 3 1767225600.123\n'
        "# EOF\n"
    )


def test_the_text_format_has_milliseconds_and_whole_names() -> None:
    text = written([point("sent_bytes_total", 3, unit="bytes", counts=True, time_ms=TIME_MS)], TEXT)

    assert text == (
        '# TYPE sent_bytes_total counter\nsent_bytes_total{component="a"} 3 1767225600123\n'
    )


def test_a_point_without_time_is_the_scrapers_to_date() -> None:
    assert 'a{component="a"} 1.0\n' in written([point("a")])


def test_a_counter_keeps_its_name_and_openmetrics_has_none_that_is_not_called_total() -> None:
    points = [point("sent", counts=True), point("got_total", counts=True)]

    assert written(points, TEXT) == (
        '# TYPE sent counter\nsent{component="a"} 1.0\n'
        '# TYPE got_total counter\ngot_total{component="a"} 1.0\n'
    )
    assert written(points) == (
        '# TYPE sent unknown\nsent{component="a"} 1.0\n'
        '# TYPE got counter\ngot_total{component="a"} 1.0\n# EOF\n'
    )


def parts_of(name: str, buckets: dict[str, float], **changes: Any) -> list[Point]:
    """A histogram as it is stored: every bucket, the sum and the count are series of their own."""
    options: dict[str, Any] = {"counts": True, "time_ms": TIME_MS} | changes
    labels = options.pop("labels", {})
    reported = [
        point(f"{name}_bucket", value, labels=labels | {"le": le}, **options)
        for le, value in sorted(buckets.items())
    ]
    count = buckets.get("+Inf", 0.0)
    reported.append(point(f"{name}_count", count, labels=labels, **options))
    return [*reported, point(f"{name}_sum", 1.5, labels=labels, unit="seconds", **options)]


BUCKETS = {"0.1": 1.0, "1": 2.0, "10": 2.0, "+Inf": 3.0}


@pytest.mark.parametrize("form", FORMS)
def test_a_histogram_is_one_again_under_the_names_it_came_with(form: Form) -> None:
    points = [
        *parts_of("http_seconds", BUCKETS, labels={"path": "/"}),
        *parts_of("http_seconds", BUCKETS, labels={"path": "/x"}),
    ]

    text = written(sorted(points, key=lambda one: one.metric), form)

    [family] = families(text, form)
    assert (family.name, family.type) == ("http_seconds", "histogram")
    found = [(one.name, one.labels.get("le"), one.value) for one in family.samples]
    bounds = ["0.1", "1.0", "10.0", "+Inf"] if form.is_open else list(BUCKETS)
    assert found[:6] == [
        *(("http_seconds_bucket", le, n) for le, n in zip(bounds, BUCKETS.values(), strict=True)),
        ("http_seconds_sum", None, 1.5),
        ("http_seconds_count", None, 3),
    ]
    assert len(found) == 12
    assert ("# UNIT http_seconds seconds\n" in text) == form.is_open


@pytest.mark.parametrize(
    "changed",
    [
        parts_of("h", {"1": 2.0}),
        parts_of("h", {"1": 3.0, "+Inf": 2.0}),
        parts_of("h", {"1": 0.5, "+Inf": 2.0}),
        parts_of("h", {"1": -1.0, "+Inf": 2.0}),
        parts_of("h", {"1": 1.0, "1.0": 1.0, "+Inf": 2.0}),
        parts_of("h", {"low": 1.0, "+Inf": 2.0}),
        parts_of("h", {"1": 1.0, "+Inf": 2.0}, counts=False),
        [*parts_of("h", BUCKETS), point("h_bucket", 1.0, counts=True)],
        [*parts_of("h", BUCKETS), point("h")],
        [*parts_of("h", BUCKETS), point("h_count", 1.0, component="b", counts=True)],
        [*parts_of("h", BUCKETS), point("h_sum", 1.0, component="b")],
        [*parts_of("h", BUCKETS)[:-2], *parts_of("h", BUCKETS, time_ms=1)[-2:]],
    ],
)
def test_an_incomplete_histogram_keeps_its_names_and_has_no_type(
    changed: list[Point],
) -> None:
    for form in FORMS:
        text = written(changed, form)
        assert "histogram" not in text
        assert sum(len(family.samples) for family in families(text, form)) == len(changed)
        assert {line.split("{")[0] for line in text.splitlines() if line[0] != "#"} == {
            one.metric for one in changed
        }


@pytest.mark.parametrize("form", FORMS)
def test_a_summary_is_one_again(form: Form) -> None:
    points = [
        point("rpc", 0.25, labels={"quantile": "0.5"}, time_ms=TIME_MS),
        point("rpc", 0.75, labels={"quantile": "1"}, time_ms=TIME_MS - 1000),
        point("rpc_count", 4.0, counts=True, time_ms=TIME_MS),
        point("rpc_sum", 1.5, counts=True, time_ms=TIME_MS),
        point("bare_count", 4.0, counts=True),
        point("bare_sum", 1.5, counts=True),
    ]

    found = {family.name: family for family in families(written(points, form), form)}

    assert {name: family.type for name, family in found.items()} == {
        "rpc": "summary",
        "bare": "summary",
    }
    assert {
        (one.labels.get("quantile"), one.value) for one in found["rpc"].samples if one.name == "rpc"
    } == {("0.5", 0.25), ("1.0" if form.is_open else "1", 0.75)}
    assert written([*points, point("rpc")], form).count("summary") == 1


def test_bounds_are_written_as_openmetrics_demands() -> None:
    numbers = [0.0, 1.0, 0.005, 1e-5, 123456.0, 1e6, 2.5e6, 1e10, 1e100, float("inf"), -0.5]

    assert [number_text(number) for number in numbers] == [
        "0.0", "1.0", "0.005", "1e-05", "123456.0", "1e+06", "2.5e+06", "1e+10", "1e+100",
        "+Inf", "-0.5",
    ]  # fmt: skip


def test_the_name_of_a_label_inside_the_value_of_another_is_no_bound() -> None:
    points = parts_of("h", BUCKETS, labels={"a": 'x,le="9",', "b": "le=", "c": "\\"})

    [family] = families(written(points))

    assert family.type == "histogram"
    assert {one.labels["a"] for one in family.samples} == {'x,le="9",'}


def test_names_and_labels_are_made_to_fit() -> None:
    text = written([point("http.server-time:ms", labels={"http.route": "/", "9": "x", "__a": "y"})])

    assert 'http_server_time_ms{component="a",key_9="x",key__a="y",http_route="/"} 1.0' in text
    assert "# HELP http_server_time_ms http.server-time:ms in Vigia.\n" in text


def test_a_unit_that_the_name_does_not_say_is_in_the_help() -> None:
    text = written([point("trading_pnl_24h", unit="usd")])

    assert "# UNIT" not in text
    assert (
        "# HELP trading_pnl_24h The sum of their pnl; 0 where nothing was realised. In usd.\n"
        in text
    )


def test_a_label_called_component_makes_room_and_labels_that_meet_share() -> None:
    text = written([point("m", labels={"component": "theirs", "a.b": "1", "a-b": "2"})])

    assert 'm{component="a",a_b="2;1",exported_component="theirs"} 1.0' in text


def test_an_empty_label_is_none() -> None:
    assert 'm{component="a"} 1.0' in written([point("m", labels={"x": ""})])


@pytest.mark.parametrize("form", FORMS)
def test_series_that_become_the_same_are_one_and_the_newest_counts(form: Form) -> None:
    made = Exposition()
    made.add([point("a.b", 1, time_ms=1), point("a-b", 2, time_ms=3), point("a_b", 3, time_ms=2)])

    [family] = families(made.write(form).decode(), form)

    assert [sample.value for sample in family.samples] == [2]
    assert made.merged == 2


def test_a_family_of_two_kinds_has_no_type() -> None:
    points = [point("a_total", counts=True), point("a_total", component="b")]

    assert "# TYPE a_total unknown\n" in written(points)
    assert "# TYPE a_total untyped\n" in written(points, TEXT)


@pytest.mark.parametrize("other", ["sent", "sent_created", "sent_created_total"])
def test_a_counter_whose_names_others_have_is_no_counter_of_openmetrics(other: str) -> None:
    points = [point("sent_total", counts=True), point(other, component="b")]

    assert {family.name for family in families(written(points))} == {"sent_total", other}
    assert "# TYPE sent_total counter\n" in written(points, TEXT)


def test_a_counter_that_fell_below_zero_is_none() -> None:
    assert "# TYPE sent_total unknown\n" in written([point("sent_total", -1, counts=True)])


def test_a_unit_on_which_series_differ_is_not_said() -> None:
    points = [point("a_ms", unit="ms"), point("a_ms", unit="s", component="b")]

    assert "# UNIT" not in written(points)


NAMES = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,12}(_total|_created|_ms)?", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
LABELS = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), TEXTS)
BOUNDS = st.sampled_from([{}, {"le": "+Inf"}, {"le": "1"}, {"quantile": "0.5"}])
POINTS = st.lists(
    st.builds(
        point,
        st.one_of(
            NAMES,
            st.sampled_from(["a", "a_total", "a.total", "a_created", "a_ms"]),
            st.sampled_from(["a_bucket", "a_count", "a_sum", "a_count_total"]),
        ),
        st.one_of(st.floats(-1e150, 1e150), st.sampled_from([0.0, 1.0, 2.0])),
        labels=st.one_of(LABELS, BOUNDS),
        component=st.one_of(NAMES, st.just("a")),
        time_ms=st.one_of(st.none(), st.integers(1, 2**42)),
        counts=st.booleans(),
        unit=st.sampled_from(["", "ms", "usd", "%"]),
        help=TEXTS,
    ),
    max_size=8,
)


@pytest.mark.parametrize("form", FORMS)
@given(POINTS)
def test_every_exposition_can_be_read_back(form: Form, points: list[Point]) -> None:
    made = Exposition()
    made.add(points)

    read = families(made.write(form).decode(), form)

    assert sum(len(family.samples) for family in read) == len(points) - made.merged
    values = {one.value for one in points}
    for family in read:
        for sample in family.samples:
            assert sample.value in values
            assert "component" in sample.labels


def check_metrics(text: str) -> subprocess.CompletedProcess[str]:
    assert PROMTOOL is not None
    return subprocess.run(
        [PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )


def test_promtool_reads_it() -> None:
    if PROMTOOL is None:
        pytest.skip("promtool is not installed")
    labels = {"a": 'q"uote', "b": "back\\slash", "c": "new\nline", "d": "é"}
    points = [point("a.b", labels=labels, help='say "it"\n\\'), point("c", counts=True)]

    checked = check_metrics(written(points, TEXT))

    # 3 is for names it finds bad; 1 is for what cannot be read.
    assert checked.returncode in {0, 3}, checked.stderr
    assert check_metrics("a{ 1\n").returncode == 1


class Reference:
    """The same samples, written by the reference library."""

    def __init__(self, rows: Sequence[tuple[str, dict[str, str], float]]) -> None:
        self._rows = rows

    def collect(self) -> Any:
        found: dict[str, GaugeMetricFamily] = {}
        for metric, labels, value in self._rows:
            if metric not in found:
                found[metric] = GaugeMetricFamily(metric, "", labels=["component", *labels])
            found[metric].add_metric(["a", *labels.values()], value)
        return found.values()


def cpu_s_of(work: Any) -> float:
    """Return what the quickest of some runs takes."""
    spent = []
    for _ in range(7):
        before_s = time.process_time()
        work()
        spent.append(time.process_time() - before_s)
    return min(spent)


def test_ten_thousand_series_are_written_faster_than_by_the_reference() -> None:
    rows = [
        (f"metric_{n % 100}_bytes", {"core": str(n // 100), "host": "web1"}, n * 1.1)
        for n in range(10_000)
    ]
    texts = [
        (metric, msgspec.json.encode(labels).decode(), value) for metric, labels, value in rows
    ]
    registry = CollectorRegistry()
    registry.register(Reference(rows))

    def ours() -> None:
        written([Point(m, labels_text("a", text), value, TIME_MS) for m, text, value in texts])

    assert cpu_s_of(ours) < 0.6 * cpu_s_of(lambda: generate_latest(registry))
