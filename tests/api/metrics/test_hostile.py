"""Hostile history queries are refused quickly, with a reason and without a query."""

import time
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from yarl import URL

from history.query import MATCHING_S
from model.series import Sample, Series, labels_of
from model.times import utc_now
from samples.write_batch import write_batch_of
from tests.api.conftest import ADMIN_KEY

PATH = "/api/v1/monitoring/metrics/history"
HEADERS = {"Authorization": f"Bearer {ADMIN_KEY}"}
"""The one key that is known without asking the database."""
INSIDE = ("Traceback", "SELECT", "psycopg", "system_metrics", "line ", ".py", "Error(", "re2")
QUICKLY_S = 0.05

Query = Mapping[str, str | Sequence[str]]


def each(name: str, *values: str) -> list[Query]:
    return [{"metric": "m", name: value} for value in values]


LONG = "x" * 8_000
"""Nearly as long as an address may be, which is 8 KiB."""
HOSTILE: list[Query] = [
    {},
    {"metric": ["m"] * 890},
    {"metric": ["m"] * 101},
    {"metric": LONG},
    {"metric": "m\0"},
    *each("start", "-9e18", "9e18", "1e400", "-1", "", "\0", "x", "nan", "inf", "-inf"),
    *each("start", "9" * 400, "-1000000d", "9999-12-31T23:59:59Z", "2026-02-30T00:00:00Z", "now"),
    *each("start", "-1h; DROP TABLE series", "2026-01-01", "--1h", "- 1h", "1h", "-0h", "-1x"),
    *each("start", "\N{ARABIC-INDIC DIGIT ONE}", "-\N{FULLWIDTH DIGIT ONE}h", "now-1h/h"),
    *each("end", "9e18", "0", "-2h", "2243-01-01T00:00:00Z", "NaN", LONG),
    {"metric": "m", "start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"},
    {"metric": "m", "start": "2026-01-01T00:00:00Z", "end": "2026-01-01T00:00:00Z", "step": "1d"},
    *each("step", "0", "1ns", "0.5s", "-1m", "1e5", "", "AUTO", "inf", "nan", "1.5s", "raw", "5 m"),
    *each("step", "9" * 15 + "d", "9" * 400, "\N{ARABIC-INDIC DIGIT FIVE}m", "1m1s", "P1D", "step"),
    *each("points", "0", "-1", "1", "1e9", "1000000000", "11001", "x", "", "nan", "9" * 400, "5.5"),
    *each("points", "\N{ARABIC-INDIC DIGIT FIVE}" * 2, "1_000", " 5", "0x10", "true"),
    {"metric": "m", "start": "0", "step": "1s"},
    {"metric": "m", "start": "0", "end": "8589934592", "step": "1s"},
    {"metric": "m", "start": "0", "end": "8589934592", "step": "1d", "tz": "Asia/Kolkata"},
    *each("agg", "", "AVG", "avg;drop", "__class__", "median", "avg,", "p100", "p50.0", LONG),
    {"metric": "m", "agg": ["avg"] * 1000 + ["x"]},
    {"metric": "m", "agg": "first", "group_by": "host"},
    {"metric": "m", "agg": "avg,last", "group_by": ""},
    {"metric": "m", "group_by": [f"l{i}" for i in range(550)]},
    {"metric": "m", "group_by": ",".join(map(str, range(1000)))},
    *each("group_by", "a\0b", LONG),
    *each("fill", "zero", "", "NULL", "linear,null", LONG),
    {"metric": "m", "compare": [f"{i}d" for i in range(1, 600)]},
    *each("compare", "0", "-1d", "1y", "", "inf", "0.5", "1d,1d,x", "9" * 400, "1h" * 4_000),
    {"metric": "m", "start": "86400", "end": "172800", "step": "1h", "compare": "30d"},
    {"metric": "m", "step": "1d", "tz": "Europe/Lisbon", "compare": "1h"},
    *each("tz", "", "../../etc/passwd", "/etc/passwd", "Europe", "Mars/Olympus", LONG),
    *each("tz", "Europe/Lisbon/../../../etc/passwd", "zone.tab", "UTC+1", "Europe\\Lisbon", "\0"),
    *each("format", "xyz", "", "JSON", "../json", LONG),
    *each("component", "\0", LONG),
    *each("label.a", "\0", LONG),
    *each("label.a", "~(", "~[z-a]", r"~(a)\1", "~(?=a)", "~(?<!a)b", "~(?P<a", "~" + "a" * 8_000),
    *each(
        "label.a", "~(a{1000}){1000}", r"~(\pL{500}\pN{500}){2}", r"~\x{110000}", "~(?i" + "(" * 400
    ),
    *each("label.a!", "~" + "(" * 11 + "a{9}" + "){9}" * 11, "~*", "~\\"),
    {"metric": "m", "label.a": ["x"] * 21},
    {"metric": "m", **{f"label.l{i}": "x" for i in range(600)}},
    {"metric": "m", **{f"label.l{i}": r"~(a|b|c|\pL)*" * 13 for i in range(20)}},
    *each("label.", "x"),
    *each("label.!", "x"),
    *each("label." + LONG, "x"),
    *each("label.a\0", "x"),
    *({"metric": "m", name: ["1", "1"]} for name in ("start", "end", "step", "points", "tz")),
    {"metric": "m", "fill": ["null", "null"]},
    {"metric": "m", "component": ["a", "b"]},
    {"metric": "m", "format": ["json", "json"]},
    *each("componet", "x"),
    *each("METRIC", "x"),
    *each("limit", "1"),
    *each("'; DROP TABLE series; --", "x"),
    *each("label", "x"),
    *each("", "x"),
]
RAW = [
    "metric=m&start=%FF",
    "metric=m&step=%C0%AF",
    "metric=m&tz=%ED%A0%80",
    "metric=m&agg=%00",
    "metric=m&label.%00=x",
    "metric=m&label.a=~%FF(",
    "metric=m&start=%zz",
    "metric=m&;agg=avg",
    "=&=&=",
    "&" * 8_000,
    "metric=m&" + "a=b&" * 2_000,
]
TOO_LONG = [
    "&".join(f"metric=metric_{i}" for i in range(10_000)),
    "metric=" + "x" * 100_000,
    "metric=m&label.a=~" + "a" * 10_000,
]
STRANGE: list[Query] = [
    *(
        {"metric": text, "component": text, "label.x": text, "label.x!": text, "group_by": text}
        for text in ("'; DROP TABLE series; --", "%s", "$1", "{0}", "\u202e", "\\", "a" * 1500)
    ),
    {"metric": "m", "label.'; DROP TABLE series; --": "x", 'label."a" OR true': "~x"},
    {"metric": "m", "label.a{b}": "x", "label.%(start)s": "x", "label.{columns}": "~x"},
]


