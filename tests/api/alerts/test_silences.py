"""Silences over HTTP: created, read, changed and ended, with immediate effect and announced."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from db.queries import Pool
from events import bus
from model.principal import Role
from model.times import utc_now

PATH = "/alerts/silences"
BASE = "/api/v1/monitoring"
QUIET = {"matcher": {"component": "shop"}, "duration": "2h", "comment": "a new shop"}


async def put(service: Any, number: int, body: Any, role: Role = Role.OPERATOR) -> Any:
    return await service.ask(f"{BASE}{PATH}/{number}", role, method="PUT", json=body)


async def end(service: Any, number: int) -> Any:
    return await service.ask(f"{BASE}{PATH}/{number}", Role.OPERATOR, method="DELETE")


async def raise_alert(service: Any, component: str) -> Any:
    return (await service.post("/dev/test-alert", {"component": component})).body


async def suppressed(service: Any) -> dict[str, list[str]]:
    items = (await service.get("/alerts/active")).body["items"]
    return {alert["component"]: alert["suppressed_by"] for alert in items}


async def reported(pool: Pool) -> list[dict[str, list[str]]]:
    async with pool.connection() as connection:
        found: list[Any] = [e.payload["alerts"] for e in await bus.after(connection, 0, 100)]
    return [{alert["component"]: alert["suppressed_by"] for alert in message} for message in found]


async def test_a_silence_holds_at_once_and_until_it_is_ended(service: Any, pool: Pool) -> None:
    await raise_alert(service, "shop")
    made = await service.post(PATH, QUIET, Role.OPERATOR)

    assert (made.status, made.body["state"], made.body["created_by"]) == (201, "active", "operator")
    name = f"silence:{made.body['id']}"
    await raise_alert(service, "bank")
    late = await raise_alert(service, "shop")
    assert late["suppressed_by"] == [name]
    assert await suppressed(service) == {"bank": [], "shop": [name]}

    assert (await end(service, made.body["id"])).status == 204
    assert await suppressed(service) == {"bank": [], "shop": []}
    assert await reported(pool) == [
        {"shop": []}, {"shop": [name]}, {"bank": []}, {"shop": [name]}, {"shop": []},
    ]  # fmt: skip
    transitions = (await service.get(f"/alerts/{late['id']}")).body["events"]
    assert [(s["type"], s["actor"], s["comment"]) for s in transitions] == [
        ("opened", "admin", ""),
        ("suppressed", "admin", f"{name} by operator: a new shop"),
        ("unsuppressed", "operator", name),
    ]


async def test_a_silence_is_read_listed_and_changed(service: Any) -> None:
    first = (await service.post(PATH, QUIET)).body
    begin = utc_now() + timedelta(hours=1)
    later = {**QUIET, "starts_at": begin.isoformat(), "ends_at": str(begin.timestamp() + 60)}
    del later["duration"]
    second = (await service.post(PATH, later)).body

    assert (await service.get(f"{PATH}/{first['id']}")).body == first
    assert second["state"] == "pending"
    assert (await service.get(PATH)).body["items"] == [second, first]
    assert (await service.get(PATH, active="true")).body["items"] == [first]
    page = (await service.get(PATH, limit=1)).body
    assert (await service.get(PATH, cursor=page["cursor"])).body["items"] == [first]

    wanted = {**QUIET, "matcher": {"level": ["info", "warning"]}, "duration": "3h"}
    changed = (await put(service, first["id"], wanted)).body
    assert changed["matcher"] == {"level": ["info", "warning"]}
    assert (changed["starts_at"], changed["updated_by"]) == (first["starts_at"], "operator")
    assert changed["ends_at"] > first["ends_at"]


async def test_a_resource_that_was_read_can_be_changed_and_sent_back(service: Any) -> None:
    read = (await service.post(PATH, QUIET)).body

    changed = await put(service, read["id"], {**read, "comment": "another shop"})

    assert changed.status == 200
    volatile = {"updated_at", "comment"}
    assert changed.body["comment"] == "another shop"
    assert {k: v for k, v in changed.body.items() if k not in volatile} == {
        k: v for k, v in {**read, "updated_by": "operator"}.items() if k not in volatile
    }
    assert (await put(service, read["id"], {**read, "until": "now"})).status == 400


async def test_times_and_durations_are_also_numbers(service: Any) -> None:
    begin = int(utc_now().timestamp()) + 3600
    made = await service.post(PATH, {**QUIET, "starts_at": begin, "duration": 90})
    ended = await service.post(
        PATH, {**QUIET, "starts_at": begin + 0.5, "duration": None, "ends_at": begin + 60}
    )

    assert (made.status, ended.status) == (201, 201)
    times = [datetime.fromisoformat(made.body[name]) for name in ("starts_at", "ends_at")]
    assert [time.timestamp() for time in times] == [begin, begin + 90]
    for wrong in (-1, 0, 10**12, True):
        assert (await service.post(PATH, {**QUIET, "duration": wrong})).status == 400


async def test_an_ended_silence_stays_and_cannot_be_changed(service: Any) -> None:
    number = (await service.post(PATH, QUIET)).body["id"]
    assert (await end(service, number)).status == 204

    assert (await put(service, number, QUIET)).status == 409
    assert (await end(service, number)).status == 409
    assert (await service.get(f"{PATH}/{number}")).body["state"] == "ended"
    assert (await service.get(PATH, active="true")).body["items"] == []


async def test_one_that_has_not_begun_can_be_called_off(service: Any) -> None:
    begin = (utc_now() + timedelta(hours=1)).isoformat()
    number = (await service.post(PATH, {**QUIET, "starts_at": begin})).body["id"]

    assert (await end(service, number)).status == 204
    assert (await service.get(f"{PATH}/{number}")).body["state"] == "ended"


@pytest.mark.parametrize(
    "wrong",
    [
        {"matcher": {}},
        {"matcher": {"labels": {}}},
        {"matcher": {"component": []}},
        {"matcher": {"host": "a"}},
        {"matcher": {"level": "loud"}},
        {"comment": ""},
        {"ends_at": "2100-01-01T00:00:00Z"},
        {"duration": None},
        {"duration": "-1h"},
        {"duration": None, "ends_at": "-1h"},
        {"starts_at": "-3h"},
        {"starts_at": "soon"},
    ],
)
async def test_a_silence_that_makes_no_sense_is_refused(service: Any, wrong: Any) -> None:
    answer = await service.post(PATH, {**QUIET, **wrong})

    assert answer.status == 400
    assert (await service.get(PATH)).body["items"] == []


async def test_one_that_is_not_there_is_404(service: Any) -> None:
    for number in (1, 2**31, 2**63 - 1, 2**70):
        assert (await service.get(f"{PATH}/{number}")).status == 404
        assert (await put(service, number, QUIET)).status == 404
        assert (await end(service, number)).status == 404


async def test_a_dependency_acts_at_once(service: Any, pool: Pool) -> None:
    async with pool.connection() as connection:
        await connection.execute(
            "INSERT INTO alert_rules (name, kind, metric, category, agg, window_s, op, levels) "
            "VALUES ('test-alert', 'threshold', 'component_up', 'system', 'avg', 60, '<', '{}')"
        )
    for component in ("shop", "database"):
        await raise_alert(service, component)

    path = f"{BASE}/config/dependencies"
    wanted = {"shop": ["app"], "app": ["database"]}
    answer = await service.ask(path, method="PUT", json={"value": wanted})

    assert answer.status == 200
    assert await suppressed(service) == {"shop": ["dependency:database"], "database": []}
    answer = await service.ask(path, method="PUT", json={"value": {**wanted, "database": ["shop"]}})
    assert answer.status == 400
    assert "circular dependency" in answer.detail
    await service.ask(path, method="PUT", json={"value": {}})
    assert await suppressed(service) == {"shop": [], "database": []}


async def test_an_alert_that_is_opened_again_is_suppressed_as_it_should_be_now(
    service: Any,
) -> None:
    await service.post(
        "/alerts/rules", {"name": "test-alert", "metric": "load", "levels": {"info": 1}}
    )
    alert = await raise_alert(service, "shop")
    await service.post(f"/alerts/{alert['id']}/resolve")
    silence = (await service.post(PATH, QUIET)).body
    assert (await service.get(f"/alerts/{alert['id']}")).body["suppressed_by"] == []

    opened = await service.post(f"/alerts/{alert['id']}/reopen")

    assert opened.body["suppressed_by"] == [f"silence:{silence['id']}"]
