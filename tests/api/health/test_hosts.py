"""Hosts over HTTP: listed with their last sample, and removed with their alerts."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from alerts.evaluation.evaluator import add_built_in_rules, evaluate
from db.queries import Pool
from hosts import store
from hosts.seen import SeenHost
from hosts.watch import sample_of
from model.principal import Role
from model.series import Sample, Series
from model.times import micros_of, utc_now
from samples.insert import insert
from samples.series import SeriesNumbers

BASE = "/api/v1/monitoring"
LOAD = Series(metric="load", component="server", labels=(("host", "web2"),))


def seen(last: datetime, samples: int = 20) -> SeenHost:
    return SeenHost("server", micros_of(last) - 285_000_000, micros_of(last), samples)


@pytest.fixture
async def now(pool: Pool) -> datetime:
    """A minute at which web2 has been silent for five, web1 sends, and an alert is open."""
    now = utc_now().replace(second=0, microsecond=0)
    silent = now - timedelta(minutes=5)
    async with pool.connection() as connection:
        await add_built_in_rules(connection)
        await store.judge(connection, silent, silent)
        for number in range(1, 6):
            at = silent + timedelta(minutes=number, seconds=-1)
            await store.record(
                connection,
                {("web1", "host"): seen(at), ("web2", "host"): seen(silent)},
            )
            found = await store.judge(connection, at, silent)
        samples = [sample_of(host, now - timedelta(seconds=1)) for host in found]
        await insert(connection, SeriesNumbers(), [*samples, Sample(LOAD, silent, 1.0)])
        await evaluate(connection, now, {}, on_transitions=[])
    return now


async def remove(service: Any, name: str, role: Role = Role.OPERATOR) -> Any:
    return await service.ask(f"{BASE}/hosts/{name}", role, method="DELETE")


async def test_hosts_are_listed_by_name(service: Any, now: datetime) -> None:
    first = (await service.get("/hosts", Role.VIEWER, limit=1)).body
    [web1] = first["items"]
    [web2] = (await service.get("/hosts", Role.VIEWER, cursor=first["cursor"])).body["items"]

    assert (web1["name"], web1["silent_since"]) == ("web1", None)
    assert web2 == {
        "name": "web2",
        "kind": "host",
        "component": "server",
        "last_seen": f"{now - timedelta(minutes=5):%FT%TZ}",
        "usual_interval_s": pytest.approx(15),
        "silent_since": f"{now - timedelta(minutes=5):%FT%TZ}",
    }
    silent = (await service.get("/hosts", silent="true")).body
    assert ([one["name"] for one in silent["items"]], silent["cursor"]) == (["web2"], None)
    assert (await service.get("/hosts", cursor="web2")).status == 400


@pytest.mark.usefixtures("now")
async def test_a_removed_host_takes_its_alerts_along(service: Any) -> None:
    [alert] = (await service.get("/alerts/active")).body["items"]
    assert (alert["title"], alert["labels"]) == ("web2 stopped sending", {"host": "web2"})

    assert (await remove(service, "web2")).status == 204
    assert (await service.get("/alerts/active")).body["items"] == []
    ended = (await service.get(f"/alerts/{alert['id']}")).body
    assert (ended["resolved_by"], ended["events"][-1]["comment"]) == (
        "operator", "the host was removed",
    )  # fmt: skip
    assert [one["name"] for one in (await service.get("/hosts")).body["items"]] == ["web1"]
    [event] = (await service.get("/security/events", Role.ADMIN, type="host_removed")).body["items"]
    assert (event["actor"], event["detail"]) == ("operator", "host web2")


@pytest.mark.usefixtures("now")
async def test_only_an_operator_removes_a_host_that_there_is(service: Any) -> None:
    assert (await remove(service, "web2", Role.VIEWER)).status == 403
    answer = await remove(service, "web3")

    assert (answer.status, answer.detail) == (404, "there is no host 'web3'")


async def send(service: Any, host: str, *, imported: bool) -> Any:
    series = {
        "metric": "load",
        "component": "server",
        "labels": {"host": host},
        "times": [utc_now().timestamp()],
        "values": [1.0],
    }
    path = f"{BASE}/metrics" + ("?imported=true" if imported else "")
    return await service.ask(path, Role.INGEST, method="POST", json={"series": [series]})


async def test_who_sends_is_listed_and_who_is_imported_is_not(service: Any) -> None:
    for host, imported in (("web1", False), ("web2", True)):
        assert (await send(service, host, imported=imported)).body["accepted"] == 1
    await service.hosts.write(utc_now())

    [web1] = (await service.get("/hosts")).body["items"]
    assert (web1["name"], web1["usual_interval_s"]) == ("web1", None)
