"""Exports: every sample and every bucket, exactly, in each format, page by page."""

import io
import itertools
import json
import random
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db.queries import Pool
from history.export import buckets, pages
from model.limits import VALUE_MIN
from model.series import Kind, Series, labels_of
from model.times import utc_now
from retention import tiers
from samples.write_batch import write_batch_of
from tests.api.metrics.exporting import FORMATS, Row, ask, export, read, rows, sample, series
from vigia.cli.importing.samples_file import Reader

START = 1_790_000_000
END = START + 90 * 86400
NUMBERS = itertools.count()

texts = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)
names = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=8)
units = st.sampled_from(["", "%", "=1+1", "'", "'=", "''x", "a,b", 'say "so"', "-", "+1", "@x"])
numbers = st.floats(-1e140, 1e140) | st.sampled_from([0.0, -0.0, 1e-199, -2e-200, 0.1, 1e22])
values = numbers.filter(lambda value: value == 0 or abs(value) >= VALUE_MIN)
times = st.integers(START * 10**6, END * 10**6 - 1).map(lambda us: us / 10**6)
identities = st.tuples(
    st.sampled_from(["app", "db.main"]), st.dictionaries(names, texts, max_size=3).map(labels_of)
)
kinds = st.sampled_from([Kind.GAUGE, Kind.COUNTER])
points = st.dictionaries(times, values, min_size=1, max_size=12)
stored = st.dictionaries(identities, st.tuples(units, kinds, points), max_size=4)


def exact(value: float) -> bytes:
    """Tell -0.0 from 0.0."""
    return struct.pack("d", value)


def read_back(body: bytes, form: str) -> Iterator[tuple[Any, ...]]:
    """Yield samples as `vigia import` reads them."""
    reader = Reader(None)
    for name, at, value in reader.read(io.BytesIO(body), form):
        _, component, _, labels, unit, kind = name
        assert value is not None
        yield component, labels_of(json.loads(labels)), unit, kind, round(at * 10**6), exact(value)
    assert not reader.rejected


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(stored=stored)
@pytest.mark.parametrize("rows_max", [3, 10_000])
async def test_every_sample_is_exported_exactly_in_every_format(
    service: Any, monkeypatch: pytest.MonkeyPatch, rows_max: int, stored: dict[Any, Any]
) -> None:
    monkeypatch.setattr(pages, "ROWS_MAX", rows_max)
    metric = f"load{next(NUMBERS)}"
    wanted = []
    if not stored:
        await service.declare(metric)
    for (component, labels), (unit, kind, found) in stored.items():
        one = Series(metric=metric, component=component, labels=labels, unit=unit, kind=kind)
        await service.writer.store(
            write_batch_of([sample(one, at, value) for at, value in found.items()])
        )
        wanted += [
            (component, labels, unit, kind.value, round(at * 10**6), exact(value))
            for at, value in sorted(found.items())
        ]

    for form in FORMATS:
        body = await export(service, form, metric=metric, step="raw", start=START, end=END)
        found = read(form, body)
        keys = [(row["component"], labels_of(row["labels"])) for row in found]
        reported = [
            (*key, row["unit"], row["kind"], row["time"], exact(row["value"]))
            for key, row in zip(keys, found, strict=True)
        ]
        assert sorted(reported) == sorted(wanted)
        assert len(list(itertools.groupby(keys))) == len(stored), "a series is not in one piece"
        assert all(row["metric"] == metric and row["category"] == "system" for row in found)
        assert sorted(read_back(body, form)) == sorted(wanted)


@pytest.mark.parametrize("rolled_up", [False, True])
@pytest.mark.parametrize(
    "query",
    [
        {"step": "7m", "agg": "avg,min,max,sum,count,first,last"},
        {"step": "30s", "agg": "avg,count"},
        {"step": "5m", "agg": "rate"},
        {"step": "1h", "agg": ["p50", "p99", "rate"]},
        {"step": "1d", "tz": "Europe/Lisbon", "agg": "sum"},
        {"step": "auto", "points": 40},
        {"step": "10m", "group_by": "host", "agg": "avg,count,p90"},
        {"step": "10m", "group_by": "component", "agg": "sum"},
        {"step": "30m", "group_by": "rack", "label.host!": "b", "agg": "max"},
    ],
    ids=repr,
)
async def test_buckets_are_those_of_the_json_answer(
    service: Any, pool: Pool, monkeypatch: pytest.MonkeyPatch, query: Row, *, rolled_up: bool
) -> None:
    """In pieces of some buckets, which must not be seen in the answer."""
    monkeypatch.setattr(buckets, "ROWS_PER_PIECE", 400)
    start = await store_some(service)
    if rolled_up:
        async with pool.connection() as connection:
            await tiers.maintain(connection, utc_now())
    asked = {"metric": "load", "start": start, "end": start + 2 * 86400, **query}

    body = (await service.get("/metrics/history", **asked)).body
    wanted = [
        {
            "time": at * 10**6, "metric": "load", "component": one["component"],
            "labels": one["labels"], **dict(zip(one["values"], row, strict=True)),
        }
        for one in body["series"]
        for at, seen, *row in zip(
            body["time"], one["coverage"], *one["values"].values(), strict=True
        )
        if seen is not None
    ]  # fmt: skip

    assert wanted
    for form in FORMATS:
        found = await rows(service, form, **asked)
        for row in found:
            assert (row.pop("category"), row.pop("unit"), row.pop("kind")) == (
                "system",
                "",
                "gauge",
            )
            row["component"] = row["component"] or None
        assert found == wanted, form