async def send(service: Any, query: str) -> tuple[Any, float]:
    """Ask in exactly these characters, with a key that needs no database; return the time too."""
    url = URL(f"{service.url}{PATH}?{query}", encoded=True)
    began = time.perf_counter()
    async with service.http.get(url, headers=HEADERS) as answer:
        await answer.read()
    return answer, time.perf_counter() - began


def asked_of_the_database(service: Any) -> int:
    """Return how many connections were lent so far."""
    count: int = service.context.pool.get_stats()["requests_num"]
    return count


async def check_refusal(answer: aiohttp.ClientResponse, query: str) -> None:
    assert 400 <= answer.status < 500, query[:200]
    assert answer.headers["Content-Type"] == "application/problem+json", query[:200]
    problem = await answer.json(content_type=None)
    assert set(problem) == {"type", "title", "status", "detail"}
    assert problem["status"] == answer.status
    assert 0 < len(problem["detail"]) < 600
    assert not any(word in problem["detail"] for word in INSIDE), problem["detail"]


async def check_found_nothing(answer: aiohttp.ClientResponse) -> None:
    """Check that no series was found: the metric does not exist, or no series has the label."""
    body = await answer.json(content_type=None)
    if answer.status == 200:
        values = [value for one in body["series"] for value in one["values"]["avg"]]
        assert set(values) <= {None}
    else:
        assert answer.status == 404
        assert body["detail"].startswith("there is no metric ")


