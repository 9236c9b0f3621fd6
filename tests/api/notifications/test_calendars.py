"""Calendar feeds: read without a key at an address that can be revoked."""

from typing import Any

import icalendar
import pytest

from tests.api.notifications.rota import audited, delete, make_contact, make_schedule


@pytest.fixture
async def people(service: Any) -> Any:
    for name in ("ana", "bo"):
        await make_contact(service, name)
    await make_schedule(service, "ana", "bo")
    return service


async def address_of(service: Any, path: str) -> str:
    made = await service.post(f"{path}/calendar")
    assert made.status == 201, made.body
    url: str = made.body["url"]
    assert url.startswith(f"{service.context.settings.url}/calendar/")
    return url.removeprefix(service.context.settings.url)


async def summaries(service: Any, address: str) -> set[str]:
    answer = await service.ask(address, None)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/calendar; charset=utf-8")
    calendar = icalendar.Calendar.from_ical(answer.body)
    return {str(event["summary"]) for event in calendar.walk("VEVENT")}


async def test_a_calendar_reads_one_schedule_or_one_person_without_a_key(people: Any) -> None:
    await make_schedule(people, "ana", name="other")
    of_schedule = await address_of(people, "/schedules/ops")
    of_person = await address_of(people, "/contacts/bo")

    assert await summaries(people, of_schedule) == {"ana on call: ops", "bo on call: ops"}
    assert await summaries(people, of_person) == {"On call: ops"}
    assert (await people.get("/schedules/ops", "admin")).body["has_calendar"] is True
    assert (await people.get("/contacts/ana", "admin")).body["has_calendar"] is False


@pytest.mark.parametrize("path", ["/schedules/ops", "/contacts/ana"])
async def test_an_address_that_was_replaced_or_revoked_is_401(people: Any, path: str) -> None:
    first = await address_of(people, path)
    second = await address_of(people, path)
    assert (await people.ask(first, None)).status == 401
    assert (await people.ask(second, None)).status == 200

    assert (await delete(people, f"{path}/calendar")).status == 204
    assert (await people.ask(second, None)).status == 401
    assert (await delete(people, f"{path}/calendar")).status == 404


async def test_only_the_whole_address_is_good(people: Any) -> None:
    address = await address_of(people, "/schedules/ops")
    for wrong in (
        address[:-4],
        address[:-5] + ".ics",
        "/calendar/.ics",
        "/calendar/x",
        address + "x",
    ):
        answer = await people.ask(wrong, None)
        assert (answer.status, answer.body["status"]) == (401, 401), wrong


async def test_a_deleted_schedule_has_no_calendar(people: Any) -> None:
    address = await address_of(people, "/schedules/ops")
    await delete(people, "/schedules/ops")

    assert (await people.ask(address, None)).status == 401
    assert (await people.post("/schedules/ops/calendar")).status == 404
    assert (await people.post("/contacts/cy/calendar")).status == 404


async def test_the_token_is_nowhere_in_the_database_or_the_audit(people: Any) -> None:
    token = (await address_of(people, "/schedules/ops")).split("/")[2].removesuffix(".ics")
    async with people.context.pool.connection() as connection:
        rows = await (await connection.execute("SELECT f::text FROM calendar_feeds f")).fetchall()
    found = await audited(people, "schedule_changed")

    assert found[-1] == ("admin", "schedule ops: calendar created")
    assert token not in f"{rows}{found}"