async def store_some(service: Any) -> int:
    """Store samples of four series over two days with a gap; return the first second.

    The values are multiples of 1/64, so that their sums are exact in any order.
    """
    chance = random.Random(7)
    start = int(utc_now().timestamp()) // 86400 * 86400 - 3 * 86400
    for component, host, rack in (
        ("app", "a", "1"),
        ("app", "b", "1"),
        ("shop", "a", "2"),
        ("db", "c", ""),
    ):
        labels = {"host": host, "rack": rack} if rack else {"host": host}
        times = [start + 900 + chance.uniform(0, 6 * 3600) for _ in range(200)]
        times += [start + 86400 + chance.uniform(0, 6 * 3600) for _ in range(200)]
        one = series("load", component, **labels)
        found = {round(at, 3): chance.randrange(9000) / 64 for at in times}
        await service.writer.store(
            write_batch_of([sample(one, at, value) for at, value in found.items()])
        )
    return start


@pytest.mark.parametrize("step", ["raw", "5m", "auto"])
async def test_an_export_without_matching_series_has_no_rows(service: Any, step: str) -> None:
    await service.declare("load")
    for form in FORMATS:
        assert await rows(service, form, step=step) == []
    async with ask(service, "csv", step="1h", agg="min,max") as answer:
        header = "time,metric,component,category,labels,unit,kind,min,max\n"
        assert await answer.text() == header


async def test_the_answer_says_what_it_is_and_about_how_long(service: Any, pool: Pool) -> None:
    start = await store_some(service)
    day = timedelta(days=1)
    for refreshed in (False, True):
        if refreshed:
            async with pool.connection() as connection:
                await tiers.maintain(connection, utc_now())
        async with ask(service, "csv", step="raw", start=start, end=start + 2 * 86400) as answer:
            lines = (await answer.read()).count(b"\n") - 1
            estimate = int(answer.headers["X-Vigia-Rows-Estimate"])
            assert lines == 1600
            # Counted where there are roll-ups, else supposed to be one in 15 s.
            assert estimate == pytest.approx(1600 if refreshed else 4 * 30 * 240, rel=0.05)
    at = datetime.fromtimestamp(start, UTC)
    assert answer.content_type == "text/csv"
    assert answer.headers["Content-Disposition"] == (
        f'attachment; filename="vigia-{at:%Y%m%dT%H%M%SZ}-{at + 2 * day:%Y%m%dT%H%M%SZ}.csv"'
    )
    async with ask(service, "ndjson", step="1h", start=start, end=start + 2 * 86400) as answer:
        lines = (await answer.read()).count(b"\n")
        assert lines <= int(answer.headers["X-Vigia-Rows-Estimate"]) <= 4 * 48


async def test_samples_that_retention_dropped_are_not_looked_for(service: Any, pool: Pool) -> None:
    start = await store_some(service)
    async with pool.connection() as connection:
        await connection.execute(
            "UPDATE tiers SET dropped_to = to_timestamp(%s) WHERE name = 'raw'", [start + 86400]
        )

    found = await rows(service, "csv", step="raw", start=0)

    assert len(found) == 800
    assert min(row["time"] for row in found) >= (start + 86400) * 10**6


async def test_a_bucket_of_too_many_rows_is_refused(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets, "ROWS_PER_BUCKET_MAX", 10_000)
    await store_some(service)
    async with ask(service, "csv", step="1d", agg="p50", group_by="none", start="-3d") as answer:
        assert answer.status == 400
        assert "23,040 rows" in (await answer.json())["detail"]


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ({"start": "now", "end": "-1h", "step": "raw"}, "before end"),
        ({"start": "now", "end": "-1h"}, "before end"),
        ({"step": "1d", "start": "0", "tz": "Europe/Lisbon"}, "points"),
        ({"compare": "1d"}, "compare"),
        ({"fill": "previous"}, "fill"),
        ({"step": "raw", "group_by": "host"}, "group_by"),
        ({"label.host": "~("}, "regular expression"),
    ],
    ids=repr,
)
async def test_an_impossible_export_is_refused_before_the_database_is_queried(
    service: Any, pool: Pool, query: Row, word: str
) -> None:
    await service.declare("load")
    await service.get("/metrics/history", metric="load")
    asked = pool.get_stats()["requests_num"]
    for form in FORMATS:
        async with ask(service, form, **query) as answer:
            assert answer.status == 400
            assert word in (await answer.json())["detail"]
    assert pool.get_stats()["requests_num"] == asked
