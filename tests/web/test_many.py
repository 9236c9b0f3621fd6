"""The page with 11,000 series: shows some, receives only those, and finds all others."""

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from playwright.async_api import WebSocket, expect

from live.client import CloseReason
from model.series import Sample, Series
from model.severity import Status
from model.times import utc_now
from samples.write_batch import write_batch_of
from tests.live.stream import WAIT_S, Service
from tests.web.conftest import AXE, NARROW, WIDE, Tab
from tests.web.test_page import status_of
from tests.web.test_safety import LONG, alert_of, barriers, excess

COUNT = 11_000
NODES_MAX = 4_000
SUBSCRIBED_MAX = 500
SERIES = [
    Series(metric="queue_length", component="shop", labels=(("host", f"host-{number}"),))
    for number in range(COUNT)
]
METRICS = [Series(metric=f"queue_{number}_length", component="shop") for number in range(COUNT)]
COMPONENTS = [Series(metric="queue_length", component=f"shop-{number}") for number in range(COUNT)]


async def write(service: Service, series: Sequence[Series], value: float, age_s: float = 0) -> None:
    """Store the value of each series, which is larger by one than that of the one before."""
    time = utc_now() - timedelta(seconds=age_s)
    await service.writer.store(
        write_batch_of([Sample(one, time, value + number) for number, one in enumerate(series)])
    )


class Wire:
    """What goes over the WebSockets of a page."""

    def __init__(self, tab: Tab) -> None:
        self.sent: list[dict[str, Any]] = []
        self.received: list[dict[str, Any]] = []
        tab.page.on("websocket", self._follow)

    @property
    def subscriptions(self) -> list[list[dict[str, Any]] | None]:
        return [one.get("series") for one in self.sent if one["type"] == "subscribe"]

    @property
    def values(self) -> int:
        """How many values were received."""
        return sum(
            ("value" in metric) + len(metric.get("series", ()))
            for message in self.received
            if message["type"] == "metrics"
            for component in message["data"]["components"].values()
            for metric in component["metrics"].values()
        )

    def _follow(self, socket: WebSocket) -> None:
        socket.on("framesent", lambda text: self.sent.append(json.loads(text)))
        socket.on("framereceived", lambda text: self.received.append(json.loads(text)))


async def nodes(tab: Tab) -> int:
    found: int = await tab.page.evaluate("document.querySelectorAll('*').length")
    return found


async def find(tab: Tab, what: str, where: str = "Search the values") -> None:
    await tab.page.get_by_label(where).fill(what)


async def row(tab: Tab, name: str) -> Any:
    """Return the one row with a name, when it is there."""
    found = tab.page.locator(".values div").filter(has_text=name)
    await expect(found).to_have_count(1)
    return found


async def until_subscribed(wire: Wire, name: str) -> None:
    """Wait until the page has asked for a series, and its value has come."""
    async with asyncio.timeout(WAIT_S):
        while not wire.subscriptions or name not in json.dumps(wire.subscriptions[-1]):
            await asyncio.sleep(0.02)
        while not any(name in json.dumps(message) for message in wire.received[::-1]):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("series", "name"),
    [(SERIES, "host-10777"), (METRICS, "queue_10777_length"), (COMPONENTS, "shop-10777")],
    ids=["series", "metrics", "components"],
)
async def test_the_page_shows_some_of_many_and_finds_every_other(
    service: Any, tab: Any, series: Sequence[Series], name: str
) -> None:
    await write(service, series, 0, age_s=60)
    wire = Wire(tab)
    await tab.sign_in()
    await tab.page.locator(".rest").last.wait_for()
    await until_subscribed(wire, "queue")

    assert await nodes(tab) < NODES_MAX
    assert "of 11,000" in await tab.page.locator(".rest").last.inner_text()
    assert 0 < len(wire.subscriptions[-1] or ()) <= SUBSCRIBED_MAX

    await find(tab, name)
    await tab.sees("1 value matches.")
    shown = await row(tab, name.replace("_", " ") if series is METRICS else "")
    await expect(shown).to_contain_text("10,777")
    await until_subscribed(wire, name)
    wire.received.clear()
    await write(service, series, 10_000)

    await expect(shown).to_contain_text("20,777")
    assert 0 < wire.values <= SUBSCRIBED_MAX


async def test_more_is_shown_on_demand_up_to_a_limit(service: Any, tab: Any) -> None:
    await write(service, METRICS, 0)
    wire = Wire(tab)
    await tab.sign_in()
    await tab.sees("60 of 11,000 values are shown.")

    for shown in (120, 180, 240, 300, 360, 400):
        await tab.page.get_by_role("button", name="Show more values").click()
        await tab.sees(f"{shown} of 11,000 values are shown.")

    await tab.sees("Search to find the others.")
    assert await nodes(tab) < NODES_MAX
    await until_subscribed(wire, "queue_399_length")
    assert len(wire.subscriptions[-1] or ()) <= SUBSCRIBED_MAX


