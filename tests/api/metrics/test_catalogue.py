"""The catalogue, newest values, and native ingest."""

import asyncio
import gzip
import io
import json
import time
from datetime import UTC, datetime
from typing import Any

import cramjam
import pytest

from db.queries import Pool
from model.principal import Role

BASE = "/api/v1/monitoring"


def column(metric: str = "load", component: str = "app", **fields: Any) -> dict[str, Any]:
    now = int(time.time())
    return {
        "metric": metric,
        "component": component,
        "times": [now - 30, now - 15],
        "values": [1.5, 2.5],
    } | fields


async def store(service: Any, *columns: dict[str, Any], role: Role = Role.INGEST) -> Any:
    return await service.post("/metrics", {"series": list(columns)}, role)


async def test_samples_are_stored_once_and_counted(service: Any, pool: Pool) -> None:
    sent = column(labels={"host": "a"}, unit="s", kind="counter", category="trading")

    first = await store(service, sent)
    again = await store(service, sent, column(metric="other"))

    assert first.status == again.status == 200
    assert first.body == {"accepted": 2, "duplicate": 0, "rejected": 0, "reasons": []}
    assert again.body == {"accepted": 2, "duplicate": 2, "rejected": 0, "reasons": []}
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT value FROM metrics WHERE metric = 'load' ORDER BY time"
        )
        assert await cursor.fetchall() == [(1.5,), (2.5,)]


async def test_bad_samples_are_rejected_and_the_rest_is_stored(service: Any) -> None:
    now = int(time.time())
    sent = column(times=[now, now + 3600, 5, now - 1], values=[1, 2, 3, None])

    answer = await store(service, sent, column(metric="not a name"))

    body = answer.body
    assert (body["accepted"], body["duplicate"], body["rejected"]) == (1, 0, 5)
    assert sum(reason["count"] for reason in body["reasons"]) == 5
    assert any("future" in reason["reason"] for reason in body["reasons"])


async def test_the_same_samples_at_once_in_any_order_are_stored_once(
    service: Any, pool: Pool
) -> None:
    now = int(time.time())
    times = [now - i for i in range(100)]
    columns = [column(f"m{i}", times=times, values=[1.0] * 100) for i in range(50)]
    turned = [{**one, "times": times[::-1]} for one in columns[::-1]]

    answers = await asyncio.gather(
        *(store(service, *(turned if turn % 2 else columns)) for turn in range(8))
    )

    assert {answer.status for answer in answers} == {200}
    assert sum(answer.body["accepted"] for answer in answers) == 5000
    assert all(a.body["accepted"] + a.body["duplicate"] == 5000 for a in answers)
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM metrics")
        assert await cursor.fetchall() == [(5000,)]


async def test_nothing_stored_needs_no_write(service: Any) -> None:
    answer = await store(service)

    assert answer.body == {"accepted": 0, "duplicate": 0, "rejected": 0, "reasons": []}


async def test_values_are_stored_unrounded_unless_a_resolution_is_given(service: Any) -> None:
    await store(service, column("raw", values=[0.1, 0.2]))
    await store(service, column("rounded", values=[0.1, 0.2], resolution=0.25))

    metrics = (await service.get("/metrics/current")).body["components"]["app"]["metrics"]

    assert metrics["raw"]["value"] == 0.2
    assert metrics["rounded"]["value"] == 0.25


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"series": 1},
        {"series": [1]},
        {"series": [{}]},
        {"series": [{"metric": "m"}]},
        {"series": [column(times=[1])]},
        {"series": [column(times="now")]},
        {"series": [column(values=["1", "2"])]},
        {"series": [column(values=[True, False])]},
        {"series": [column(kind="histogram")]},
        {"series": [column(category="other")]},
        {"series": [column(labels={"a": 1})]},
        {"series": [column(labels=[])]},
        {"series": [column(unknown=1)]},
        {"series": [], "unknown": 1},
        {"series": [column(metric=None)]},
    ],
)
async def test_a_malformed_batch_is_refused_with_its_place(service: Any, body: Any) -> None:
    answer = await service.post("/metrics", body, Role.INGEST)

    assert answer.status == 400
    assert answer.detail


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b'{"series":[{"metric":"\xff"}]}',
        b'{"series":[{"metric":"m","values":[NaN]}]}',
        b"[" * 60_000,
        b'{"series":' * 9000,
    ],
)
async def test_invalid_json_is_refused(service: Any, body: bytes) -> None:
    answer = await service.ask(f"{BASE}/metrics", Role.INGEST, method="POST", data=body)

    assert answer.status == 400


