"""Alerts over HTTP: lists, single alerts, and actions, each with its audit."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from alerts import store as alerts
from db.queries import Pool
from events import bus
from model.limits import TEXT_CHARS_MAX
from model.principal import Role
from model.series import Category
from model.severity import Level
from model.times import utc_now

FIELDS = {
    "id", "rule", "level", "category", "component", "labels", "title", "message", "value",
    "threshold", "state", "opened_at", "acknowledged_at", "acknowledged_by", "resolved_at",
    "resolved_by", "suppressed_by", "is_flapping", "metric",
    "runbook",
}  # fmt: skip


async def raise_alert(service: Any, **body: str) -> dict[str, Any]:
    answer = await service.post("/dev/test-alert", body)
    assert answer.status == 201
    alert: dict[str, Any] = answer.body
    return alert


async def bus_events(pool: Pool) -> list[tuple[str, Any]]:
    async with pool.connection() as connection:
        return [(event.type, event.payload) for event in await bus.after(connection, 0, 100)]


async def test_a_test_alert_is_whole_and_announced(service: Any, pool: Pool) -> None:
    alert = await raise_alert(
        service,
        level="critical",
        category="trading",
        component="app",
        title="A title",
        message="A message",
    )

    assert set(alert) == FIELDS
    assert (alert["level"], alert["category"], alert["component"]) == ("critical", "trading", "app")
    assert (alert["title"], alert["message"], alert["state"]) == ("A title", "A message", "firing")
    assert await bus_events(pool) == [("alerts", {"snapshot": False, "alerts": [alert]})]
    assert service.rings == 1


async def test_a_test_alert_needs_nothing_to_be_said(service: Any) -> None:
    for body in (None, {}):
        answer = await service.post("/dev/test-alert", body)
        assert answer.status == 201
    answer = await service.ask("/api/v1/monitoring/dev/test-alert", method="POST")
    assert answer.status == 201
    assert answer.body["level"] == "warning"


async def test_resolving_is_audited_and_announced(service: Any, pool: Pool) -> None:
    alert = await raise_alert(service)
    path = f"/alerts/{alert['id']}"

    answer = await service.post(f"{path}/resolve", {"comment": "Fixed."}, Role.OPERATOR)

    assert answer.status == 200
    resolved = answer.body
    assert (resolved["state"], resolved["resolved_by"]) == ("resolved", "operator")
    assert resolved["resolved_at"].endswith("Z")
    assert (await bus_events(pool))[1:] == [("alert_resolved", resolved)]
    assert service.rings == 2
    single = (await service.get(path)).body
    assert set(single) == FIELDS | {"events"}
    assert {key: single[key] for key in FIELDS} == resolved
    assert [(e["type"], e["actor"], e["comment"]) for e in single["events"]] == [
        ("opened", "admin", ""),
        ("resolved", "operator", "Fixed."),
    ]


async def test_acknowledging_is_audited_and_announced(service: Any, pool: Pool) -> None:
    alert = await raise_alert(service)
    path = f"/alerts/{alert['id']}"

    answer = await service.post(f"{path}/acknowledge", None, Role.OPERATOR)

    assert (answer.status, answer.body["state"]) == (200, "acknowledged")
    assert answer.body["acknowledged_by"] == "operator"
    changed = {"snapshot": False, "alerts": [answer.body]}
    assert (await bus_events(pool))[1:] == [("alerts", changed)]
    assert [e["type"] for e in (await service.get(path)).body["events"]] == [
        "opened",
        "acknowledged",
    ]
    assert (await service.post(f"{path}/resolve", {})).body["acknowledged_by"] == "operator"


async def test_an_unknown_alert_is_404_and_one_already_there_409(service: Any, pool: Pool) -> None:
    alert = await raise_alert(service)
    path = f"/alerts/{alert['id']}"

    for number in ("999", "0", str(2**63 - 1), str(2**63), "9" * 30):
        assert (await service.get(f"/alerts/{number}")).status == 404
        for act in ("resolve", "acknowledge"):
            assert (await service.post(f"/alerts/{number}/{act}", {})).status == 404
    assert (await service.post(f"{path}/acknowledge", {})).status == 200
    assert (await service.post(f"{path}/acknowledge", {})).status == 409
    assert (await service.post(f"{path}/resolve", {})).status == 200
    for act in ("resolve", "acknowledge"):
        answer = await service.post(f"{path}/{act}", {})
        assert answer.status == 409
        assert "resolved" in answer.detail
    assert len(await bus_events(pool)) == 3
    assert service.rings == 3


async def test_only_one_of_many_concurrent_resolves_succeeds(service: Any, pool: Pool) -> None:
    alert = await raise_alert(service)

    answers = await asyncio.gather(
        *(service.post(f"/alerts/{alert['id']}/resolve", {}) for _ in range(10))
    )

    assert sorted(answer.status for answer in answers) == [200] + [409] * 9
    assert [kind for kind, _ in await bus_events(pool)] == ["alerts", "alert_resolved"]


@pytest.mark.parametrize(
    "body", [[], "x", {"comment": 1}, {"comment": "x" * 2001}, {"comment": "\0"}, {"coment": "x"}]
)
async def test_a_malformed_note_changes_nothing(service: Any, pool: Pool, body: Any) -> None:
    alert = await raise_alert(service)

    answer = await service.post(f"/alerts/{alert['id']}/resolve", body)

    assert answer.status == 400
    assert (await service.get(f"/alerts/{alert['id']}")).body["state"] == "firing"
    assert len(await bus_events(pool)) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"level": "loud"},
        {"category": "other"},
        {"component": ""},
        {"component": "\0"},
        {"title": "x" * (TEXT_CHARS_MAX + 1)},
        {"unknown": 1},
        {"level": None},
    ],
)
async def test_a_malformed_test_alert_is_refused(service: Any, body: Any) -> None:
    assert (await service.post("/dev/test-alert", body)).status == 400


async def test_lists_hold_what_is_open_and_what_was(service: Any) -> None:
    first = await raise_alert(service, component="a", level="info")
    second = await raise_alert(service, component="b", category="database")
    await service.post(f"/alerts/{first['id']}/resolve", {})

    async def ids(path: str, **query: str) -> list[int]:
        return [item["id"] for item in (await service.get(path, **query)).body["items"]]

    assert await ids("/alerts/active") == [second["id"]]
    assert await ids("/alerts/history") == [second["id"], first["id"]]
    assert await ids("/alerts/history", component="a") == [first["id"]]
    assert await ids("/alerts/history", level="info") == [first["id"]]
    assert await ids("/alerts/active", category="database") == [second["id"]]
    assert await ids("/alerts/active", category="trading") == []
    assert await ids("/alerts/history", end="-1h") == []
    assert await ids("/alerts/history", start="-1m", end="now") == [second["id"], first["id"]]


async def test_lists_are_paged_newest_first(service: Any, pool: Pool) -> None:
    async with pool.connection() as connection:
        made = [
            await alerts.open_test(
                connection, utc_now(), Level.INFO, Category.SYSTEM, "c", "t", "m"
            )
            for _ in range(23)
        ]

    for path in ("/alerts/active", "/alerts/history"):
        found, cursor = [], None
        for size in (10, 10, 3):
            query = {"limit": 10} | ({"cursor": cursor} if cursor else {})
            page = (await service.get(path, **query)).body
            assert len(page["items"]) == size
            found += [item["id"] for item in page["items"]]
            cursor = page["cursor"]
        assert cursor is None
        assert found == made[::-1]


async def test_anyone_may_say_something_about_an_alert_at_any_time(service: Any) -> None:
    alert = await raise_alert(service)
    path = f"/alerts/{alert['id']}"
    await service.post(f"{path}/resolve", {})

    answer = await service.post(f"{path}/comment", {"comment": "It was the disk."}, Role.OPERATOR)

    assert answer.status == 201
    said = [(e["type"], e["actor"], e["comment"]) for e in answer.body["events"]]
    assert said[-1] == ("commented", "operator", "It was the disk.")
    assert (await service.post("/alerts/999/comment", {"comment": "x"})).status == 404
    for body in (None, {}, {"comment": ""}, {"comment": "x" * 2001}):
        assert (await service.post(f"{path}/comment", body)).status == 400


async def test_an_alert_whose_rule_is_gone_is_not_opened_again(service: Any) -> None:
    alert = await raise_alert(service)
    path = f"/alerts/{alert['id']}"
    await service.post(f"{path}/resolve", {})

    assert (await service.post(f"{path}/reopen", {})).status == 409
    assert (await service.post("/alerts/999/reopen", {})).status == 404


async def test_the_history_is_filtered_and_tells_each_step(service: Any) -> None:
    first, second = await raise_alert(service), await raise_alert(service)
    await service.post(f"/alerts/{first['id']}/acknowledge", {"comment": "mine"})
    await service.post(f"/alerts/{second['id']}/resolve", {})

    async def found(path: str, **query: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await service.get(path, **query)).body["items"]
        return items

    reported = await found("/alerts/history", events="true")
    assert [[e["type"] for e in alert["events"]] for alert in reported] == [
        ["opened", "resolved"],
        ["opened", "acknowledged"],
    ]
    assert reported[1]["events"][1]["comment"] == "mine"
    assert all("events" not in alert for alert in await found("/alerts/history"))
    assert [a["id"] for a in await found("/alerts/history", state="resolved")] == [second["id"]]
    assert [a["id"] for a in await found("/alerts/active", state="acknowledged")] == [first["id"]]
    assert len(await found("/alerts/history", rule="test-alert")) == 2
    assert await found("/alerts/active", rule="cpu") == []
    assert (await service.get("/alerts/history", state="loud")).status == 400


async def test_the_history_has_what_was_open_in_its_range(service: Any, pool: Pool) -> None:
    now = utc_now()
    days = {"old": (9, 8), "into": (9, 6), "open": (8, None), "in": (5, 4), "after": (2, 1)}
    async with pool.connection() as connection:
        for title, (opened, resolved) in days.items():
            begin = now - timedelta(days=opened)
            number = await alerts.open_test(
                connection, begin, Level.INFO, Category.SYSTEM, "app", title, ""
            )
            if resolved is not None:
                await alerts.resolve(connection, number, now - timedelta(days=resolved), "ana")

    async def titles(**asked: Any) -> list[str]:
        items = (await service.get("/alerts/history", **asked)).body["items"]
        return [alert["title"] for alert in items]

    assert await titles() == ["after", "in", "open", "into"]
    assert await titles(start="-30d", end="-3d") == ["in", "open", "into", "old"]
    assert await titles(start="-3d", end="-50h") == ["open"]
    assert await titles(state="resolved") == ["after", "in", "into"]
    found, cursor = [], {}
    while cursor is not None:
        page = (await service.get("/alerts/history", limit=1, **cursor)).body
        found += [alert["title"] for alert in page["items"]]
        cursor = {"cursor": page["cursor"]} if page["cursor"] else None
    assert found == ["after", "in", "open", "into"]


async def test_open_alerts_are_told_with_each_step_too(service: Any) -> None:
    alert = await raise_alert(service)
    await service.post(f"/alerts/{alert['id']}/acknowledge")

    [plain] = (await service.get("/alerts/active")).body["items"]
    [reported] = (await service.get("/alerts/active", events="true")).body["items"]

    assert "events" not in plain
    assert [transition["type"] for transition in reported.pop("events")] == [
        "opened",
        "acknowledged",
    ]
    assert reported == plain
