"""Contacts over HTTP: who is told, and where."""

from typing import Any

import pytest

from model.principal import Role
from tests.api.notifications.rota import (
    OFFICE,
    audited,
    delete,
    make_channel,
    make_contact,
    make_schedule,
    put,
)

MAIL = {
    "type": "email",
    "url": "smtp://mail.example.org",
    "settings": {"to": ["ops@example.org"], "from": "vigia@example.org"},
}


async def test_a_contact_is_made_read_changed_and_deleted(service: Any) -> None:
    await make_channel(service, "mail", **MAIL)
    made = await make_contact(
        service,
        title="Ana Lima",
        tz="America/Sao_Paulo",
        language="pt-BR",
        addresses=[{"channel": "mail", "address": "ana@example.org"}],
        mute_until="2026-03-01T09:00:00+01:00",
        quiet_hours=[OFFICE],
    )
    assert made["addresses"] == [
        {"channel": "mail", "address": "ana@example.org", "verified_at": None}
    ]
    assert (made["mute_until"], made["quiet_min_level"]) == ("2026-03-01T08:00:00Z", "critical")
    assert made["quiet_hours"] == [OFFICE]

    changed = await put(service, "/contacts/ana", made | {"title": "Ana", "mute_until": None})
    assert (changed.status, changed.body["title"]) == (200, "Ana")
    assert changed.body["mute_until"] is None
    listed = await service.get("/contacts", Role.OPERATOR)
    assert [one["name"] for one in listed.body["items"]] == ["ana"]

    assert (await delete(service, "/contacts/ana")).status == 204
    assert (await service.get("/contacts/ana", Role.OPERATOR)).status == 404


async def test_a_list_goes_on_where_it_ended(service: Any) -> None:
    for name in ("ana", "bo", "cy"):
        await make_contact(service, name)
    first = (await service.get("/contacts", Role.OPERATOR, limit=2)).body
    second = (await service.get("/contacts", Role.OPERATOR, cursor=first["cursor"])).body

    names = [one["name"] for one in [*first["items"], *second["items"]]]
    assert (names, second["cursor"]) == (["ana", "bo", "cy"], None)


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"name": "two words"}, "name"),
        ({"tz": "Mars/Base"}, "Europe/Lisbon"),
        ({"language": "fr"}, "language"),
        ({"mute_until": "tomorrow"}, "'tomorrow' is not a time"),
        ({"quiet_hours": [{"start": "25:00"}]}, "start"),
        ({"addresses": [{"channel": "sms"}]}, "no channel 'sms'; the channels are: hook, mail"),
        ({"addresses": [{"channel": "mail", "address": "ana"}]}, "'ana' is not a mail address"),
        ({"addresses": [{"channel": "hook", "address": "x"}]}, "sends to one place only"),
        ({"addresses": [{"channel": "hook"}, {"channel": "hook"}]}, "is there twice"),
    ],
)
async def test_a_wrong_contact_is_refused_with_what_to_write(
    service: Any, terms: dict[str, Any], words: str
) -> None:
    await make_channel(service, "mail", **MAIL)
    await make_channel(service, "hook")
    answer = await service.post("/contacts", {"name": "ana"} | terms)

    assert answer.status == 400
    assert words in answer.detail


async def test_names_are_unique_and_stay(service: Any) -> None:
    made = await make_contact(service)
    again = await service.post("/contacts", {"name": "ana"})
    renamed = await put(service, "/contacts/ana", made | {"name": "anna"})

    assert (again.status, renamed.status) == (409, 400)
    assert again.detail == "a contact named 'ana' already exists; choose another name"
    assert renamed.detail == "name: must be 'ana', as in the path"


async def test_a_channel_by_which_people_are_reached_is_kept_and_keeps_its_type(
    service: Any,
) -> None:
    channel = await make_channel(service, "mail", **MAIL)
    address = {"channel": "mail", "address": "ana@example.org"}
    await make_contact(service, addresses=[address])
    path = f"/channels/{channel['id']}"
    other = {"name": "mail", "type": "webhook", "url": "http://127.0.0.1:9/x"}
    refused = [await delete(service, path), await put(service, path, other)]
    renamed = await put(service, path, {"name": "post", **MAIL})
    contact = (await service.get("/contacts/ana", Role.OPERATOR)).body

    assert [answer.status for answer in refused] == [409, 409]
    assert refused[0].detail == "mail has addresses of the contacts ana; remove it from them first"
    assert renamed.status == 200
    assert contact["addresses"][0]["channel"] == "post"


async def test_a_person_whom_a_schedule_names_stays_until_it_does_not(service: Any) -> None:
    await make_contact(service)
    made = await make_schedule(service, "ana")
    refused = await delete(service, "/contacts/ana")
    assert (refused.status, refused.detail) == (
        409, "ana is in the schedule ops; remove them there first",
    )  # fmt: skip
    assert (await service.get("/contacts/ana", Role.OPERATOR)).status == 200

    await put(service, "/schedules/ops", made | {"layers": []})
    assert (await delete(service, "/contacts/ana")).status == 204


async def test_each_change_is_in_the_audit(service: Any) -> None:
    made = await make_contact(service)
    await put(service, "/contacts/ana", made)
    await delete(service, "/contacts/ana")

    assert await audited(service, "contact_changed") == [
        ("admin", "contact ana created"),
        ("admin", "contact ana changed"),
        ("admin", "contact ana deleted"),
    ]


async def test_there_is_a_limit_of_contacts(service: Any) -> None:
    async with service.context.pool.connection() as connection:
        await connection.execute(
            "INSERT INTO contacts (name, updated_at, updated_by) "
            "SELECT 'x' || n, now(), 'test' FROM generate_series(1, 2000) n"
        )
    answer = await service.post("/contacts", {"name": "one-more"})

    assert (answer.status, answer.body["detail"]) == (
        409,
        "there are already 2000 contacts; delete one first",
    )
