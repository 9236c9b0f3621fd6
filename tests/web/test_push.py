"""Web push the whole way: a button on the page, the push service, the notification, its button."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from playwright.async_api import expect

from model.times import utc_now
from notifications.outbox.composing import Composer, find_channel
from notifications.outbox.dispatcher import Dispatcher
from notifications.outbox.pool_share import PoolShare
from notifications.outbox.sender import Sender
from notifications.push.vapid import service_key_pair
from tests.live.stream import BEARER, WAIT_S, Service
from tests.notifications.provider import open_provider
from tests.notifications.push.browsers import PushService
from tests.web.conftest import OpenTab, Tab
from tests.web.phone import Listening, Phone

SUBSCRIBE = """({ endpoint, keys, key }) => {
    const bytes = Uint8Array.from(atob(key.replaceAll("-", "+").replaceAll("_", "/")),
        (letter) => letter.charCodeAt(0)).buffer;
    const load = () => JSON.parse(localStorage.getItem("subscribed"));
    const made = () => ({
        endpoint,
        options: { applicationServerKey: bytes },
        toJSON: () => ({ endpoint, expirationTime: null, keys }),
        unsubscribe: async () => { localStorage.setItem("subscribed", "null"); return true; },
    });
    PushManager.prototype.getSubscription = async () => (load() === key ? made() : null);
    PushManager.prototype.subscribe = async ({ userVisibleOnly, applicationServerKey }) => {
        if (!userVisibleOnly || applicationServerKey !== key) throw new Error("another key");
        localStorage.setItem("subscribed", JSON.stringify(key));
        return made();
    };
}"""
"""The push service of a browser's maker, as far as a page sees it: Chromium's own is far away."""


@pytest.fixture
async def push_service(service: Service) -> AsyncIterator[PushService]:
    async with open_provider() as provider:
        made = PushService(service_key_pair(service.secret_keys).public, utc_now())
        made.origin, provider.handler = provider.url, made
        yield made


@asynccontextmanager
async def dispatching(service: Service) -> AsyncIterator[None]:
    """Send what waits, as the service does."""
    few, keys = PoolShare(service.pool, 2), service.secret_keys
    url = f"http://127.0.0.1:{service.port}"
    sender = Sender(
        pool=few,
        egress=service.egress,
        find_channel=partial(find_channel, few, keys),
        compose=Composer(pool=few, url=url, keys=keys).compose,
        now=utc_now,
    )
    task = asyncio.create_task(Dispatcher(pool=few, sender=sender, now=utc_now).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def get(service: Service, path: str) -> Any:
    url = f"http://127.0.0.1:{service.port}/api/v1/monitoring{path}"
    async with service.http.get(url, headers=BEARER) as answer:
        return await answer.json()


async def opened(open_tab: OpenTab, push_service: PushService) -> tuple[Tab, Listening]:
    """Open the settings in a browser that may show notifications."""
    tab = await open_tab()
    keys = push_service.browser.keys
    subscription = {
        "endpoint": f"{push_service.origin}/wpush/v2/abc",
        "keys": keys,
        "key": service_key_pair(tab.service.secret_keys).public,
    }
    await tab.page.add_init_script(f"({SUBSCRIBE})({json.dumps(subscription)})")
    listening = await Listening.to(tab.page, tab.url)
    await tab.sign_in()
    await tab.page.get_by_role("link", name="Settings").click()
    return tab, listening


async def message(push_service: PushService, number: int) -> Any:
    """Wait for the push service to get so many messages, and return the last one, decrypted."""
    async with asyncio.timeout(WAIT_S):
        while len(push_service.messages) < number:
            await asyncio.sleep(0.02)
    return push_service.messages[number - 1]


async def test_a_person_subscribes_is_notified_and_acknowledges_by_one_tap(
    service: Service, push_service: PushService, open_tab: OpenTab
) -> None:
    tab, listening = await opened(open_tab, push_service)
    await tab.page.get_by_role("button", name="Notify this browser").click()
    await expect(tab.page.get_by_text("This browser is notified of alerts")).to_be_visible()
    phone = Phone(*await listening.parts())

    await tab.page.get_by_role("button", name="Send a test", exact=True).click()
    await tab.sees("Sent. The notification appears within seconds.")
    test = await message(push_service, 1)
    await phone.push(json.dumps(test).encode())
    await phone.shows(title=test["title"])

    async with dispatching(service):
        alert = await service.post("/dev/test-alert")
        opening = await message(push_service, 2)
        await phone.push(json.dumps(opening).encode())
        shown = await phone.shows(tag=f"alert-{alert['id']}")
        assert [action["action"] for action in shown["actions"]] == ["acknowledge", "open"]
        await phone.click("acknowledge")
        await phone.shows(body="Acknowledged.")

    [channel] = (await get(service, "/channels"))["items"]
    acknowledged = await get(service, f"/alerts/{alert['id']}")
    assert acknowledged["acknowledged_at"] is not None
    assert acknowledged["acknowledged_by"] == channel["name"]


async def test_a_browser_that_unsubscribed_elsewhere_is_removed_and_can_come_back(
    service: Service, push_service: PushService, open_tab: OpenTab
) -> None:
    tab, _ = await opened(open_tab, push_service)
    await tab.page.get_by_role("button", name="Notify this browser").click()
    await expect(tab.page.get_by_text("This browser is notified of alerts")).to_be_visible()

    push_service.gone_status = 410
    async with dispatching(service):
        await service.post("/dev/test-alert")
        async with asyncio.timeout(WAIT_S):
            while (await get(service, "/channels"))["items"]:
                await asyncio.sleep(0.02)
    [delivery] = (await get(service, "/deliveries"))["items"]
    assert (delivery["state"], delivery["status"]) == ("failed", 410)

    push_service.gone_status = 0
    await tab.page.reload()
    await tab.page.get_by_role("button", name="Notify this browser").click()
    await expect(tab.page.get_by_text("This browser is notified of alerts")).to_be_visible()
    await tab.page.get_by_role("button", name="Stop notifying").click()
    await expect(tab.page.get_by_role("button", name="Notify this browser")).to_be_visible()
    assert (await get(service, "/channels"))["items"] == []


async def test_a_browser_that_forbids_notifications_is_told_what_to_do(tab: Tab) -> None:
    await tab.page.add_init_script("Notification.requestPermission = async () => 'denied'")
    await tab.sign_in()
    await tab.visit("/settings")
    await tab.page.get_by_role("button", name="Notify this browser").click()

    await expect(tab.page.get_by_role("alert")).to_contain_text(
        "Allow it in the browser's settings"
    )


async def test_a_stranger_at_a_page_comes_back_to_it_after_signing_in(tab: Tab) -> None:
    await tab.visit("/settings")
    await tab.page.get_by_label("Key").fill(BEARER["Authorization"].removeprefix("Bearer "))
    await tab.page.get_by_role("button", name="Sign in").click()

    await tab.page.get_by_role("heading", name="Settings", exact=True).wait_for()
    assert tab.page.url == f"{tab.url}/settings"