@pytest.mark.parametrize("value", ["1e400", "-1e400", "1" + "0" * 400])
async def test_a_number_beyond_a_double_is_refused(service: Any, value: str) -> None:
    body = f'{{"series":[{{"metric":"m","component":"c","times":[1],"values":[{value}]}}]}}'

    answer = await service.ask(f"{BASE}/metrics", Role.INGEST, method="POST", data=body)

    assert answer.status in {200, 400}
    assert answer.status == 400 or answer.body["accepted"] == 0


async def test_a_body_has_a_size(service: Any) -> None:
    too_much = b" " * (4 * 2**20 + 1)

    async def stream() -> Any:
        for _ in range(5):
            yield too_much[: 2**20]

    for data in (io.BytesIO(too_much), stream()):
        answer = await service.ask(f"{BASE}/metrics", Role.INGEST, method="POST", data=data)
        assert answer.status == 413
        assert "split" in answer.detail
    answer = await service.ask(f"{BASE}/dev/test-alert", method="POST", data=b" " * 100_000)
    assert answer.status == 413


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("zstd", cramjam.zstd.compress)]
)
async def test_a_body_may_be_compressed(service: Any, encoding: str, compress: Any) -> None:
    body = compress(json.dumps({"series": [column("m")]}).encode())

    answer = await service.ask(
        f"{BASE}/metrics",
        Role.INGEST,
        method="POST",
        data=bytes(body),
        headers={"Content-Encoding": encoding},
    )

    assert (answer.status, answer.body["rejected"]) == (200, 0)
    assert answer.body["accepted"] > 0


async def test_a_body_compressed_in_another_way_is_refused_by_name(service: Any) -> None:
    headers = {"Content-Encoding": "br"}

    answer = await service.ask(
        f"{BASE}/metrics", Role.INGEST, method="POST", data=b"{}", headers=headers
    )

    assert answer.status == 415


async def test_the_catalogue_is_paged(service: Any) -> None:
    await store(service, *(column(f"m{i}", unit="s", labels={"i": str(i)}) for i in range(25)))

    found, cursor = [], None
    for size in (10, 10, 5):
        query = {"limit": 10} | ({"cursor": cursor} if cursor else {})
        page = (await service.get("/metrics", **query)).body
        assert len(page["items"]) == size
        found += page["items"]
        cursor = page["cursor"]

    assert cursor is None
    assert [item["metric"] for item in found] == sorted(f"m{i}" for i in range(25))
    assert set(found[0]) >= {
        "metric", "component", "category", "labels", "unit", "kind", "first_time", "last_time"
    }  # fmt: skip
    assert (found[0]["labels"], found[0]["unit"], found[0]["kind"]) == ({"i": "0"}, "s", "gauge")
    assert found[0]["first_time"].endswith("Z")


async def test_the_catalogue_ends_on_a_full_page(service: Any) -> None:
    await store(service, *(column(f"m{i}") for i in range(10)))

    assert (await service.get("/metrics", limit=10)).body["cursor"] is None


async def test_the_catalogue_can_be_limited(service: Any) -> None:
    await store(service, column("a", "x"), column("b", "x"), column("a", "y"))

    async def names(**query: str) -> list[tuple[str, str]]:
        items = (await service.get("/metrics", **query)).body["items"]
        return [(item["metric"], item["component"]) for item in items]

    assert await names(metric="a") == [("a", "x"), ("a", "y")]
    assert await names(component="x") == [("a", "x"), ("b", "x")]
    assert await names(metric="a", component="y") == [("a", "y")]
    assert await names(metric="z") == []


async def test_the_newest_values_are_by_component_and_metric(service: Any) -> None:
    sent = column(unit="s")
    await store(
        service, sent, column(labels={"host": "a"}, unit="s"), column("disk", labels={"d": "/"})
    )
    newest = datetime.fromtimestamp(sent["times"][1], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    body = (await service.get("/metrics/current")).body

    assert body["time"] == newest
    app = body["components"]["app"]
    assert app["category"] == "system"
    assert app["metrics"]["load"] == {
        "unit": "s",
        "value": 2.5,
        "time": newest,
        "series": [{"labels": {"host": "a"}, "value": 2.5, "time": newest}],
    }
    assert set(app["metrics"]["disk"]) == {"unit", "series"}
    assert (await service.get("/metrics/current", component="none")).body["components"] == {}


async def test_without_samples_everything_is_empty(service: Any) -> None:
    assert (await service.get("/metrics")).body == {"items": [], "cursor": None}
    assert (await service.get("/metrics/current")).body == {"time": None, "components": {}}
