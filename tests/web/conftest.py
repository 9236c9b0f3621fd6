"""Chromium with the pages of a running service; nothing may be complained about on the console."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect

from accounts import sessions as keys
from db.queries import Pool
from model.times import utc_now
from tests.live.stream import Service, running

ROOT = Path(__file__).parents[2]
AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
WORKER_FILE = ROOT / "web" / "public" / "service-worker.js"
OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
NARROW = {"width": 390, "height": 844}
WIDE = {"width": 1440, "height": 900}
WAIT_MS = 60_000
"""Much longer than a page takes: other processes may have the processor."""
expect.set_options(timeout=WAIT_MS)
VIOLATIONS = """addEventListener("securitypolicyviolation",
    ({ violatedDirective, blockedURI }) =>
        console.error("policy", violatedDirective, blockedURI))"""
REFUSED = "Failed to load resource: the server responded with a status of 40"
"""What Chromium writes about every 401 and 403, however well a page takes it."""


class Tab:
    """A page of the service in a browser of its own, and all that it complained about."""

    def __init__(self, page: Page, service: Service) -> None:
        self.page = page
        self.service = service
        self.url = f"http://127.0.0.1:{service.port}"
        self.complaints: list[str] = []
        page.set_default_timeout(WAIT_MS)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(dialog.message))

    async def visit(self, path: str = "/") -> None:
        await self.page.goto(self.url + path)

    async def sign_in(self) -> None:
        """Sign in as an administrator and wait for the page to be live."""
        await self.visit(await link_of(self.service))
        await self.is_live()

    async def sign_in_with(self, key: str) -> None:
        await self.visit("/sign-in")
        await self.page.get_by_label("Key").fill(key)
        await self.page.get_by_role("button", name="Sign in").click()

    async def is_live(self) -> None:
        await self.page.get_by_text("Live", exact=True).wait_for()
        await self.page.get_by_role("heading", name="Live values").wait_for()

    async def sees(self, text: str) -> None:
        await self.page.get_by_text(text, exact=True).first.wait_for()

    async def text(self) -> str:
        return await self.page.locator("body").inner_text()

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not message.text.startswith(REFUSED):
            self.complaints.append(message.text)


OpenTab = Callable[..., Awaitable[Tab]]


async def link_of(service: Service) -> str:
    async with service.pool.connection() as connection:
        link = await keys.offer_link(connection, utc_now())
    return f"/sign-in?token={link.reveal()}"


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.fail("Chromium is missing; install it with: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=[*OPTIONS])
        yield browser
        await browser.close()


@pytest.fixture
async def service(pool: Pool) -> AsyncIterator[Service]:
    async with running(pool) as made:
        yield made


@asynccontextmanager
async def opened(browser: Browser, service: Service) -> AsyncIterator[OpenTab]:
    """Lend tabs, each of a stranger, and check what they complained about."""
    tabs: list[Tab] = []

    async def open_tab(**options: object) -> Tab:
        context = await browser.new_context(**{"viewport": WIDE, **options})
        await context.add_init_script(VIOLATIONS)
        tabs.append(Tab(await context.new_page(), service))
        return tabs[-1]

    try:
        yield open_tab
        assert [complaint for tab in tabs for complaint in tab.complaints] == []
    finally:
        for tab in tabs:
            await tab.page.context.close()


@pytest.fixture
async def open_tab(browser: Browser, service: Service) -> AsyncIterator[OpenTab]:
    async with opened(browser, service) as lent:
        yield lent


@pytest.fixture
async def tab(open_tab: OpenTab) -> Tab:
    return await open_tab()