def test_there_are_enough_of_them() -> None:
    assert len(HOSTILE) + len(RAW) > 150


async def test_hostile_questions_are_refused_quickly_and_without_the_database(
    service: Any,
) -> None:
    await service.declare("m")
    assert (await send(service, "metric=m"))[0].status == 200
    texts = [*(urlencode(query, doseq=True) for query in HOSTILE), *RAW]
    durations = []
    for text in texts:
        before = asked_of_the_database(service)
        answer, seconds = await send(service, text)
        await check_refusal(answer, text)
        assert asked_of_the_database(service) == before, text[:200]
        durations.append(seconds)

        # The next one is a good one, on the same connection.
        if len(durations) % 20 == 0:
            assert (await send(service, "metric=m&step=1m"))[0].status == 200
    assert median(durations) < QUICKLY_S
    assert max(durations) < 20 * QUICKLY_S, texts[durations.index(max(durations))][:200]


@pytest.mark.parametrize("query", TOO_LONG)
async def test_an_address_that_no_server_takes_is_refused_before_it_is_read(
    service: Any, query: str
) -> None:
    await service.declare("m")
    before = asked_of_the_database(service)

    answer, seconds = await send(service, query)

    assert answer.status == 414
    assert seconds < 20 * QUICKLY_S
    assert asked_of_the_database(service) == before
    assert (await send(service, "metric=m"))[0].status == 200


@pytest.mark.parametrize("query", STRANGE)
async def test_strange_texts_are_only_texts(service: Any, query: Query) -> None:
    await service.declare("m")
    answer, _ = await send(service, urlencode(query, doseq=True))

    await check_found_nothing(answer)


@pytest.mark.parametrize(
    "query",
    [
        "metric=%FF%FE",
        "metric=m&component=%C0%AF",
        "metric=m&label.a=%ED%A0%80",
        "metric=m&label.%ED%A0%80=%F0%9F",
        "metric=m&label.a=~%ED%A0%80",
        "metric=m&group_by=%ED%B0%80",
        "metric=%zz",
    ],
)
async def test_bytes_that_are_no_text_are_a_text_that_nothing_has(service: Any, query: str) -> None:
    await service.declare("m")
    answer, _ = await send(service, query)

    await check_found_nothing(answer)


HEAVY = ["(a+)+$", "(.*a){20}", "[ab]*a[ab]{300}", "(a|aa)+$", "(((a*)*)*)*b", r"(a|b|c|\pL)*" * 30]


async def test_heavy_patterns_against_long_values_are_soon_answered_or_refused(
    service: Any,
) -> None:
    now = utc_now()
    await service.writer.store(
        write_batch_of(
            [
                Sample(
                    Series(metric="m", component="c", labels=labels_of({"a": f"{'a' * 900}!{i}"})),
                    now,
                    1.0,
                )
                for i in range(900)
            ]
        )
    )
    for pattern in HEAVY:
        query = {"metric": "m", "label.a": f"~{pattern}"}
        answer, seconds = await send(service, urlencode(query))
        body = await answer.json(content_type=None)
        if answer.status == 200:
            assert body["series"] == []
        else:
            assert answer.status == 400
            assert "simplify it" in body["detail"]
        assert seconds < 10 * MATCHING_S, pattern


async def test_a_pattern_is_not_held_against_more_values_than_it_may(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("history.planner.VALUES_MAX", 3)
    now = utc_now()
    for component, count in (("few", 3), ("many", 4)):
        await service.writer.store(
            write_batch_of(
                [
                    Sample(
                        Series(metric="m", component=component, labels=(("n", f"{component}{i}"),)),
                        now,
                        1.0,
                    )
                    for i in range(count)
                ]
            )
        )

    refused = await service.get("/metrics/history", metric="m", **{"label.n": "~.*"})
    chosen = await service.get(
        "/metrics/history", metric="m", component="few", **{"label.n": "~.*"}
    )

    assert (refused.status, "more than 3 values" in refused.detail) == (400, True)
    assert len(chosen.body["series"]) == 3
