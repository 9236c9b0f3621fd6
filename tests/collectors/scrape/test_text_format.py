"""Answers are parsed as the reference parser does, and kept within the limits."""

from datetime import UTC, datetime
from typing import Any

import prometheus_client.openmetrics.parser as openmetrics
import prometheus_client.parser as prometheus
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, Summary
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from collectors.scrape.text_format import NO_REASON, FormatError, Page, Reader
from model.series import Category, Kind, Sample

SLOT = datetime(2026, 1, 1, tzinfo=UTC)
SLOT_MS = int(SLOT.timestamp() * 1000)

Expected = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read(text: str, *, is_open: bool = False, limit: int = 10_000, **labels: str) -> Page:
    return Reader("node", labels, limit).read(text.encode(), SLOT, is_open=is_open)


def reported(page: Page) -> Expected:
    return {(one.series.metric, one.series.labels): one.value for one in page.samples}


def as_reference(text: str, parser: Any) -> Expected:
    return {
        (one.name, tuple(sorted((k, v) for k, v in one.labels.items() if v))): one.value
        for family in parser.text_string_to_metric_families(text)
        for one in family.samples
    }


def only(page: Page) -> Sample:
    assert not page.skipped
    [sample] = page.samples
    return sample


@pytest.fixture
def registry() -> CollectorRegistry:
    """One of each kind, with labels that need escapes."""
    made = CollectorRegistry()
    Counter("requests", "All.", ["path"], registry=made).labels('a"b\\c} 1').inc(3)
    Gauge("temperature_celsius", "Now.", ["room"], registry=made).labels("é, =1").set(-1.5e-7)
    Histogram("wait_seconds", "Long.", registry=made).observe(0.3)
    Summary("size_bytes", "Large.", registry=made).observe(12)
    Info("build", "What.", registry=made).info({"version": "1.2"})
    return made


def test_the_text_format_is_read_as_the_reference_reads_it(registry: CollectorRegistry) -> None:
    text = generate_latest(registry).decode()

    assert reported(read(text)) == as_reference(text, prometheus)


def test_openmetrics_is_read_as_the_reference_reads_it(registry: CollectorRegistry) -> None:
    text = generate_openmetrics(registry).decode()

    assert reported(read(text, is_open=True)) == as_reference(text, openmetrics)


VALUES = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)


@given(st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), VALUES, max_size=4))
def test_labels_of_any_text_survive(labels: dict[str, str]) -> None:
    made = CollectorRegistry()
    gauge = Gauge("some", "", list(labels), registry=made)
    (gauge.labels(**labels) if labels else gauge).set(1)

    sample = only(read(generate_latest(made).decode()))

    assert dict(sample.series.labels) == labels


@pytest.mark.parametrize("is_open", [False, True])
def test_kinds_follow_the_declared_types(registry: CollectorRegistry, is_open: bool) -> None:
    generate = generate_openmetrics if is_open else generate_latest
    page = read(generate(registry).decode(), is_open=is_open)

    counters = {s.series.metric for s in page.samples if s.series.kind is Kind.COUNTER}
    assert counters == {
        "requests_total",
        *("wait_seconds_bucket", "wait_seconds_count", "wait_seconds_sum"),
        *("size_bytes_count", "size_bytes_sum"),
    }


def test_the_kind_of_an_undeclared_metric_follows_its_name() -> None:
    page = read("sent_total 1\nopen_files 2\n")

    assert [s.series.kind for s in page.samples] == [Kind.COUNTER, Kind.GAUGE]


def test_a_type_that_changes_changes_the_kind() -> None:
    reader = Reader("node", {}, 10)
    for kind in (Kind.COUNTER, Kind.GAUGE):
        body = f"# TYPE jobs {kind}\njobs 1\n".encode()
        assert only(reader.read(body, SLOT, is_open=False)).series.kind is kind


def test_a_series_has_its_declared_unit_and_no_resolution() -> None:
    page = read("# TYPE a gauge\n# UNIT a_usd usd\na_usd 0.1\nb_seconds 0.1\n# EOF\n", is_open=True)

    first, second = (sample.series for sample in page.samples)
    assert (first.unit, second.unit) == ("usd", "seconds")
    assert {first.resolution, second.resolution} == {None}
    assert (first.component, first.category) == ("node", Category.EXTERNAL)