async def test_the_chart_draws_some_of_many_series_and_finds_every_other(
    service: Any, tab: Any
) -> None:
    await write(service, SERIES, 0, age_s=60)
    await tab.sign_in()
    await tab.page.locator(".chart canvas").wait_for()
    lines = tab.page.locator(".legend li")
    await expect(lines).to_have_count(8)
    await tab.sees("8 of 11,000 series are drawn. Search to find the others.")

    await find(tab, "host-10777", "Search the history")

    await expect(lines).to_have_text(["host-10777 10,777"])
    await write(service, SERIES, 10_000)
    await expect(lines).to_have_text(["host-10777 20,777"])


async def test_the_chart_offers_some_of_many_metrics_and_finds_every_other(
    service: Any, tab: Any
) -> None:
    await write(service, METRICS, 0, age_s=60)
    await tab.sign_in()
    options = tab.page.locator("option")
    await tab.page.locator(".chart canvas").wait_for()
    await expect(options).to_have_count(100)
    await tab.sees("100 of 11,000 metrics are in the list. Search to find the others.")

    await find(tab, "queue_10777_length", "Search the history")

    await expect(options).to_have_text(["shop: Queue 10777 length"])
    await expect(tab.page.locator(".legend li")).to_contain_text("10,777")
    await find(tab, "no such metric", "Search the history")
    await tab.sees("Nothing matches. Try fewer or shorter words.")


async def test_new_series_are_found_after_the_connection_was_lost(service: Any, tab: Any) -> None:
    await write(service, SERIES, 0)
    wire = Wire(tab)
    await tab.sign_in()
    await until_subscribed(wire, "queue")
    await find(tab, "late-comer")
    await tab.sees("Nothing matches. Try fewer or shorter words.")

    # Of so many series the page is sent only those that it shows. So it learns of others when it
    # asks again, which it does after it has connected again.
    late = Series(metric="queue_length", component="shop", labels=(("host", "late-comer"),))
    await write(service, [late], 77)
    for client in service.live._all():
        client.end(CloseReason(1012, "the service restarts"))
    await tab.sees("Reconnecting…")
    await tab.is_live()

    await expect(await row(tab, "late-comer")).to_contain_text("77")


async def test_few_series_are_all_sent_and_those_that_are_new_too(service: Any, tab: Any) -> None:
    await write(service, SERIES[:400], 0)
    wire = Wire(tab)
    await tab.sign_in()
    await tab.sees("12 of 400 values are shown.")

    await write(service, SERIES[400:401], 5)

    await tab.sees("12 of 401 values are shown.")
    assert wire.subscriptions == []


@pytest.mark.parametrize(("viewport", "scheme"), [(NARROW, "dark"), (WIDE, "light")])
async def test_hidden_values_can_be_searched_accessibly(
    service: Any, open_tab: Any, viewport: Any, scheme: str
) -> None:
    long = [
        Series(metric=LONG[:128], component="shop", labels=(("name", f"{LONG}{number}"),))
        for number in range(100)
    ]
    await write(service, long, 0)
    await write(service, COMPONENTS[:100], 0)
    tab = await open_tab(viewport=viewport, color_scheme=scheme)
    await tab.page.add_init_script(path=AXE)
    await tab.sign_in()
    await tab.page.get_by_label("Metric").select_option(index=0)
    await tab.sees("12 of 100 values are shown.")
    await tab.sees("40 of 101 components are shown.")

    await find(tab, "shop: nothing", "Search the history")
    await tab.sees("Nothing matches. Try fewer or shorter words.")
    await find(tab, LONG, "Search the history")
    await tab.sees("8 of 100 series are drawn. Search to find the others.")
    await tab.page.locator(".legend li").nth(7).wait_for()

    assert await excess(tab) <= 0
    assert await barriers(tab) == []


async def test_many_components_and_alerts_are_shown_in_steps(service: Any, tab: Any) -> None:
    await tab.sign_in()
    service.live.publish_health([status_of(f"c{n:03}", Status.HEALTHY) for n in range(150)])
    alerts = [alert_of(number, str(number)) for number in range(150)]
    await service.announce(("alerts", {"snapshot": False, "alerts": alerts}))
    await tab.sees("60 of 150 components are shown.")
    await tab.sees("100 of 150 alerts are shown.")

    for noun in ("components", "components", "alerts"):
        await tab.page.get_by_role("button", name=f"Show more {noun}").click()

    await expect(tab.page.locator(".rest")).to_have_count(0)
    await expect(tab.page.locator(".card")).to_have_count(150)
    await expect(tab.page.locator(".alert")).to_have_count(150)
