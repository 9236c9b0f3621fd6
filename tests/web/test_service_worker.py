"""The service worker in a real browser: what it shows, what its buttons do, and where they lead."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Browser, CDPSession, Page, Worker

from api.http.headers import PAGE_POLICY, WORKER_POLICY
from notifications.channels.webpush import payload_of
from notifications.message import Event
from tests.notifications.hostile import HOSTILE
from tests.notifications.messages import message
from tests.web.conftest import WAIT_MS, WORKER_FILE, Tab

REGISTER = """async () => {
    const policy = trustedTypes.createPolicy("service-worker", {
        createScriptURL: () => "/service-worker.js",
    });
    await navigator.serviceWorker.register(policy.createScriptURL(""));
    const { scope } = await navigator.serviceWorker.ready;
    return new URL(scope).pathname;
}"""
"""As a page has to: its policy takes no text for the address of a script."""
RECORD = """() => {
    self.opened = [];
    self.clients.openWindow = async (url) => { self.opened.push(url); return null; };
    self.shown = [];
    const show = self.registration.showNotification.bind(self.registration);
    self.registration.showNotification = async (title, options) => {
        await show(title, options);
        self.shown.push({ title, ...options });
    };
}"""
"""Keep what Chromium has shown: asked for its notifications while it shows one, it drops that one.

It opens no window for a click that no person made.
"""
CLICK = """(action) => {
    const { data, tag } = self.shown.at(-1);
    const close = () => self.shown.push({ tag, closed: true });
    const event = new ExtendableEvent("notificationclick");
    const notification = { value: { data, close } };
    Object.defineProperties(event, { action: { value: action }, notification });
    self.dispatchEvent(event);
}"""


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


class Phone:
    """A browser that subscribed: gives the worker what a push service would."""

    def __init__(
        self, site: Site, page: Page, worker: Worker, cdp: CDPSession, number: str
    ) -> None:
        self.site, self.page, self.worker = site, page, worker
        self._cdp, self._number = cdp, number

    async def push(self, payload: bytes) -> None:
        """Deliver a message, and wait until the worker has dealt with it."""
        await self._cdp.send(
            "ServiceWorker.deliverPushMessage",
            {
                "origin": self.site.url,
                "registrationId": self._number,
                "data": payload.decode(),
            },
        )

    async def shows(self, **expected: Any) -> dict[str, Any]:
        """Wait until what was shown last is so, and return it."""
        async with asyncio.timeout(WAIT_MS / 1000):
            while True:
                shown = await self.worker.evaluate("self.shown.at(-1) ?? {}")
                if expected.items() <= shown.items():
                    return dict(shown)
                await asyncio.sleep(0.02)

    async def click(self, action: str = "") -> None:
        await self.worker.evaluate(CLICK, action)

    async def opened(self) -> list[str]:
        """Wait for a window to be opened, and return where it leads."""
        async with asyncio.timeout(WAIT_MS / 1000):
            while not (found := await self.worker.evaluate("self.opened")):
                await asyncio.sleep(0.02)
        return list(found)


def actions_of(shown: dict[str, Any]) -> list[str]:
    return [action["action"] for action in shown["actions"]]


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with Site().open() as opened:
        yield opened


@pytest.fixture
async def phone(browser: Browser, site: Site) -> AsyncIterator[Phone]:
    context = await browser.new_context()
    await context.grant_permissions(["notifications"], origin=site.url)
    page = await context.new_page()
    cdp = await context.new_cdp_session(page)
    registered: list[dict[str, Any]] = []
    cdp.on(
        "ServiceWorker.workerRegistrationUpdated",
        lambda event: registered.extend(event["registrations"]),
    )
    await cdp.send("ServiceWorker.enable")
    await page.goto(f"{site.url}/elsewhere")
    assert await page.evaluate(REGISTER) == "/"
    (worker,) = context.service_workers
    await worker.evaluate(RECORD)
    yield Phone(site, page, worker, cdp, registered[-1]["registrationId"])
    await context.close()


async def test_what_the_channel_sends_is_shown_with_its_buttons(phone: Phone) -> None:
    await phone.push(payload_of(message()))

    shown = await phone.shows(tag="alert-41")
    assert shown["title"] == "[critical] CPU high on web-1"
    assert shown["body"] == message().text
    assert (shown["requireInteraction"], shown["renotify"]) == (True, True)
    assert shown["actions"] == [
        {"action": "acknowledge", "title": "Acknowledge"},
        {"action": "open", "title": "Open"},
    ]


async def test_a_later_message_takes_the_place_of_the_earlier(phone: Phone) -> None:
    await phone.push(payload_of(message()))
    await phone.shows(requireInteraction=True)
    await phone.push(payload_of(message(Event.RESOLVED, title="Resolved: CPU high on web-1")))

    shown = await phone.shows(title="Resolved: CPU high on web-1")
    assert (shown["tag"], shown["requireInteraction"]) == ("alert-41", False)
    assert actions_of(shown) == ["open"]


async def test_acknowledging_posts_to_the_link_and_says_so(phone: Phone) -> None:
    await phone.push(payload_of(message()))
    await phone.shows(tag="alert-41")
    await phone.click("acknowledge")

    shown = await phone.shows(body="Acknowledged.")
    assert (shown["tag"], actions_of(shown)) == ("alert-41", ["open"])
    (request,) = phone.site.posted
    assert request.path == "/l/abc"
    assert request.headers["Sec-Fetch-Site"] == "same-origin"
    assert "Cookie" not in request.headers


async def test_what_could_not_be_acknowledged_stays(phone: Phone) -> None:
    phone.site.status = 404
    await phone.push(payload_of(message()))
    await phone.shows(tag="alert-41")
    await phone.click("acknowledge")

    shown = await phone.shows(body="Not acknowledged: open the alert and try again.")
    assert (actions_of(shown), shown["requireInteraction"]) == (["acknowledge", "open"], True)


@pytest.mark.parametrize("action", ["", "open"])
async def test_a_click_opens_the_alert_at_this_service(phone: Phone, action: str) -> None:
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
async def test_no_message_leads_to_another_service(phone: Phone, link: str, path: str) -> None:
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
    phone: Phone, payload: bytes
) -> None:
    await phone.push(payload)
    assert (await phone.shows(title="Vigia"))["actions"] == []
    await phone.click()
    assert await phone.opened() == [f"{phone.site.url}/"]


async def test_hostile_texts_are_shown_as_text(phone: Phone) -> None:
    for text in HOSTILE:
        shown = text.replace("\r\n", "\n")
        await phone.push(payload_of(message(title=shown, text=shown)))
        await phone.shows(title=shown, body=shown)


async def test_the_pages_of_the_service_can_register_its_worker(tab: Tab) -> None:
    await tab.visit("/sign-in")
    assert await tab.page.evaluate(REGISTER) == "/"
