"""The page for channels in Chromium: made, tried, changed, deleted; and the log of deliveries."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Locator, expect

from model.principal import Role
from tests.notifications.hostile import HOSTILE
from tests.notifications.provider import Provider, open_provider
from tests.web.conftest import AXE, NARROW, WIDE, OpenTab, Tab
from tests.web.test_page import act
from tests.web.test_push import dispatching
from tests.web.test_safety import barriers, excess

SECRET = "a-signing-key"


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with open_provider() as opened:
        yield opened


async def opened(tab: Tab) -> Tab:
    await tab.sign_in()
    await tab.visit("/settings")
    await expect(tab.page.get_by_role("button", name="New channel")).to_be_enabled()
    return tab


async def create(tab: Tab, name: str, url: str) -> None:
    """Make a webhook as a person does."""
    await tab.page.get_by_role("button", name="New channel").click()
    dialog = tab.page.get_by_role("dialog", name="New channel")
    await dialog.get_by_label("Name").fill(name)
    await dialog.get_by_label("Address").fill(url)
    await dialog.get_by_label("Signing key").fill(SECRET)
    await dialog.get_by_role("button", name="Create channel").click()
    await expect(dialog).to_have_count(0)


def row(tab: Tab, name: str) -> Locator:
    return (
        tab.page.get_by_role("region", name="Channels")
        .get_by_role("listitem")
        .filter(has_text=name)
    )


def log(tab: Tab) -> Locator:
    return tab.page.get_by_role("region", name="Delivery log").get_by_role("listitem")


async def test_a_channel_is_made_tried_and_seen_in_the_log(tab: Tab, provider: Provider) -> None:
    await opened(tab)
    await tab.sees("Nobody is notified of alerts yet.")
    await create(tab, "ops", provider.url)

    await tab.page.get_by_role("button", name="Send a test by ops").click()
    await tab.sees("The test was sent.")
    await expect(row(tab, "ops")).to_contain_text('"event": "test"')
    await expect(row(tab, "ops")).to_contain_text("What was answered: 200")
    await expect(log(tab)).to_contain_text(["Test message"])
    [request] = provider.requests
    assert "X-Vigia-Signature" in request.headers
    assert SECRET not in await tab.text()


async def test_a_failed_message_says_why_and_is_sent_again(tab: Tab, provider: Provider) -> None:
    provider.status, provider.body = 403, b"wrong token"
    await opened(tab)
    await create(tab, "ops", provider.url)
    async with dispatching(tab.service):
        await act(tab.service, "/dev/test-alert", {"level": "critical", "title": "Disk full"})
        await tab.page.get_by_label("State").select_option("failed")
        # The page looks again by itself.
        await expect(log(tab)).to_contain_text(["wrong token"], timeout=15_000)

        provider.status = 200
        await tab.page.get_by_label("State").select_option("")
        await tab.page.get_by_role("button", name="Send again: Disk full: opened").click()
        await expect(log(tab).get_by_text("Sent", exact=True)).to_be_visible(timeout=15_000)
    assert len({request.headers["Idempotency-Key"] for request in provider.requests}) == 1


async def test_a_channel_is_changed_without_its_secret_and_deleted_after_a_question(
    tab: Tab, provider: Provider
) -> None:
    await opened(tab)
    await create(tab, "ops", provider.url)
    await tab.page.get_by_role("button", name="Edit ops").click()
    dialog = tab.page.get_by_role("dialog", name="Edit ops")
    await expect(dialog.get_by_label("Signing key")).to_have_value("")
    await dialog.get_by_label("Title").fill("Operations")
    await dialog.get_by_label("From level").select_option("critical")
    await dialog.get_by_role("button", name="Save").click()
    await expect(row(tab, "Operations")).to_contain_text("from critical on")
    await tab.page.get_by_role("button", name="Send a test by Operations").click()
    await tab.sees("The test was sent.")

    await tab.page.get_by_role("button", name="Delete Operations").click()
    await tab.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await tab.sees("Nobody is notified of alerts yet.")
    await expect(log(tab)).to_have_count(1)


async def test_a_wrong_field_is_said_in_the_form(tab: Tab) -> None:
    await opened(tab)
    await tab.page.get_by_role("button", name="New channel").click()
    dialog = tab.page.get_by_role("dialog")
    await dialog.get_by_label("Type").select_option("ntfy")
    await dialog.get_by_label("Name").fill("phone")
    await dialog.get_by_label("Address of the topic").fill("https://ntfy.sh/")
    await dialog.get_by_role("button", name="Create channel").click()

    await expect(dialog.get_by_role("alert")).to_contain_text("The url must be that of the server")


async def test_every_type_shows_its_own_fields(tab: Tab) -> None:
    await opened(tab)
    await tab.page.get_by_role("button", name="New channel").click()
    dialog = tab.page.get_by_role("dialog")
    choice = dialog.get_by_label("Type")
    for kind, label in {
        "apprise": "Apprise URL",
        "discord": "Webhook address",
        "email": "Mail server",
        "events": "Which events",
        "ntfy": "Access token",
        "opsgenie": "Team",
        "pagerduty": "Integration key",
        "slack": "Webhook address",
        "teams": "Webhook address",
        "telegram": "Bot token",
        "twilio": "Account SID",
        "webhook": "Signing key",
        "webpush": "Endpoint",
    }.items():
        await choice.select_option(kind)
        await expect(dialog.get_by_label(label)).to_be_visible()


async def test_who_may_not_change_channels_is_told_so(tab: Tab, provider: Provider) -> None:
    key = await tab.service.new_key("op", Role.OPERATOR)
    await tab.visit("/settings")
    await tab.page.get_by_label("Key").fill(key)
    await tab.page.get_by_role("button", name="Sign in").click()
    await tab.page.get_by_role("button", name="New channel").click()
    dialog = tab.page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill("ops")
    await dialog.get_by_label("Address").fill(provider.url)
    await dialog.get_by_role("button", name="Create channel").click()

    await expect(dialog.get_by_role("alert")).to_contain_text("This needs the role admin")


@pytest.mark.parametrize(("viewport", "scheme"), [(NARROW, "dark"), (WIDE, "light")])
async def test_the_page_fits_the_screen_and_axe_finds_nothing(
    open_tab: OpenTab, provider: Provider, viewport: Any, scheme: str
) -> None:
    tab = await open_tab(viewport=viewport, color_scheme=scheme)
    await tab.page.add_init_script(path=AXE)
    await opened(tab)
    await create(tab, "ops", provider.url)
    provider.body = "\n".join(HOSTILE).encode() + b"<img src=x onerror=alert(1)>" + b"x" * 400
    await tab.page.get_by_role("button", name="Send a test by ops").click()
    await tab.sees("The test was sent.")
    assert await excess(tab) <= 0
    assert await barriers(tab) == []

    await tab.page.get_by_role("button", name="Edit ops").click()
    await tab.page.get_by_role("dialog").wait_for()
    assert await excess(tab) <= 0
    assert await barriers(tab) == []
