"""Previews over HTTP: nothing is written, and addresses are masked."""

from typing import Any

import pytest

from model.principal import Role
from tests.api.notifications.rota import make_channel, put
from tests.api.notifications.test_contacts import MAIL
from tests.api.routing.chain import make_people, make_policy, make_route


async def preview(service: Any, **body: Any) -> Any:
    answer = await service.post("/routes/preview", body, Role.OPERATOR)
    assert answer.status == 200, answer.body
    return answer.body


async def test_a_preview_says_who_is_told_and_when(service: Any) -> None:
    await make_people(service)
    await make_channel(service, "mail", **MAIL)
    address = {"channel": "mail", "address": "bo@example.org"}
    bo = (await service.get("/contacts/bo", Role.OPERATOR)).body
    await put(service, "/contacts/bo", bo | {"addresses": [address]})
    await make_policy(service)
    await make_route(service, policy="wake", matcher={"component": "api"})
    found = await preview(service, component="api", at="2030-01-01T12:00:00Z")

    [route] = found["routes"]
    assert (route["name"], route["sent_at"]) == ("all", "2030-01-01T12:00:30Z")
    assert [
        (one["at"][11:19], one["step"], one["channel"], one["person"], one["address"])
        for one in found["messages"]
    ] == [
        ("12:00:00", 1, "hook", "ana", ""),
        ("12:00:30", None, "hook", None, ""),
        ("12:05:00", 2, "mail", "bo", "b…@example.org"),
        ("12:05:00", 2, "hook", None, ""),
    ]


async def test_an_alert_that_is_there_is_previewed_by_its_number(service: Any) -> None:
    await make_people(service)
    await make_route(service, matcher={"level": "warning"})
    raised = await service.post("/dev/test-alert", {"level": "warning"})
    other = await service.post("/dev/test-alert", {"level": "critical"})

    assert (await preview(service, alert=raised.body["id"]))["routes"][0]["is_group_open"]
    nobody = await preview(service, alert=other.body["id"])
    assert (nobody["has_routes"], nobody["routes"], nobody["messages"]) == (True, [], [])
    missing = await service.post("/routes/preview", {"alert": 10**6}, Role.OPERATOR)
    assert (missing.status, missing.detail) == (404, "there is no alert 1000000")


async def test_a_preview_writes_nothing(service: Any, pool: Any) -> None:
    await make_people(service)
    await make_policy(service)
    await make_route(service, policy="wake")
    await preview(service)

    for table in ("notification_groups", "escalations", "system_alerts"):
        async with pool.connection() as connection:
            cursor = await connection.execute(f"SELECT count(*) FROM {table}")
            assert await cursor.fetchone() == (0,)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"alert": 1, "component": "api"}, "alert must be given alone"),
        ({"alert": 0}, "alert"),
        ({"colour": "red"}, "colour"),
        ({"at": "someday"}, "someday"),
    ],
)
async def test_a_wrong_request_is_refused(service: Any, body: dict[str, Any], words: str) -> None:
    answer = await service.post("/routes/preview", body, Role.OPERATOR)

    assert (answer.status, words in answer.detail) == (400, True), answer.detail