def test_the_unit_of_a_family_is_that_of_its_sum_and_not_of_its_count() -> None:
    text = (
        "# TYPE h histogram\n# UNIT h seconds\n"
        'h_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n'
        "# TYPE s summary\n# UNIT s bytes\n"
        's{quantile="0.5"} 1\ns_sum 1\ns_count 1\n'
        "# TYPE g gaugehistogram\n# UNIT g seconds\n"
        'g_bucket{le="+Inf"} 1\ng_gsum 1\ng_gcount 1\n'
        "# TYPE c counter\n# UNIT c usd\nc_total 1\n"
        "# TYPE odd_sum gauge\n# UNIT odd_sum usd\nodd_sum 1\n# EOF\n"
    )

    units = {one.series.metric: one.series.unit for one in read(text, is_open=True).samples}

    assert units == {
        "h_bucket": "", "h_sum": "seconds", "h_count": "",
        "s": "bytes", "s_sum": "bytes", "s_count": "",
        "g_bucket": "", "g_gsum": "seconds", "g_gcount": "",
        "c_total": "usd", "odd_sum": "usd",
    }  # fmt: skip


@pytest.mark.parametrize("is_open", [True, False])
def test_a_backslash_before_any_other_character_stands_for_itself(*, is_open: bool) -> None:
    line = r'a{path="C:\foo\bar",quote="\"",two="\\n"} 1' + "\n# EOF\n"
    parser = openmetrics if is_open else prometheus
    [family] = parser.text_string_to_metric_families(f"# TYPE a gauge\n{line}")
    [theirs] = family.samples

    assert dict(only(read(line, is_open=is_open)).series.labels) == theirs.labels
    assert theirs.labels == {"path": r"C:\foo\bar", "quote": '"', "two": r"\n"}


def test_labels_of_the_target_are_added_and_conflicting_ones_are_renamed() -> None:
    sample = only(read('up_to{dc="theirs",x="1",empty=""} 1', dc="ours", job="node"))

    assert dict(sample.series.labels) == {
        "dc": "ours",
        "exported_dc": "theirs",
        "job": "node",
        "x": "1",
    }


def test_a_timestamp_far_from_the_slot_is_skipped() -> None:
    page = read(
        f"near 1 {SLOT_MS - 60_000}\nold 1 {SLOT_MS - 3_601_000}\n"
        f"ahead 1 {SLOT_MS + 601_000}\nmad 1 1e300\n"
    )

    [sample] = page.samples
    assert (SLOT - sample.time).total_seconds() == 60
    assert page.skipped.total() == 3
    assert only(read(f"a 1 {SLOT_MS / 1000}\n# EOF\n", is_open=True)).time == SLOT


def test_nan_values_and_vigias_own_metrics_are_skipped() -> None:
    page = read('a NaN\nb +Inf\nc -Inf\nd 1e200\ncomponent_up{component="x"} 0\ne 1\n')

    assert [sample.series.metric for sample in page.samples] == ["e"]
    assert page.skipped.total() == 5
    assert page.skipped[NO_REASON] == 2


def test_an_exemplar_is_not_part_of_the_value() -> None:
    text = 'a_bucket{le="1"} 3 # {trace="x # y"} 0.5 1.5\n# EOF\n'

    assert only(read(text, is_open=True)).value == 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<html>\n", "line 1 is not a sample"),
        ("a 1\nb\n", "line 2 is not a sample"),
        ("a1\n", "line 1 is not a sample"),
        ('a{x="1} 1\n', "line 1 is not a sample"),
        ('a{x="1" y="2"} 1\n', "line 1 has labels"),
        ('a{x="1",x="2"} 1\n', "line 1 has labels"),
        ('a{"x.y"="1"} 1\n', "line 1 has labels"),
        ("a one\n", "line 1 has a value"),
        ("a 1 1.1.1\n", "line 1 has a value"),
        ("a 1\nb 1\nc 1\nd 1\n", "more than 3 samples"),
        ("a 1\n" * 4, "more than 3 samples"),
        ("a \udcff", "not UTF-8"),
    ],
)
def test_an_answer_in_another_format_is_refused_as_a_whole(text: str, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        Reader("node", {}, 3).read(text.encode(errors="surrogateescape"), SLOT, is_open=False)


def test_a_truncated_answer_is_refused() -> None:
    with pytest.raises(FormatError, match="does not end with # EOF"):
        read("a 1\nb 1", is_open=True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f'a{{x="{"v" * 1025}"}} 1', "more than 1024 bytes"),
        ('a{x="one\\ntwo"} 1', "control characters"),
        (f'a{{{"x" * 129}="v"}} 1', "more than 128 bytes"),
        ("a{" + ",".join(f'l{n}="v"' for n in range(31)) + "} 1", "more than 30 labels"),
        (f"{'a' * 129} 1", "more than 128 characters"),
    ],
)
def test_a_series_beyond_a_limit_loses_only_its_own_samples(text: str, reason: str) -> None:
    page = read(f"{text}\nwell 1\n")

    assert [sample.series.metric for sample in page.samples] == ["well"]
    [(said, count)] = page.skipped.items()
    assert reason in said
    assert count == 1


def test_an_unclosed_quote_does_not_slow_the_parser_down() -> None:
    text = "a{" + 'x="1",' * 20_000 + '"' + "\\\\" * 20_000 + "\n"

    with pytest.raises(FormatError):
        read(text)
