"""The page of who is on call in Chromium: read at a glance, a shift taken, an address verified."""

import re
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from playwright.async_api import Locator, expect

from model.principal import Role
from model.times import utc_now
from notifications.contacts import verification
from tests.live.stream import Service
from tests.web.conftest import AXE, NARROW, WIDE, OpenTab, Tab
from tests.web.test_page import act
from tests.web.test_push import get
from tests.web.test_safety import barriers, excess

HOOK = {"name": "mail", "type": "webhook", "url": "http://127.0.0.1:9/x"}
WEEKLY = {"start": "2026-03-02T09:00:00", "unit": "week", "people": ["ana", "bo"]}


async def fill(service: Service, **terms: Any) -> None:
    """Make two people who take turns of a week."""
    await act(service, "/channels", HOOK)
    ana = {"name": "ana", "title": "Ana Lima", "addresses": [{"channel": "mail"}]} | terms
    for contact in (ana, {"name": "bo", "title": "Bo Berg"}):
        assert "id" in await act(service, "/contacts", contact)
    made = {"name": "ops", "title": "Operations", "tz": "Europe/Lisbon", "layers": [WEEKLY]}
    assert "id" in await act(service, "/schedules", made)


async def opened(tab: Tab, key: str = "") -> Tab:
    if key:
        await tab.visit("/on-call")
        await tab.page.get_by_label("Key").fill(key)
        await tab.page.get_by_role("button", name="Sign in").click()
    else:
        await tab.sign_in()
        await tab.page.get_by_role("link", name="On call").click()
    await tab.page.get_by_role("heading", name="On call").wait_for()
    return tab


def schedule(tab: Tab) -> Locator:
    return tab.page.locator(".schedule")


async def on_call(service: Service) -> tuple[str, str]:
    """Return whose shift it is, and who is not on call: their names."""
    [now] = (await get(service, "/oncall"))["items"]
    names = {"ana": "Ana Lima", "bo": "Bo Berg"}
    [person] = now["people"]
    return names[person], names[({"ana", "bo"} - {person}).pop()]


async def test_an_empty_page_says_what_to_do_next(tab: Tab) -> None:
    await opened(tab)
    await tab.sees("There is no schedule yet.")
    await tab.sees("There is nobody to call yet.")
    await expect(tab.page.get_by_text("First create a channel in the settings")).to_be_visible()


async def test_a_shift_is_taken_with_two_taps_and_given_back(open_tab: OpenTab) -> None:
    tab = await open_tab(viewport=NARROW)
    await fill(tab.service)
    person, other = await on_call(tab.service)
    await opened(tab, await tab.service.new_key("op", Role.OPERATOR))
    await expect(schedule(tab).locator(".who")).to_have_text(person)
    await expect(schedule(tab)).to_contain_text("Until ")
    await expect(schedule(tab).locator(".shifts li").first).to_contain_text(other)

    await tab.page.get_by_role("button", name="Take this shift: Operations").click()
    await tab.page.get_by_label("Who takes it").select_option(label=other)
    await tab.page.get_by_role("button", name="Take the shift").click()
    await expect(schedule(tab).locator(".who")).to_have_text(other)
    await tab.sees(f"{other} took the shift")
    assert (await on_call(tab.service))[0] == other

    await tab.page.get_by_role("button", name=f"Cancel: {other} took the shift").click()
    await expect(schedule(tab).locator(".who")).to_have_text(person)


async def test_a_shift_to_come_is_taken_from_its_beginning_to_its_end(tab: Tab) -> None:
    await fill(tab.service)
    person, _ = await on_call(tab.service)
    until = quote((utc_now() + timedelta(days=30)).isoformat())
    coming = (await get(tab.service, f"/schedules/ops/shifts?end={until}"))["items"][1]
    await opened(tab)
    await schedule(tab).get_by_role("button", name="Take:").first.click()
    await tab.page.get_by_label("Who takes it").select_option(label=person)
    await tab.page.get_by_role("button", name="Take the shift").click()
    await tab.sees(f"{person} took the shift")

    [taken] = (await get(tab.service, "/schedules/ops"))["overrides"]
    assert (taken["in"], taken["starts_at"], taken["ends_at"]) == (
        "ana" if person == "Ana Lima" else "bo", coming["starts_at"], coming["ends_at"],
    )  # fmt: skip


