"""History queries are parsed, or refused with what to change."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from history import query as history_query
from history.query import HistoryQuery, Pattern, RawParameters
from history.reader import AGGREGATES, Selector
from model.errors import InvalidError

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
LISTS = {"metric", "agg", "group_by", "compare"}


def ask(**query: Any) -> HistoryQuery:
    """Parse parameters as they stand in an address: a name may be given several times."""
    given = {"metric": "m", **query}
    lists = {name: v if isinstance(v, list) else [str(v)] for name, v in given.items()}
    defaults: dict[str, Any] = {
        "component": None,
        "start": "-1h",
        "end": "now",
        "step": "auto",
        "points": 500,
        "agg": None,
        "group_by": None,
        "fill": "null",
        "compare": None,
        "tz": "UTC",
        "format": "json",
    }
    known = {
        name: values if name in LISTS else values[0]
        for name, values in lists.items()
        if name in defaults or name == "metric"
    }
    return history_query.parse(RawParameters(**(defaults | known)), lists, NOW)


def refusal(**query: Any) -> str:
    with pytest.raises(InvalidError) as caught:
        ask(**query)
    return str(caught.value)


def test_the_default_query_is_the_average_of_the_last_hour() -> None:
    asked = ask()

    assert (asked.start, asked.end) == (NOW - timedelta(hours=1), NOW)
    assert (asked.metrics, asked.component, asked.selectors, asked.patterns) == (
        ["m"], None, [], []
    )  # fmt: skip
    assert (asked.aggregates, asked.step_s, asked.is_raw) == (["avg"], None, False)
    assert (asked.group_by, asked.fill, asked.compare) == (None, "null", {})
    assert (asked.zone, asked.format) == (ZoneInfo("UTC"), "json")


def test_lists_are_given_repeatedly_or_with_commas_or_both() -> None:
    asked = ask(
        metric=["b", "a", "b"],
        agg=["avg,max", "p95", "max"],
        group_by=["host,disk", "host"],
        compare=["1d,7d", "1.5d"],
    )

    assert asked.metrics == ["b", "a"]
    assert asked.aggregates == ["avg", "max", "p95"]
    assert asked.group_by == ["host", "disk"]
    assert asked.compare == {"1d": 86400, "7d": 7 * 86400, "1.5d": 129600}


@pytest.mark.parametrize("name", AGGREGATES)
def test_every_aggregate_can_be_asked_for(name: str) -> None:
    assert ask(agg=name).aggregates == [name]


@pytest.mark.parametrize("name", ["first", "last"])
def test_a_group_has_no_first_and_no_last_value(name: str) -> None:
    assert "leave out group_by" in refusal(agg=f"avg,{name}", group_by="host")
    assert "leave out group_by" in refusal(agg=name, group_by="")


def test_a_group_by_nothing_is_one_of_all_series() -> None:
    assert ask(group_by="").group_by == []
    assert ask(group_by=["", "a,,b"]).group_by == ["a", "b"]


def test_labels_are_chosen_by_equality_and_by_pattern_and_by_their_opposites() -> None:
    asked = ask(
        **{
            "label.a": ["x", "~x.*"],
            "label.b!": ["y", "~y+"],
            "label.c": "",
            "label.d": "~",
        }
    )

    assert asked.selectors == [
        Selector("a", ["x"]),
        Selector("b", ["y"], negated=True),
        Selector("c", [""]),
    ]
    assert [(p.label, p.regex.pattern, p.negated) for p in asked.patterns] == [
        ("a", "x.*", False), ("b", "y+", True), ("d", "", False)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "matching"),
    [
        ("x", ["x"]),
        ("x.*", ["x", "xy"]),
        ("", [""]),
        ("x|", ["x", ""]),
        ("(?i)É", ["é"]),
        (".", ["x", "é"]),
        ("[^x]*", ["", "é"]),
        ("x$|^xy", ["x", "xy"]),
    ],
)
def test_a_pattern_matches_whole_values(pattern: str, matching: list[str]) -> None:
    [found] = ask(**{"label.a": f"~{pattern}"}).patterns

    assert found.select(["x", "xy", "", "é"], time.thread_time() + 1) == Selector("a", matching)


@pytest.mark.parametrize(
    ("pattern", "word"),
    [
        ("(", "missing )"),
        ("[z-a]", "z-a"),
        (r"(a)\1", r"\1"),
        ("(?=a)b", "(?="),
        ("(?<!a)b", "(?<"),
        ("(a{1000}){1000}", "repetition"),
        (r"\pL{300}\pN{300}", "too large"),
        ("*", "*"),
        ("\\", "\\"),
        ("a" * 500, "500 characters"),
    ],
)
def test_an_invalid_or_too_costly_pattern_is_refused(pattern: str, word: str) -> None:
    assert word in refusal(**{"label.a": f"~{pattern}"})


def test_patterns_share_one_length() -> None:
    assert len(ask(**{f"label.{i}": "~" + "a" * 48 for i in range(10)}).patterns) == 10
    assert "together" in refusal(**{f"label.{i}": "~" + "a" * 50 for i in range(10)})


HEAVY = [
    "(a+)+$",
    "(a|aa)+$",
    "(a|a?)+$",
    "(.*a){20}",
    "([a-z]+)*[A-Z]",
    "(((a*)*)*)*b",
    "[ab]*a[ab]{300}",
    "(x+x+)+y",
    r"(a|b|c|\pL)*" * 30,
    "a?" * 150 + "a" * 150,
]


@pytest.mark.parametrize("pattern", HEAVY)
def test_a_pattern_that_stops_others_is_matched_in_no_time(pattern: str) -> None:
    """Long values that almost match, as many as can be held against it in its time, or refused."""
    values = [f"{'a' * 1000}!{i}" for i in range(300)]
    began = time.thread_time()

    [found] = ask(**{"label.a": f"~{pattern}"}).patterns
    compiled = time.thread_time()
    try:
        selector = found.select(values, compiled + history_query.MATCHING_S)
    except InvalidError as refused:
        assert "simplify it" in str(refused)  # noqa: PT017 (both ends are right)
    else:
        assert selector.one_of == []

    assert compiled - began < 0.05
    assert time.thread_time() - compiled < history_query.MATCHING_S + 0.05


def test_a_pattern_gives_up_when_its_time_is_over() -> None:
    pattern = Pattern("host", ask(**{"label.a": "~a"}).patterns[0].regex, negated=False)

    with pytest.raises(InvalidError, match=r"label\.host: .* simplify it"):
        pattern.select(["a"], time.thread_time() - 1)


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ({"fill": "zero"}, "previous"),
        ({"format": "xyz"}, "ndjson"),
        ({"step": "raw"}, "format=csv"),
        ({"agg": "median"}, "stddev"),
        ({"agg": ""}, "avg, min"),
        ({"agg": "avg,,max"}, "avg, min"),
        ({"compare": ""}, "duration"),
        ({"compare": "1d,"}, "duration"),
        ({"compare": "0.5"}, "whole seconds"),
        ({"compare": "1s,2s,3s,4s,5s,6s"}, "at most 5"),
        ({"compare": "60d", "start": "0", "end": "86400", "step": "1h"}, "before 1970"),
        ({"compare": "1h", "step": "1d", "tz": "Europe/Lisbon"}, "whole days"),
        ({"group_by": ",".join(map(str, range(11)))}, "at most 10"),
        ({f"label.{i}": "x" for i in range(21)}, "at most 20"),
        ({"label.a": ["x"] * 21}, "at most 20"),
        ({"label.": "x"}, "is not a condition"),
        ({"label.!": "x"}, "is not a condition"),
        ({"label.e!!": "z"}, "is not a condition"),
        ({"label.host~": "web"}, "label.host=~a.*"),
        ({"label.host=~web.*": ""}, "label.host=~a.*"),
        ({"label.host!~web.*": ""}, "label.host!=~a.*"),
        ({"tz": ""}, "Europe/Lisbon"),
        ({"tz": "Europe"}, "Europe/Lisbon"),
        ({"tz": "../../etc/passwd"}, "Europe/Lisbon"),
        ({"tz": "/etc/localtime"}, "Europe/Lisbon"),
        ({"tz": "x" * 4000}, "Europe/Lisbon"),
        ({"tz": "zone.tab"}, "Europe/Lisbon"),
        ({"start": ["-1h", "-2h"]}, "start must be given once"),
        ({"component": ["a", "b"]}, "component must be given once"),
        ({"componet": "a"}, "componet"),
        ({"metric": "x" * 4097}, "4096"),
        ({"label.a": "x\0y"}, "U+0000"),
        ({"label.\0": "x"}, "U+0000"),
        ({"start": "now"}, "before end"),
        ({"start": "-1h", "end": "-2h", "step": "1m"}, "before end"),
        ({"start": "0", "step": "1s"}, "11,000"),
    ],
)
def test_a_refusal_says_what_to_change(query: dict[str, Any], word: str) -> None:
    assert word in refusal(**query)


def test_exports_have_a_row_for_each_bucket_with_samples_or_for_each_sample() -> None:
    assert ask(format="csv", step="raw").is_raw
    assert ask(format="ndjson", step="1s", start="0").step_s == 1
    assert "leave out fill and compare" in refusal(format="csv", fill="linear")
    assert "leave out fill and compare" in refusal(format="csv", compare="1d")
    assert "leave out agg" in refusal(format="arrow", step="raw", agg="avg")
    assert "leave out agg" in refusal(format="arrow", step="raw", group_by="host")
