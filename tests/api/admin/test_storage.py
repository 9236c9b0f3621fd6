"""Storage use over HTTP."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from config.model import Retention
from db.queries import Pool
from model.series import Sample, Series
from model.times import utc_now
from retention import tiers
from retention.plan import plan
from retention.usage import Disk

MIB = 1024 * 1024


async def fill(service: Any, pool: Pool) -> datetime:
    """Store three days of one series; return the last time."""
    now = utc_now().replace(microsecond=0)
    series = Series(metric="m", component="a")
    await service.write(
        [Sample(series, now - timedelta(minutes=i), float(i % 7)) for i in range(3 * 1440)]
    )
    async with pool.connection() as connection:
        for wanted in plan(Retention()):
            await tiers.want(connection, wanted)
        await tiers.maintain(connection, now)
    return now


async def test_every_tier_says_what_it_holds_and_takes(service: Any, pool: Pool) -> None:
    now = await fill(service, pool)
    answer = await service.get("/storage")

    assert answer.status == 200
    found = {tier["name"]: tier for tier in answer.body["tiers"]}
    assert {"raw", "1m", "5m", "1h", "1d", "checks", "counters_5m"} <= set(found)
    raw = found["raw"]
    assert raw["relation"] == "system_metrics"
    assert (raw["rows"], raw["keep_days"]) == (4320, 30)
    assert datetime.fromisoformat(raw["newest"]) == now
    assert datetime.fromisoformat(raw["oldest"]) == now - timedelta(minutes=4319)
    assert raw["bytes"] == raw["compressed_bytes"] + raw["uncompressed_bytes"]
    assert 0 < raw["compressed_bytes"] < raw["unpacked_bytes"]
    assert raw["bytes_per_row"] == pytest.approx(raw["bytes"] / 4320)
    assert raw["bytes_per_day"] > 0
    first_day = (now - timedelta(minutes=4319)).replace(hour=0, minute=0, second=0)
    assert datetime.fromisoformat(raw["full_at"]) == first_day + timedelta(days=31)
    assert found["1d"]["full_at"] is None
    assert found["checks"]["bytes_per_day"] is None
    assert found["checks"]["oldest"] is None
    assert answer.body["database_bytes"] > sum(tier["bytes"] for tier in found.values())
    rates = [tier["bytes_per_day"] or 0 for tier in found.values()]
    assert answer.body["growth_bytes_per_day"] == pytest.approx(sum(rates))


async def test_the_day_the_disk_fills_is_told_where_the_room_is_known(
    service: Any, pool: Pool
) -> None:
    now = await fill(service, pool)
    unknown = (await service.get("/storage")).body
    assert unknown["disk"] is None
    assert unknown["full_at"] is None

    service.disk = Disk(total_bytes=100 * MIB, free_bytes=int(unknown["growth_bytes_per_day"] * 2))
    answer = (await service.get("/storage")).body
    assert answer["disk"] == {"total_bytes": 100 * MIB, "free_bytes": service.disk.free_bytes}
    full_at = datetime.fromisoformat(answer["full_at"])
    assert full_at - now == pytest.approx(timedelta(days=2), abs=timedelta(minutes=5))

    service.disk = None
    widening = unknown["database_bytes"] + 10 * MIB
    retention = Retention(capacity_bytes=widening)
    service.config = msgspec.structs.replace(service.config, retention=retention)
    answer = (await service.get("/storage")).body
    assert answer["disk"]["total_bytes"] == widening
    assert answer["disk"]["free_bytes"] == pytest.approx(10 * MIB, abs=MIB)


async def test_an_empty_database_never_fills(service: Any) -> None:
    service.disk = Disk(total_bytes=MIB, free_bytes=MIB)
    answer = (await service.get("/storage")).body

    assert answer["growth_bytes_per_day"] == 0
    assert answer["full_at"] is None
    assert all(tier["rows"] == 0 for tier in answer["tiers"])
