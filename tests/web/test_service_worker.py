"""The service worker in a real browser: what it shows, what its buttons do, and where they lead."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Browser

from api.http.headers import PAGE_POLICY, WORKER_POLICY
from notifications.channels.webpush import payload_of
from notifications.message import Event
from tests.notifications.hostile import HOSTILE
from tests.notifications.messages import message
from tests.web.conftest import WORKER_FILE, Tab
from tests.web.phone import Listening, Phone

REGISTER = """async () => {
    const policy = trustedTypes.createPolicy("service-worker", {
        createScriptURL: () => "/service-worker.js",
    });
    await navigator.serviceWorker.register(policy.createScriptURL(""));
    const { scope } = await navigator.serviceWorker.ready;
    return new URL(scope).pathname;
}"""
"""As a page has to: its policy takes no text for the address of a script."""


class Site:
    """Serves the worker and a page as the service does, and keeps what is posted to links."""

    def __init__(self) -> None:
        self.url = ""
        self.posted: list[web.Request] = []
        self.status = 200

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Site"]:
        app = web.Application()
        app.router.add_get("/service-worker.js", self._worker)
        app.router.add_post("/{path:.*}", self._post)
        app.router.add_get("/{path:.*}", self._page)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield self
        await runner.cleanup()

    async def _worker(self, _: web.Request) -> web.Response:
        return web.Response(
            body=WORKER_FILE.read_bytes(),
            content_type="text/javascript",
            headers={"Content-Security-Policy": WORKER_POLICY},
        )

    async def _page(self, _: web.Request) -> web.Response:
        policy = {"Content-Security-Policy": PAGE_POLICY}
        return web.Response(
            text="<!doctype html><title>x</title>", content_type="text/html", headers=policy
        )

    async def _post(self, request: web.Request) -> web.Response:
        self.posted.append(request)
        return web.Response(status=self.status)


class SitePhone(Phone):
    """A phone that knows its site."""

    def __init__(self, site: Site, *parts: Any) -> None:
        super().__init__(*parts)
        self.site = site


def actions_of(shown: dict[str, Any]) -> list[str]:
    return [action["action"] for action in shown["actions"]]


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with Site().open() as opened:
        yield opened


@pytest.fixture
async def phone(browser: Browser, site: Site) -> AsyncIterator[SitePhone]:
    context = await browser.new_context()
    page = await context.new_page()
    listening = await Listening.to(page, site.url)
    await page.goto(f"{site.url}/elsewhere")
    assert await page.evaluate(REGISTER) == "/"
    yield SitePhone(site, *await listening.parts())
    await context.close()


async def test_what_the_channel_sends_is_shown_with_its_buttons(phone: SitePhone) -> None:
    await phone.push(payload_of(message()))

    shown = await phone.shows(tag="alert-41")
    assert shown["title"] == "[critical] CPU high on web-1"
    assert shown["body"] == message().text
    assert (shown["requireInteraction"], shown["renotify"]) == (True, True)
    assert shown["actions"] == [
        {"action": "acknowledge", "title": "Acknowledge"},
        {"action": "open", "title": "Open"},
    ]


async def test_a_later_message_takes_the_place_of_the_earlier(phone: SitePhone) -> None:
    await phone.push(payload_of(message()))
    await phone.shows(requireInteraction=True)
    await phone.push(payload_of(message(Event.RESOLVED, title="Resolved: CPU high on web-1")))

    shown = await phone.shows(title="Resolved: CPU high on web-1")
    assert (shown["tag"], shown["requireInteraction"]) == ("alert-41", False)
    assert actions_of(shown) == ["open"]


async def test_acknowledging_posts_to_the_link_and_says_so(phone: SitePhone) -> None:
    await phone.push(payload_of(message()))
    await phone.shows(tag="alert-41")
    await phone.click("acknowledge")

    shown = await phone.shows(body="Acknowledged.")
    assert (shown["tag"], actions_of(shown)) == ("alert-41", ["open"])
    (request,) = phone.site.posted
    assert request.path == "/l/abc"
    assert request.headers["Sec-Fetch-Site"] == "same-origin"
    assert "Cookie" not in request.headers


async def test_what_could_not_be_acknowledged_stays(phone: SitePhone) -> None:
    phone.site.status = 404
    await phone.push(payload_of(message()))
    await phone.shows(tag="alert-41")
    await phone.click("acknowledge")

    shown = await phone.shows(body="Not acknowledged: open the alert and try again.")
    assert (actions_of(shown), shown["requireInteraction"]) == (["acknowledge", "open"], True)


@pytest.mark.parametrize("action", ["", "open"])
async def test_a_click_opens_the_alert_at_this_service(phone: SitePhone, action: str) -> None:
    await phone.push(payload_of(message()))
    await phone.shows(tag="alert-41")
    await phone.click(action)

    assert await phone.opened() == [f"{phone.site.url}/alerts/41"]
    assert phone.site.posted == []
    assert (await phone.shows())["closed"]


@pytest.mark.parametrize(
    ("link", "path"),
    [
        ("https://evil.example/l/abc?x=1", "/l/abc?x=1"),
        ("//evil.example/l/abc", "/l/abc"),
        ("javascript:alert(1)", "/alert(1)"),
        ("http://[nowhere", "/"),
    ],
)
async def test_no_message_leads_to_another_service(phone: SitePhone, link: str, path: str) -> None:
    payload = json.loads(payload_of(message())) | {"links": {"open": link, "acknowledge": link}}
    await phone.push(json.dumps(payload).encode())
    await phone.shows(tag="alert-41")
    await phone.click("acknowledge")
    await phone.shows(body="Acknowledged.")
    await phone.click("open")

    assert [request.path_qs for request in phone.site.posted] == [path]
    assert await phone.opened() == [phone.site.url + path]


@pytest.mark.parametrize("payload", [b"", b"<html>", b"[]", b"null", b"{}"])
async def test_a_message_that_cannot_be_read_is_shown_without_words(
    phone: SitePhone, payload: bytes
) -> None:
    await phone.push(payload)
    assert (await phone.shows(title="Vigia"))["actions"] == []
    await phone.click()
    assert await phone.opened() == [f"{phone.site.url}/"]


async def test_hostile_texts_are_shown_as_text(phone: SitePhone) -> None:
    for text in HOSTILE:
        shown = text.replace("\r\n", "\n")
        await phone.push(payload_of(message(title=shown, text=shown)))
        await phone.shows(title=shown, body=shown)


async def test_the_pages_of_the_service_can_register_its_worker(tab: Tab) -> None:
    await tab.visit("/sign-in")
    assert await tab.page.evaluate(REGISTER) == "/"