async def test_a_contact_is_made_and_its_address_verified(tab: Tab) -> None:
    await act(tab.service, "/channels", HOOK)
    await opened(tab)
    await tab.page.get_by_role("button", name="New contact").click()
    dialog = tab.page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill("ana")
    await dialog.get_by_label("What people call the person").fill("Ana Lima")
    await dialog.get_by_role("button", name="Add an address").click()
    await dialog.get_by_role("button", name="Create contact").click()
    await expect(tab.page.get_by_text("Not verified")).to_be_visible()

    await tab.page.get_by_role("button", name="Send a code to verify: Ana Lima").click()
    await tab.page.get_by_role("textbox", name="Code").fill(await code_of(tab.service))
    await tab.page.get_by_role("button", name="Verify", exact=True).click()
    await tab.sees("Verified")
    [ana] = (await get(tab.service, "/contacts"))["items"]
    assert ana["addresses"][0]["verified_at"] is not None


async def code_of(service: Service) -> str:
    """Return the code that was sent last."""
    async with service.pool.connection() as connection:
        cursor = await connection.execute("SELECT code_id FROM contact_addresses")
        [(code_id,)] = await cursor.fetchall()
    return verification.code_of(service.secret_keys.derive(verification.PURPOSE)[0], code_id)


async def test_a_schedule_is_made_in_which_people_take_turns(tab: Tab) -> None:
    for name in ("ana", "bo"):
        await act(tab.service, "/contacts", {"name": name})
    await opened(tab)
    await tab.page.get_by_role("button", name="New schedule").click()
    dialog = tab.page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill("ops")
    await dialog.get_by_label("bo").check()
    await dialog.get_by_label("ana").check()
    await dialog.get_by_label("Hand-over").select_option("day")
    await dialog.get_by_label("First turn").fill("2026-03-02T00:00")
    await dialog.get_by_role("button", name="Create schedule").click()
    await expect(schedule(tab).locator(".who")).to_have_text(re.compile("^(ana|bo)$"))

    [layer] = (await get(tab.service, "/schedules/ops"))["layers"]
    assert (layer["people"], layer["unit"]) == (["bo", "ana"], "day")


async def test_a_calendar_gets_an_address_that_reads_the_schedule(tab: Tab) -> None:
    await fill(tab.service)
    await opened(tab)
    await schedule(tab).get_by_text("Calendar", exact=True).click()
    await schedule(tab).get_by_role("button", name="Create the address").click()

    url = await schedule(tab).locator("code").inner_text()
    async with tab.service.http.get(url) as answer:
        assert (await answer.text()).startswith("BEGIN:VCALENDAR")


async def test_a_time_without_anybody_is_seen_at_once(tab: Tab) -> None:
    later = WEEKLY | {"start": "2100-01-01T09:00:00"}
    await act(tab.service, "/contacts", {"name": "ana"})
    await act(tab.service, "/contacts", {"name": "bo"})
    await act(tab.service, "/schedules", {"name": "ops", "layers": [later]})
    await opened(tab)

    await expect(schedule(tab).locator(".who")).to_have_text("Nobody")
    await expect(tab.page.get_by_text("Has no address").first).to_be_visible()


async def test_who_may_only_look_at_values_is_told_so(tab: Tab) -> None:
    await opened(tab, await tab.service.new_key("view", Role.VIEWER))

    await expect(tab.page.get_by_role("alert")).to_contain_text("This needs the role operator")


@pytest.mark.parametrize(("viewport", "scheme"), [(NARROW, "light"), (WIDE, "dark")])
async def test_the_page_fits_the_screen_and_axe_finds_nothing(
    open_tab: OpenTab, viewport: Any, scheme: str
) -> None:
    tab = await open_tab(viewport=viewport, color_scheme=scheme)
    await fill(tab.service, title=f"<img src=x onerror=alert(1)> {'unbreakable' * 15}")
    await tab.page.add_init_script(path=AXE)
    await opened(tab)
    await schedule(tab).get_by_text("Calendar", exact=True).click()
    assert await excess(tab) <= 0
    assert await barriers(tab) == []

    await tab.page.get_by_role("button", name="Take this shift: Operations").click()
    assert await excess(tab) <= 0
    assert await barriers(tab) == []
    await tab.page.keyboard.press("Escape")
    await tab.page.get_by_role("button", name="Edit Bo Berg").click()
    await tab.page.get_by_role("dialog").get_by_role("button", name="Add an address").click()
    assert await excess(tab) <= 0
    assert await barriers(tab) == []
