"""Schedules over HTTP, and the people who take shifts."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from model.principal import Role
from tests.api.notifications.rota import audited, delete, make_contact, make_schedule, put

HOUR = timedelta(hours=1)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def text_of(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


async def on_call(service: Any, **query: str) -> Any:
    answer = await service.get("/oncall", Role.OPERATOR, **query)
    assert answer.status == 200, answer.body
    return answer.body


async def take(service: Any, role: Role = Role.OPERATOR, **body: Any) -> Any:
    return await service.post("/schedules/ops/overrides", body, role)


@pytest.fixture
async def people(service: Any) -> Any:
    for name in ("ana", "bo", "cy"):
        await make_contact(service, name)
    return service


async def test_a_schedule_is_made_read_changed_and_deleted(people: Any) -> None:
    made = await make_schedule(people, "ana", "bo", title="Operations")
    [layer] = made["layers"]
    assert (layer["people"], layer["unit"], layer["length"]) == (["ana", "bo"], "week", 1)
    assert made["overrides"] == []

    changed = await put(people, "/schedules/ops", made | {"title": "Ops"})
    assert (changed.status, changed.body["title"]) == (200, "Ops")
    listed = await people.get("/schedules", Role.OPERATOR)
    assert [one["name"] for one in listed.body["items"]] == ["ops"]

    assert (await delete(people, "/schedules/ops")).status == 204
    for path in ("/schedules/ops", "/schedules/ops/shifts", "/oncall?schedule=ops"):
        assert (await people.get(path, Role.OPERATOR)).status == 404


async def test_on_call_answers_for_a_moment_past_or_to_come(people: Any) -> None:
    await make_schedule(people, "ana", "bo")
    now = await on_call(people, schedule="ops")
    at_change = await on_call(people, schedule="ops", at=now["until"])

    assert {*now["people"], *at_change["people"]} == {"ana", "bo"}
    assert at_change["at"] == now["until"]
    # A week later by the clock of Lisbon, which may have changed.
    assert abs(moment(at_change["until"]) - moment(now["until"]) - timedelta(days=7)) <= HOUR
    before = await on_call(people, schedule="ops", at="-30d")
    assert before["people"] == []


async def test_without_a_schedule_on_call_answers_for_each(people: Any) -> None:
    await make_schedule(people, "ana")
    await make_schedule(people, name="empty")
    every = (await on_call(people))["items"]
    [second] = (await on_call(people, limit="1", cursor="1"))["items"]

    assert [(one["schedule"], one["people"], one["until"]) for one in every] == [
        ("ops", ["ana"], None), ("empty", [], None),
    ]  # fmt: skip
    assert second["schedule"] == "empty"


async def test_shifts_follow_each_other_without_gaps(people: Any) -> None:
    await make_schedule(people, "ana", "bo")
    query = {"start": "2030-03-20T00:00:00Z", "end": "2030-04-10T00:00:00Z"}
    answer = await people.get("/schedules/ops/shifts", Role.OPERATOR, **query)
    shifts = answer.body["items"]

    assert (shifts[0]["starts_at"], shifts[-1]["ends_at"]) == tuple(query.values())
    for before, after in pairwise(shifts):
        assert before["ends_at"] == after["starts_at"]
        assert before["people"] != after["people"]
    # Monday at 09:00 in Lisbon, before and after the clocks changed.
    assert [one["starts_at"] for one in shifts[1:]] == [
        "2030-03-25T09:00:00Z", "2030-04-01T08:00:00Z", "2030-04-08T08:00:00Z",
    ]  # fmt: skip


async def test_a_range_of_shifts_is_limited(people: Any) -> None:
    await make_schedule(people, "ana")
    for end in ("2025-01-01T00:00:00Z", "2025-05-01T00:00:00Z"):
        query = {"start": "2025-01-01T00:00:00Z", "end": end}
        answer = await people.get("/schedules/ops/shifts", Role.OPERATOR, **query)
        assert (answer.status, "by up to 93 days" in answer.detail) == (400, True)


async def test_whoever_takes_a_shift_is_on_call_instead_of_everyone(people: Any) -> None:
    await make_schedule(people, "ana")
    until = datetime.now(UTC).replace(microsecond=0) + HOUR
    taken = await take(people, person="bo", until=text_of(until))
    now = await on_call(people, schedule="ops")

    assert (taken.status, taken.body["in"], taken.body["everyone"]) == (201, "bo", True)
    assert (now["people"], now["until"]) == (["bo"], text_of(until))
    later = await on_call(people, schedule="ops", at=text_of(until))
    assert later["people"] == ["ana"]


async def test_a_shift_that_was_taken_is_taken_again_and_given_back(people: Any) -> None:
    await make_schedule(people, "ana", "bo")
    until = text_of(datetime.now(UTC) + HOUR)
    first = await take(people, person="cy", until=until)
    second = await take(people, person="bo", out="cy", until=until)
    assert (await on_call(people, schedule="ops"))["people"] == ["bo"]

    for taken in (second, first):
        path = f"/schedules/ops/overrides/{taken.body['id']}"
        assert (await delete(people, path, Role.OPERATOR)).status == 204
    assert (await delete(people, path, Role.OPERATOR)).status == 404
    assert (await people.get("/schedules/ops", Role.OPERATOR)).body["overrides"] == []
    history = await people.get("/schedules/ops/shifts", Role.OPERATOR, start="-1m", end="now")
    assert [shift["people"] for shift in history.body["items"]][-4:-1] == [
        ["cy"], ["bo"], ["cy"],
    ]  # fmt: skip


async def test_a_shift_lasts_until_the_next_hand_over_unless_it_is_said(people: Any) -> None:
    await make_schedule(people, "ana", "bo")
    before = await on_call(people, schedule="ops")
    taken = await take(people, person="cy")

    assert taken.body["ends_at"] == before["until"]


async def test_somebody_is_on_call_as_well_or_nobody_instead(people: Any) -> None:
    await make_schedule(people, "ana")
    until = text_of(datetime.now(UTC) + HOUR)
    await take(people, person="bo", as_well=True, until=until)
    assert (await on_call(people, schedule="ops"))["people"] == ["ana", "bo"]

    await take(people, out="ana", until=until)
    assert (await on_call(people, schedule="ops"))["people"] == ["bo"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 400, "person must say who takes the shift"),
        ({"person": "dora", "until": "soon"}, 400, "there is no contact 'dora'"),
        ({"person": "bo", "until": "-1h"}, 400, "until must be after from"),
        ({"person": "bo", "from": "4000000000", "until": "now"}, 400, "until must be after from"),
        ({"person": "bo", "until": "4000000000"}, 400, "up to 400 days"),
        ({"person": "bo"}, 400, "nobody else comes on call within 400 days"),
        ({"person": "bo", "out": "bo"}, 400, "two different people"),
        ({"as_well": True}, 400, "as_well needs a person"),
    ],
)
async def test_a_wrong_override_is_refused_with_what_to_write(
    people: Any, body: dict[str, Any], status: int, words: str
) -> None:
    await make_schedule(people, "ana")
    if body.get("until") == "soon":
        body = body | {"until": text_of(datetime.now(UTC) + HOUR)}
    answer = await take(people, **body)

    assert (answer.status, words in answer.detail) == (status, True), answer.detail


async def test_what_was_is_not_changed_by_what_is_made(people: Any) -> None:
    made = await make_schedule(people, "ana")
    layers = [made["layers"][0] | {"people": ["bo"]}]
    changed = await put(people, "/schedules/ops", made | {"layers": layers})
    middle = moment(changed.body["recorded_until"]) - timedelta(milliseconds=1)
    past = await on_call(people, schedule="ops", at=middle.isoformat().replace("+00:00", "Z"))

    assert (past["people"], past["until"]) == (["ana"], changed.body["recorded_until"])
    assert (await on_call(people, schedule="ops"))["people"] == ["bo"]


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"tz": "Mars/Base"}, "Europe/Lisbon"),
        ({"layers": [{"start": "2024-01-01T09:00:00", "people": []}]}, "people"),
        ({"layers": [{"start": "2024-01-01T09:00:00Z", "people": ["ana"]}]}, "start"),
        ({"layers": [{"start": "2024-01-01T09:00:00", "people": ["dora"]}]}, "no contact 'dora'"),
        ({"layers": [{"start": "2024-01-01T09:00:00", "people": ["ana"], "length": 60}]}, "52"),
    ],
)
async def test_a_wrong_schedule_is_refused_with_what_to_write(
    people: Any, terms: dict[str, Any], words: str
) -> None:
    answer = await people.post("/schedules", {"name": "ops"} | terms)

    assert answer.status == 400
    assert words in answer.detail


async def test_each_change_is_in_the_audit(people: Any) -> None:
    made = await make_schedule(people, "ana")
    await put(people, "/schedules/ops", made)
    taken = await take(people, person="bo", until=text_of(datetime.now(UTC) + HOUR))
    await delete(people, f"/schedules/ops/overrides/{taken.body['id']}", Role.OPERATOR)
    await delete(people, "/schedules/ops")

    found = await audited(people, "schedule_changed")
    assert [actor for actor, _ in found] == ["admin", "admin", "operator", "operator", "admin"]
    details = [detail for _, detail in found]
    assert details[2].startswith("schedule ops: override 1, bo instead of everyone from 20")
    assert [details[0], details[1], *details[3:]] == [
        "schedule ops created",
        "schedule ops changed",
        "schedule ops: override 1 canceled",
        "schedule ops deleted",
    ]


async def test_there_is_a_limit_of_schedules(service: Any) -> None:
    async with service.context.pool.connection() as connection:
        await connection.execute(
            "INSERT INTO schedules (name, tz, recorded_until, updated_at, updated_by) "
            "SELECT 'x' || n, 'UTC', now(), now(), 'test' FROM generate_series(1, 500) n"
        )
    answer = await service.post("/schedules", {"name": "one-more", "tz": "UTC", "layers": []})

    assert (answer.status, answer.body["detail"]) == (
        409,
        "there are already 500 schedules; delete one first",
    )
