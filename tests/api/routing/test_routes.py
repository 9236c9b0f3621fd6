"""Routes over HTTP."""

from typing import Any

import pytest

from model.principal import Role
from tests.api.notifications.rota import audited, delete, make_channel, put
from tests.api.routing.chain import make_people, make_policy, make_route, names


@pytest.fixture
async def people(service: Any) -> Any:
    await make_people(service)
    return service


async def test_a_route_is_made_read_changed_and_deleted(people: Any) -> None:
    await make_policy(people)
    matcher = {"min_level": "critical", "component": ["api", "db"], "labels": {"team": "x"}}
    made = await make_route(people, policy="wake", matcher=matcher, **{"continue": True})
    assert (made["position"], made["policy"], made["continue"]) == (1, "wake", True)
    assert matcher.items() <= made["matcher"].items()
    assert (made["group_wait"], made["group_interval"], made["repeat"]) == ("30s", "5m", "4h")

    changed = await put(people, "/routes/all", made | {"group_wait": "10s"})
    assert (changed.status, changed.body["group_wait"]) == (200, "10s")
    assert (await people.get("/routes/all", Role.OPERATOR)).body == changed.body

    assert (await delete(people, "/routes/all")).status == 204
    assert (await people.get("/routes/all", Role.OPERATOR)).status == 404


async def test_routes_have_an_order_without_gaps(people: Any) -> None:
    for name in ("a", "b", "c"):
        await make_route(people, name)
    await make_route(people, "first", position=1)
    assert await names(people, "/routes") == ["first", "a", "b", "c"]

    last = (await people.get("/routes/c", Role.OPERATOR)).body
    moved = await put(people, "/routes/c", last | {"position": 2})
    assert moved.body["position"] == 2
    await delete(people, "/routes/a")
    listed = (await people.get("/routes", Role.OPERATOR)).body["items"]
    assert [(one["name"], one["position"]) for one in listed] == [("first", 1), ("c", 2), ("b", 3)]

    page = await people.get("/routes", Role.OPERATOR, limit="2")
    rest = await people.get("/routes", Role.OPERATOR, limit="2", cursor=page.body["cursor"])
    assert [one["name"] for one in rest.body["items"]] == ["b"]


async def test_a_route_that_is_given_back_without_a_position_stays(people: Any) -> None:
    for name in ("a", "b"):
        await make_route(people, name)
    route = (await people.get("/routes/a", Role.OPERATOR)).body
    del route["position"]
    changed = await put(people, "/routes/a", route)

    assert changed.body["position"] == 1


@pytest.mark.parametrize(
    ("terms", "status", "words"),
    [
        ({"channels": []}, 400, "channels or policy must say where the alerts go"),
        ({"channels": ["nowhere"]}, 400, "there is no channel 'nowhere'; the channels are: hook"),
        ({"policy": "none"}, 400, "there is no policy 'none'; there are no policies yet"),
        ({"group_by": ["level"]}, 400, "group_by cannot have level"),
        ({"position": 0}, 400, "position"),
        ({"tz": "Mars/Base"}, 400, "Europe/Lisbon"),
        ({"matcher": {"colour": "red"}}, 400, "colour"),
        ({"name": "preview"}, 400, "choose another name"),
        ({"name": "taken"}, 409, "already exists"),
    ],
)
async def test_a_wrong_route_is_refused_with_what_to_write(
    people: Any, terms: dict[str, Any], status: int, words: str
) -> None:
    await make_route(people, "taken")
    answer = await people.post("/routes", {"name": "all", "channels": ["hook"]} | terms)

    assert (answer.status, words in answer.detail) == (status, True), answer.detail


async def test_a_channel_of_a_route_is_not_deleted(people: Any) -> None:
    other = await make_channel(people, "other")
    await make_route(people, channels=["other"])
    refused = await delete(people, f"/channels/{other['id']}")
    assert refused.status == 409
    assert refused.detail == "other is in the route all; remove it there first"

    await delete(people, "/routes/all")
    assert (await delete(people, f"/channels/{other['id']}")).status == 204


@pytest.mark.parametrize("is_deleted", [True, False])
async def test_what_a_group_waits_to_send_goes_when_its_route_ends(
    people: Any, is_deleted: bool
) -> None:
    route = await make_route(people, group_wait="1h")
    raised = await people.post("/dev/test-alert", {"level": "critical", "title": "It burns"})
    assert (await sent(people), raised.status) == ([], 201)

    rings = people.rings
    if is_deleted:
        assert (await delete(people, "/routes/all")).status == 204
    else:
        await put(people, "/routes/all", route | {"enabled": False})
    assert await sent(people) == [(raised.body["id"], "opened", "hook")]
    assert people.rings > rings


async def test_a_route_that_is_off_repeats_nothing(people: Any, pool: Any) -> None:
    route = await make_route(people, group_wait="0s")
    await people.post("/dev/test-alert", {"level": "critical"})
    await put(people, "/routes/all", route | {"enabled": False})
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM notification_groups")
        assert await cursor.fetchone() == (0,)


async def test_each_change_of_a_route_is_in_the_audit(people: Any) -> None:
    made = await make_route(people)
    await put(people, "/routes/all", made)
    await delete(people, "/routes/all")

    assert await audited(people, "route_changed") == [
        ("admin", "route all created"),
        ("admin", "route all changed"),
        ("admin", "route all deleted"),
    ]


async def sent(service: Any) -> list[tuple[int, str, str]]:
    """Return the alert, event and channel of each delivery, oldest first."""
    found = (await service.get("/deliveries", Role.OPERATOR)).body["items"]
    told = [one for one in reversed(found) if one["kind"] == "alert"]
    return [(one["alert"]["id"], one["event"], one["channel"]) for one in told]
