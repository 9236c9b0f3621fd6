"""Range evaluation over HTTP."""

from typing import Any

import pytest

from model.principal import Role
from tests.api.notifications.rota import make_contact
from tests.api.routing.chain import make_people, make_policy

STEPS = [{"targets": [{"kind": "person", "name": "ana"}]}]


async def evaluated(service: Any, **body: Any) -> Any:
    wanted = {"policy": {"name": "wake", "steps": STEPS}} | body
    return await service.post("/policies/preview", wanted, Role.OPERATOR)


async def test_a_policy_is_evaluated_over_a_range_without_being_stored(service: Any) -> None:
    await make_contact(service, "ana")
    await service.post("/dev/test-alert", {"level": "critical"})
    answer = await evaluated(service, night={"start": "00:00", "end": "24:00"})

    assert answer.status == 200, answer.body
    [ana] = answer.body["people"]
    assert (ana["person"], ana["alerts"], ana["at_night"]) == ("ana", 1, 1)
    assert answer.body["present"] is None
    assert (await service.get("/policies", Role.OPERATOR)).body["items"] == []


async def test_a_changed_policy_is_compared_with_the_stored_one(service: Any) -> None:
    await make_people(service)
    stored = await make_policy(service)
    answer = await evaluated(service, policy=stored | {"repeat": 2})

    assert (answer.status, answer.body["present"]) == (200, [])


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"start": "-94d"}, 400, "by up to 93 days"),
        ({"start": "now"}, 400, "start must be before end"),
        ({"policy": {"name": "wake", "steps": []}}, 400, "steps"),
        ({"night": {"start": "25:00"}}, 400, "night"),
        ({"route": "x"}, 404, "there is no route 'x'"),
    ],
)
async def test_a_wrong_range_evaluation_is_refused(
    service: Any, body: dict[str, Any], status: int, words: str
) -> None:
    answer = await evaluated(service, **body)

    assert (answer.status, words in answer.detail) == (status, True), answer.detail
