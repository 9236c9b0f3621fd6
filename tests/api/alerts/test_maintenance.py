"""Maintenance windows over HTTP: created, read, replaced and removed, with immediate effect."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from db.queries import Pool
from model.principal import Role
from model.times import utc_now

PATH = "/maintenance"
BASE = "/api/v1/monitoring"
NIGHTLY = {
    "name": "backup", "matcher": {"component": "database"}, "repeat": "daily", "time": "02:30",
    "duration": "1h", "tz": "Europe/Berlin", "comment": "full backup",
}  # fmt: skip


def now_for(hours: int, **more: Any) -> dict[str, Any]:
    now = utc_now()
    span = {"starts_at": now.isoformat(), "ends_at": (now + timedelta(hours=hours)).isoformat()}
    return {"name": "move", **span, **more}


async def put(service: Any, number: int, body: Any) -> Any:
    return await service.ask(f"{BASE}{PATH}/{number}", Role.OPERATOR, method="PUT", json=body)


async def delete(service: Any, number: int) -> Any:
    return await service.ask(f"{BASE}{PATH}/{number}", Role.OPERATOR, method="DELETE")


async def test_a_window_is_planned_read_replaced_and_ended(service: Any) -> None:
    made = await service.post(PATH, NIGHTLY, Role.OPERATOR)

    assert made.status == 201
    assert {key: made.body[key] for key in NIGHTLY} == NIGHTLY
    assert (made.body["enabled"], made.body["updated_by"]) == (True, "operator")
    number = made.body["id"]
    assert (await service.get(f"{PATH}/{number}")).body == made.body
    assert (await service.get(PATH)).body == {"items": [made.body], "cursor": None}

    weekly = {**NIGHTLY, "name": "b2", "repeat": "weekly", "weekdays": ["sat", "sun"]}
    changed = await put(service, number, {**weekly, "ends_at": True})
    assert changed.status == 400
    changed = await put(service, number, {**weekly, "ends_at": "4102444800"})
    assert (changed.status, changed.body["weekdays"]) == (200, ["sat", "sun"])
    assert changed.body["ends_at"] == "2100-01-01T00:00:00Z"

    assert (await delete(service, number)).status == 204
    assert (await service.get(f"{PATH}/{number}")).status == 404
    assert (await delete(service, number)).status == 404
    assert (await put(service, number, NIGHTLY)).status == 404
    assert (await service.get(f"{PATH}/{2**63}")).status == 404


async def test_a_resource_that_was_read_can_be_changed_and_sent_back(service: Any) -> None:
    for body in (NIGHTLY, now_for(1)):
        read = (await service.post(PATH, body)).body

        changed = await put(service, read["id"], {**read, "comment": "another disk"})

        assert (changed.status, changed.body["comment"]) == (200, "another disk")
        assert {**read, "updated_at": 0, "updated_by": "operator", "comment": ""} == {
            **changed.body, "updated_at": 0, "comment": "",
        }  # fmt: skip
    assert (await put(service, read["id"], {**read, "until": "now"})).status == 400


async def test_times_and_durations_are_also_numbers(service: Any) -> None:
    made = await service.post(PATH, {**NIGHTLY, "duration": 5400, "starts_at": 4102444800.5})

    assert (made.status, made.body["duration"]) == (201, "90m")
    assert made.body["starts_at"] == "2100-01-01T00:00:00.500000Z"
    for wrong in (-60, 90.5, 30, True):
        answer = await service.post(PATH, {**NIGHTLY, "name": "b", "duration": wrong})
        assert (answer.status, "duration" in answer.detail) == (400, True)


async def test_a_window_holds_at_once_and_until_it_is_ended(service: Any) -> None:
    async def suppressed() -> list[str]:
        found: list[str] = (await service.get("/alerts/active")).body["items"][0]["suppressed_by"]
        return found

    await service.post("/dev/test-alert")
    made = (await service.post(PATH, now_for(1))).body
    assert await suppressed() == ["maintenance:move"]
    await put(service, made["id"], now_for(1, name="removal"))
    assert await suppressed() == ["maintenance:removal"]
    await put(service, made["id"], now_for(1, enabled=False))
    assert await suppressed() == []
    await put(service, made["id"], now_for(1, matcher={"component": "server"}))
    assert await suppressed() == ["maintenance:move"]
    await delete(service, made["id"])
    assert await suppressed() == []


async def test_one_that_ended_keeps_its_past_and_frees_its_name(service: Any, pool: Pool) -> None:
    first = (await service.post(PATH, now_for(2))).body
    await delete(service, first["id"])
    second = await service.post(PATH, now_for(3))

    assert second.status == 201
    assert (await service.get(PATH)).body["items"] == [second.body]
    now = utc_now()
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT window_id, ends_at <= %s FROM maintenance_spans(%s, %s) ORDER BY 1",
            [now, now - timedelta(hours=1), now + timedelta(hours=1)],
        )
        assert await cursor.fetchall() == [(first["id"], True), (second.body["id"], False)]


async def test_names_are_told_apart(service: Any) -> None:
    first = (await service.post(PATH, NIGHTLY)).body["id"]
    second = (await service.post(PATH, {**NIGHTLY, "name": "other"})).body["id"]

    assert (await service.post(PATH, NIGHTLY)).status == 409
    assert (await put(service, second, NIGHTLY)).status == 409
    assert (await put(service, first, NIGHTLY)).status == 200
    page = (await service.get(PATH, limit=1)).body
    rest = (await service.get(PATH, cursor=page["cursor"])).body["items"]
    assert [item["id"] for item in page["items"] + rest] == [first, second]


@pytest.mark.parametrize(
    "wrong",
    [
        {"tz": "Europe/Nowhere"},
        {"tz": "localtime"},
        {"time": "24:00"},
        {"time": "2:30"},
        {"duration": "30s"},
        {"repeat": "yearly"},
        {"repeat": "weekly"},
        {"repeat": "weekly", "weekdays": ["someday"]},
        {"repeat": "monthly", "days": [32]},
        {"repeat": "once"},
        {"starts_at": "2026-01-02T00:00:00Z", "ends_at": "2026-01-01T00:00:00Z"},
        {"name": "a b"},
        {"matcher": {"component": []}},
    ],
)
async def test_a_window_that_makes_no_sense_is_refused(service: Any, wrong: Any) -> None:
    answer = await service.post(PATH, {**NIGHTLY, **wrong})

    assert answer.status == 400, answer
    assert answer.detail
    assert (await service.get(PATH)).body["items"] == []


async def test_times_come_back_in_utc(service: Any) -> None:
    body = {"name": "x", "starts_at": "2026-07-01T02:00:00+02:00", "ends_at": "1782871200"}

    made = (await service.post(PATH, body)).body

    assert made["starts_at"] == "2026-07-01T00:00:00Z"
    assert made["ends_at"] == f"{datetime.fromtimestamp(1782871200, UTC):%FT%TZ}"
