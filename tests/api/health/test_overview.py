"""Health, the dashboard, the service's own state, and the probes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from db.queries import Pool
from events import bus
from health import status as health
from model.principal import Role
from model.series import Sample, Series
from model.times import utc_now
from retention import tiers
from samples.database import readiness
from samples.write_batch import write_batch_of

BASE = "/api/v1/monitoring"


async def observe(service: Any, pool: Pool, at: datetime, **up: float) -> None:
    """Let each component be seen up (1) or down (0), and checked."""
    await service.writer.store(
        write_batch_of(
            [
                Sample(
                    Series(metric="component_up", component=name),
                    at - timedelta(seconds=1),
                    value,
                    "refused" if value == 0 else "",
                )
                for name, value in up.items()
            ]
        )
    )
    async with pool.connection() as connection:
        await health.check(connection, at, 30, {})


async def test_health_is_of_the_whole_and_of_each(service: Any, pool: Pool) -> None:
    now = utc_now().replace(microsecond=0)
    await observe(service, pool, now - timedelta(minutes=10), server=1, database=1)
    await observe(service, pool, now, server=1, database=0)

    body = (await service.get("/health")).body
    past = (await service.get("/health", at="-9m")).body

    assert body["status"] == "down"
    assert body["components"]["database"] == {
        "status": "down",
        "since": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "reason": "refused",
        "maintenance": False,
        "uptime_24h": 50,
        "last_check": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    assert body["components"]["server"]["status"] == "healthy"
    assert past["status"] == "healthy"
    assert (await service.get("/health", at="-1d")).body == {"status": None, "components": {}}


async def test_nothing_observed_is_null(service: Any) -> None:
    assert (await service.get("/health")).body == {"status": None, "components": {}}


@pytest.mark.parametrize("at", ["2242-01-01T00:00:00Z", "x", "", "-9e18"])
async def test_the_past_is_a_time_that_has_been(service: Any, at: str) -> None:
    assert (await service.get("/health", at=at)).status == 400


async def test_the_dashboard_says_all_that_the_others_say(service: Any, pool: Pool) -> None:
    now = utc_now().replace(microsecond=0)
    await observe(service, pool, now, server=1, database=0)
    alert = (await service.post("/dev/test-alert", {})).body

    body = (await service.get("/dashboard")).body

    assert body["health"] == (await service.get("/health")).body
    assert body["metrics"] == (await service.get("/metrics/current")).body
    assert body["alerts"] == [alert]
    assert body["uptime"] == {"server": 100, "database": 0}
    async with pool.connection() as connection:
        assert body["seq"] == await bus.newest(connection) == 1
    assert datetime.fromisoformat(body["time"]) >= now
    assert (await service.get("/dashboard", at="-1h")).status == 400


@pytest.mark.parametrize("path", ["/health", "/metrics/current", "/dashboard"])
async def test_a_client_that_has_the_present_state_gets_304(
    service: Any, pool: Pool, path: str
) -> None:
    now = utc_now().replace(microsecond=0)
    await observe(service, pool, now, server=1)
    first = await service.ask(BASE + path, headers={"Accept-Encoding": "identity"})
    etag = first.headers["ETag"]
    again = await service.ask(BASE + path, headers={"If-None-Match": f'"x", W/{etag}'})

    assert first.headers["Cache-Control"] == "private, no-cache"
    assert (again.status, again.body, again.headers["ETag"]) == (304, "", etag)

    await observe(service, pool, now + timedelta(seconds=30), server=0)
    changed = await service.ask(BASE + path, headers={"If-None-Match": etag})
    assert changed.status == 200
    assert changed.headers["ETag"] != etag


async def test_the_status_is_that_of_the_services_and_the_maintenance(
    service: Any, pool: Pool
) -> None:
    before = (await service.get("/dev/status", Role.ADMIN)).body
    async with pool.connection() as connection:
        await tiers.maintain(connection, datetime.now(UTC))

    body = (await service.get("/dev/status", Role.ADMIN)).body

    assert before["maintenance"] is None
    assert body["services"]["writer"] == {"stored": 0}
    limits = body["services"]["limits"]
    assert set(limits["requests"]) == {"running", "waiting", "waited", "refused"}
    assert limits["requests"]["running"] == 1
    assert set(body["services"]["ingest"]) == {"accepted", "rejected", "skipped", "bodies_refused"}
    assert body["version"]
    assert body["database_version"][0].isdigit()
    assert body["maintenance"]["finished_at"]
    assert body["maintenance"]["error"] is None


async def test_the_map_leads_to_what_there_is(service: Any) -> None:
    await service.declare("m")
    for path in (BASE, BASE + "/"):
        body = (await service.ask(path)).body
        assert body["name"] == "vigia"
        assert body["version"]
    for name, path in body["links"].items():
        query = {"metric": "m"} if name == "history" else {}
        assert (await service.ask(path, params=query)).status == 200, name


async def test_a_process_that_answers_lives(service: Any) -> None:
    service.is_ready = False

    assert (await service.ask("/livez", None)).body == {"status": "alive"}


async def test_the_service_is_ready_once_started_while_the_database_answers(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await service.ask("/readyz", None)).body == {"status": "ready"}

    service.is_ready = False
    starting = await service.ask("/readyz", None)
    service.is_ready = True
    monkeypatch.setattr(readiness, "FRESH_S", 0.0)
    monkeypatch.setattr(readiness, "TRY_TIMEOUT_S", 0.0)
    away = await service.ask("/readyz", None)

    for answer in (starting, away):
        assert answer.status == 503
        assert answer.headers["Retry-After"]
        assert answer.headers["Content-Type"] == "application/problem+json"
