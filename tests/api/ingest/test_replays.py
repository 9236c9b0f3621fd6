"""A request repeated a hundred times on ten connections has the effect of one."""

import asyncio
import gzip
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from db.queries import Pool
from model.principal import Role
from model.times import utc_now
from tests.api.ingest.otlp_requests import DELTA, HISTOGRAM, gauge, message, point
from tests.api.ingest.remote import HEADERS, series, snappy

BASE = "/api/v1/monitoring"
CONNECTIONS, TIMES = 10, 10
SAMPLES = 200

Request = tuple[str, bytes, dict[str, str]]

SNAPSHOT = [
    "SELECT metric, component, labels::text, kind, time, value FROM metrics ORDER BY 1, 2, 3, 5",
    "SELECT series_id, time, log_bucket, count FROM system_distributions ORDER BY 1, 2, 3",
    "SELECT to_jsonb(series)::text FROM series ORDER BY id",
    "SELECT to_jsonb(series_state)::text FROM series_state ORDER BY series_id",
    "SELECT start_time, end_time FROM late_ranges ORDER BY 1, 2",
]


def native(now_s: int, name: str) -> Request:
    column = {
        "metric": name,
        "component": "app",
        "kind": "distribution",
        "times": [now_s - n for n in range(SAMPLES)],
        "values": [1 + n % 17 for n in range(SAMPLES)],
    }
    body = gzip.compress(json.dumps({"series": [column]}).encode())
    return "/metrics", body, {"Content-Encoding": "gzip", "Content-Type": "application/json"}


def remote_write(now_s: int, name: str) -> Request:
    samples = [(n / 8, 1000 * (now_s - n)) for n in range(SAMPLES)]
    body = snappy(series({"__name__": name, "job": "node", "instance": "a"}, samples))
    return "/ingest/prometheus/write", body, HEADERS


def otlp(now_s: int, name: str) -> Request:
    times = [10**9 * (now_s - n) for n in range(SAMPLES)]
    reported = {**HISTOGRAM, "timeUnixNano": times[0], "startTimeUnixNano": times[1]}
    histogram = {
        "name": f"{name}_took",
        "histogram": {"aggregationTemporality": DELTA, "dataPoints": [reported]},
    }
    made = message(gauge(*(point(t % 7, t) for t in times), name=name), others=[histogram])
    body = gzip.compress(made.SerializeToString())
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
    return "/ingest/otlp/v1/metrics", body, headers


async def send_again_and_again(
    service: Any, requests: list[Request]
) -> Counter[tuple[str, int, int]]:
    """Send each request TIMES times over one connection; count answers by path and size."""
    answers: Counter[tuple[str, int, int]] = Counter()
    key = {"Authorization": f"Bearer {service.keys[Role.INGEST]}"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as http:
        for path, body, headers in requests * TIMES:
            url = service.url + BASE + path
            async with http.post(url, data=body, headers=headers | key) as answer:
                answers[path, answer.status, len(await answer.read())] += 1
    return answers


async def send_from_all(service: Any, *requests: Request) -> Counter[tuple[str, int, int]]:
    """Send from every connection at once, each in an order of its own."""
    orders = [list(requests)[:: 1 if n % 2 else -1] for n in range(CONNECTIONS)]
    found = await asyncio.gather(*(send_again_and_again(service, order) for order in orders))
    return sum(found, Counter())


async def snapshot(pool: Pool) -> list[list[tuple[Any, ...]]]:
    async with pool.connection() as connection:
        return [await (await connection.execute(query)).fetchall() for query in SNAPSHOT]


@pytest.mark.parametrize(
    ("make", "status", "rows", "buckets"),
    [
        (native, 200, 2 * SAMPLES, 2 * SAMPLES),
        (remote_write, 204, 2 * SAMPLES, 0),
        # And the count and the sum of the histogram, and its values in their buckets.
        (otlp, 200, 2 * (SAMPLES + 2), None),
    ],
)
async def test_the_same_body_a_hundred_times_from_ten_connections_is_stored_once(
    service: Any,
    pool: Pool,
    make: Callable[[int, str], Request],
    status: int,
    rows: int,
    buckets: int | None,
) -> None:
    now_s = int(utc_now().timestamp())
    one, other = make(now_s, "one"), make(now_s, "other")

    first = await send_from_all(service, one, other)
    stored = await snapshot(pool)
    again = await send_from_all(service, one)

    assert {answered for _, answered, _ in first + again} == {status}
    assert (first.total(), again.total()) == (2 * CONNECTIONS * TIMES, CONNECTIONS * TIMES)
    assert len(again) == 1, "the answers are not the same"
    assert len(stored[0]) == rows
    if buckets is None:
        assert sum(count for *_, count in stored[1]) == 2 * HISTOGRAM["count"]
    else:
        assert len(stored[1]) == buckets
    assert await snapshot(pool) == stored


async def test_all_protocols_at_once_do_not_meet(service: Any, pool: Pool) -> None:
    now_s = int(utc_now().timestamp())
    requests = [make(now_s, "same_name") for make in (native, remote_write, otlp)]

    await send_from_all(service, *requests)
    stored = await snapshot(pool)
    await send_from_all(service, *requests)

    assert len(stored[0]) == 3 * SAMPLES + 2
    assert await snapshot(pool) == stored
