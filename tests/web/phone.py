"""A browser with the service worker, to which messages are pushed by the DevTools protocol."""

import asyncio
from typing import Any

from msgspec import Struct
from playwright.async_api import CDPSession, Page, Worker

from tests.web.conftest import WAIT_MS

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


class Phone:
    """A browser that subscribed: gives the worker what a push service would."""

    def __init__(self, origin: str, worker: Worker, cdp: CDPSession, number: str) -> None:
        self.worker = worker
        self._origin, self._cdp, self._number = origin, cdp, number

    async def push(self, payload: bytes) -> None:
        """Deliver a message, and wait until the worker has dealt with it."""
        await self._cdp.send(
            "ServiceWorker.deliverPushMessage",
            {
                "origin": self._origin,
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


class Listening(Struct):
    """Waits for a page to register its service worker."""

    origin: str
    page: Page
    cdp: CDPSession
    registered: list[dict[str, Any]]

    @classmethod
    async def to(cls, page: Page, origin: str) -> "Listening":
        """Allow notifications, and listen before the page is opened."""
        await page.context.grant_permissions(["notifications"], origin=origin)
        made = cls(origin, page, await page.context.new_cdp_session(page), [])
        made.cdp.on(
            "ServiceWorker.workerRegistrationUpdated",
            lambda event: made.registered.extend(event["registrations"]),
        )
        await made.cdp.send("ServiceWorker.enable")
        return made

    async def parts(self) -> tuple[str, Worker, CDPSession, str]:
        """Wait for the worker, and return what a `Phone` is made of."""
        async with asyncio.timeout(WAIT_MS / 1000):
            while not (self.page.context.service_workers and self.registered):
                await asyncio.sleep(0.02)
        (worker,) = self.page.context.service_workers
        await worker.evaluate(RECORD)
        return self.origin, worker, self.cdp, self.registered[-1]["registrationId"]
