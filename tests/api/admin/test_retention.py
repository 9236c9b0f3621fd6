"""The preview of another retention over HTTP."""

from datetime import timedelta
from typing import Any

import pytest

from config.model import Retention
from db.queries import Pool
from model.principal import Role
from model.series import Sample, Series
from model.times import utc_now
from retention import tiers
from retention.plan import plan

PATH = "/config/retention/preview"


async def fill(service: Any, pool: Pool) -> None:
    now = utc_now()
    samples = [
        Sample(Series(metric=metric, component="a"), now - timedelta(hours=hours), 1.0)
        for metric in ("m", "n")
        for hours in range(1, 24 * 12, 4)
    ]
    await service.write(samples)
    async with pool.connection() as connection:
        for wanted in plan(Retention()):
            await tiers.want(connection, wanted)
        await tiers.maintain(connection, now)
        await tiers.maintain(connection, now)


async def test_a_preview_tells_what_goes_and_changes_nothing(service: Any, pool: Pool) -> None:
    await fill(service, pool)
    wanted = {"raw_days": 6, "rollup_1m_days": 3, "metrics": {"m": {"keep_days": 2}}}
    answer = await service.post(PATH, {"value": wanted}, Role.OPERATOR)

    assert answer.status == 200
    found = {tier["name"]: tier for tier in answer.body["tiers"]}
    raw = found["raw"]
    assert (raw["keep_days_before"], raw["keep_days_after"]) == (30, 6)
    assert raw["rows_before"] == 144
    assert len(raw["dropped"]) in {5, 6, 7}
    gone = sum(chunk["rows"] for chunk in raw["dropped"])
    own = [part for part in answer.body["metrics"] if part["tier"] == "raw"]
    assert [part["metric"] for part in own] == ["m"]
    assert raw["rows_after"] == 144 - gone - own[0]["rows"]
    assert own[0]["before"].endswith("T00:00:00Z")
    assert found["1h"]["dropped"] == []
    assert answer.body["bytes_after"] < answer.body["bytes_before"]
    assert (await service.get("/config/retention")).body["updated_at"] is None
    assert (await service.get("/storage")).body["tiers"][0]["rows"] == 144


async def test_a_preview_of_what_holds_drops_nothing(service: Any, pool: Pool) -> None:
    await fill(service, pool)
    answer = await service.post(PATH, {"value": {}}, Role.ADMIN)

    assert answer.body["rows_after"] == answer.body["rows_before"] > 0
    assert answer.body["metrics"] == []
    assert all(tier["dropped"] == [] for tier in answer.body["tiers"])


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"value": None},
        {"value": {"raw_days": 1}},
        {"value": {"raw_days": 100, "rollup_5m_days": 10}},
        {"value": {"metrics": {"m": {"keep_days": 0}}}},
        {"value": {"metrics": {"m": {"resolution": 3}}}},
        {"value": {"metrics": {"m\0": {"keep_days": 1}}}},
        {"value": {"metrics": {f"m{i}": {} for i in range(101)}}},
        {"value": {"capacity_bytes": 0}},
        {"value": {"unknown": 1}},
    ],
)
async def test_a_value_that_does_not_fit_is_refused(service: Any, body: Any) -> None:
    answer = await service.post(PATH, body, Role.OPERATOR)

    assert answer.status == 400
    assert answer.detail


async def test_a_viewer_may_not_ask(service: Any) -> None:
    assert (await service.post(PATH, {"value": {}}, Role.VIEWER)).status == 403


async def test_policies_of_metrics_are_settings_like_others(service: Any) -> None:
    value = {"metrics": {"m": {"keep_days": 2, "resolution": 0.5}}, "capacity_bytes": 10**12}
    path = "/api/v1/monitoring/config/retention"
    answer = await service.ask(path, method="PUT", json={"value": value})

    assert answer.status == 200
    assert answer.body["value"]["metrics"] == value["metrics"]
    assert service.config.retention.resolution("m", 1.0) == 0.5
