"""Escalation policies over HTTP."""

from typing import Any

import pytest

from model.principal import Role
from tests.api.notifications.rota import audited, delete, put
from tests.api.routing.chain import STEPS, make_people, make_policy, make_route, names


@pytest.fixture
async def people(service: Any) -> Any:
    await make_people(service)
    return service


async def test_a_policy_is_made_read_changed_and_deleted(people: Any) -> None:
    made = await make_policy(people)
    assert [step["delay"] for step in made["steps"]] == ["5m", "5m"]
    assert (made["repeat"], made["acknowledgement_expires"]) == (0, "2h")

    changed = await put(people, "/policies/wake", made | {"repeat": 3})
    assert (changed.status, changed.body["repeat"]) == (200, 3)
    one = await people.get("/policies/wake", Role.OPERATOR)
    assert one.body == changed.body
    assert await names(people, "/policies") == ["wake"]

    assert (await delete(people, "/policies/wake")).status == 204
    assert (await people.get("/policies/wake", Role.OPERATOR)).status == 404


async def test_policies_are_listed_page_by_page(people: Any) -> None:
    for name in ("first", "second"):
        await make_policy(people, name)
    page = await people.get("/policies", Role.OPERATOR, limit="1")
    rest = await people.get("/policies", Role.OPERATOR, limit="1", cursor=page.body["cursor"])

    assert [one["name"] for one in page.body["items"] + rest.body["items"]] == ["first", "second"]
    assert rest.body["cursor"] is None


@pytest.mark.parametrize(
    ("terms", "status", "words"),
    [
        ({"steps": []}, 400, "steps"),
        ({"steps": [STEPS[0] | {"delay": "5s"}]}, 400, "delay must be from 1m to 7d"),
        (
            {"steps": [{"targets": [{"kind": "person", "name": "dora"}]}]},
            400,
            "there is no contact 'dora'",
        ),
        (
            {"steps": [{"targets": [{"kind": "schedule", "name": "x"}]}]},
            400,
            "there is no schedule 'x'",
        ),
        ({"acknowledgement_expires": "1m"}, 400, "from 5m to 7d"),
        ({"name": "preview"}, 400, "choose another name"),
        ({"name": "taken"}, 409, "already exists"),
    ],
)
async def test_a_wrong_policy_is_refused_with_what_to_write(
    people: Any, terms: dict[str, Any], status: int, words: str
) -> None:
    await make_policy(people, "taken")
    answer = await people.post("/policies", {"name": "wake", "steps": STEPS} | terms)

    assert (answer.status, words in answer.detail) == (status, True), answer.detail


async def test_a_policy_keeps_its_name(people: Any) -> None:
    made = await make_policy(people)
    answer = await put(people, "/policies/wake", made | {"name": "other"})

    assert (answer.status, answer.detail) == (400, "name: must be 'wake', as in the path")


async def test_what_a_policy_names_is_not_deleted(people: Any) -> None:
    await make_policy(people)
    [channel] = (await people.get("/channels", Role.OPERATOR)).body["items"]
    # Whoever is reached by the channel is another reason, which is said first.
    for name in ("ana", "bo"):
        contact = (await people.get(f"/contacts/{name}", Role.OPERATOR)).body
        await put(people, f"/contacts/{name}", contact | {"addresses": []})

    for path in ("/contacts/bo", "/schedules/ops", f"/channels/{channel['id']}"):
        answer = await delete(people, path)
        assert (answer.status, "is a target of the policy wake" in answer.detail) == (409, True), (
            path
        )
    renamed = await put(people, f"/channels/{channel['id']}", channel | {"name": "other"})
    assert (renamed.status, "is a target of the policy wake" in renamed.detail) == (409, True)

    await delete(people, "/policies/wake")
    for path in ("/contacts/bo", "/schedules/ops", f"/channels/{channel['id']}"):
        assert (await delete(people, path)).status == 204


async def test_a_policy_that_a_route_leads_to_is_not_deleted(people: Any) -> None:
    await make_policy(people)
    await make_route(people, policy="wake")
    answer = await delete(people, "/policies/wake")

    assert answer.status == 409
    assert answer.detail == "a route leads to the policy 'wake'; change the route first"


async def test_each_change_of_a_policy_is_in_the_audit(people: Any) -> None:
    made = await make_policy(people)
    await put(people, "/policies/wake", made)
    await delete(people, "/policies/wake")

    assert await audited(people, "policy_changed") == [
        ("admin", "policy wake created"),
        ("admin", "policy wake changed"),
        ("admin", "policy wake deleted"),
    ]
