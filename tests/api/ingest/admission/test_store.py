"""The common steps of all ingest routes: limits, counters, and an outage of the database."""

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from api.ingest.admission import series_quota
from api.ingest.admission.accepted_times import AcceptedTimesCache
from db.queries import Pool
from model.principal import Role
from model.times import utc_now
from samples.spooling.spool import open_spool
from samples.writer import Writer
from tests.api.ingest.remote import series
from tests.api.ingest.test_remote_write import UP, send, snappy


def column(metric: str, count: int = 1) -> dict[str, Any]:
    now = int(time.time())
    times = [now - second for second in range(count)]
    return {"metric": metric, "component": "app", "times": times, "values": [1.0] * count}


async def store(service: Any, *columns: dict[str, Any], role: Role = Role.INGEST) -> Any:
    return await service.post("/metrics", {"series": list(columns)}, role)


async def test_new_series_beyond_the_ration_cost_only_their_own_samples(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series_quota, "NEW_SERIES_A_MINUTE_MAX", 2)
    monkeypatch.setattr(series_quota, "PAUSE_S", 0.01)
    before = service.context.receivers.rejected["native", "new_series"]
    accepted = service.context.receivers.accepted["native"]

    first = await store(service, *(column(f"m{i}") for i in range(4)))
    again = await store(service, *(column(f"m{i}", 3) for i in range(4)))
    by_admin = await store(service, column("m3"), role=Role.ADMIN)

    assert (first.status, first.body["accepted"], first.body["rejected"]) == (200, 2, 2)
    assert (again.body["accepted"], again.body["duplicate"], again.body["rejected"]) == (4, 2, 6)
    [reason] = again.body["reasons"]
    assert "a minute for one key" in reason["reason"]
    assert by_admin.body["accepted"] == 1
    assert service.context.receivers.rejected["native", "new_series"] == before + 8
    assert service.context.receivers.accepted["native"] == accepted + 2 + 6 + 1


async def test_remote_write_says_which_series_were_too_many_and_stores_the_others(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series_quota, "NEW_SERIES_A_MINUTE_MAX", 1)
    now_ms = int(time.time() * 1000)
    body = b"".join(series({"__name__": name}, [(1.0, now_ms)]) for name in ("a", "b"))

    answer = await send(service, snappy(body))

    assert answer.status == 400
    assert "1: a new series exceeds a limit" in answer.detail
    assert [item["metric"] for item in (await service.get("/metrics")).body["items"]] == ["a"]


async def test_counts_of_what_came_in_are_told(service: Any) -> None:
    await store(service, column("m", 3), column("not a name"))

    status = (await service.get("/dev/status", Role.ADMIN)).body["services"]["ingest"]
    text = (await service.ask("/metrics", Role.VIEWER)).body

    assert status["accepted"]["native"] >= 3
    assert status["rejected"]["native"]["name"] >= 1
    assert 'vigia_ingest_accepted_total{protocol="native"}' in text
    assert 'vigia_ingest_rejected_total{protocol="native",reason="name"}' in text


async def test_while_the_database_is_away_what_known_keys_send_waits_on_disk(
    service: Any, away: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store(service, column("m"))
    auth = service.context.auth
    auth._keys._found.clear()
    monkeypatch.setattr(auth, "_pool", away)
    monkeypatch.setattr(auth.lookups, "_pool", away)
    async with open_spool(tmp_path) as spool:
        service.writer = Writer(away, lambda _: None, spool)

        answer = await store(service, column("m", 2), column("not a name"))
        remote = await send(service, snappy(series(UP, [(1, int(time.time() * 1000))])))
        unauthenticated = await store(service, column("m", 2), role=Role.OPERATOR)

        assert (answer.status, remote.status, unauthenticated.status) == (202, 202, 503)
        assert answer.body["duplicate"] is None
        assert (answer.body["accepted"], answer.body["rejected"]) == (2, 1)
        assert spool.status()["samples"] == 3


async def test_the_accepted_times_are_remembered_while_the_database_is_away(
    pool: Pool, away: Pool
) -> None:
    now, keep = utc_now(), timedelta(days=30)
    dropped_to = now - timedelta(days=3)
    async with pool.connection() as connection:
        await connection.execute(
            "UPDATE tiers SET dropped_to = %s WHERE name = 'raw'", [dropped_to]
        )
    accepted_times, other = AcceptedTimesCache(), AcceptedTimesCache()
    await accepted_times.ask(pool, now)
    accepted_times.forget()
    await accepted_times.ask(away, now)
    await other.ask(away, now)

    assert accepted_times.range(keep, now).start == dropped_to
    assert other.range(keep, now).start == now - timedelta(days=28)
