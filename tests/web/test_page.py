"""The first page in Chromium: signing in, and live updates without a reload."""

import asyncio
import time
from datetime import timedelta
from typing import Any

import pytest
from playwright.async_api import expect

from accounts import keys, sessions
from health.status import ComponentStatus
from live.client import CloseReason
from model.principal import Role
from model.series import Sample, Series
from model.severity import Status
from model.times import utc_now
from samples.write_batch import write_batch_of
from tests.live.stream import ADMIN_KEY, CPU, Service

LATENCY = Series(metric="external_latency_ms", component="binance", unit="ms")
SIZE = Series(metric="server_disk_percent", component="server", labels=(("mount", "/"),))
NOTHING = "\N{EN DASH}"
TRIAL = {"level": "critical", "title": "Trial by fire", "message": "Someone tests this."}


async def write(service: Service, series: Series, value: float, age_s: float = 0) -> None:
    time = utc_now() - timedelta(seconds=age_s)
    await service.writer.store(write_batch_of([Sample(series, time, value)]))


async def act(service: Service, path: str, body: Any = None, method: str = "POST") -> Any:
    url = f"http://127.0.0.1:{service.port}/api/v1/monitoring{path}"
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    async with service.http.request(method, url, headers=headers, json=body or {}) as answer:
        return await answer.json()


def status_of(name: str, status: Status | None, reason: str = "") -> ComponentStatus:
    now = utc_now()
    uptime = None if status is None else 99.999
    return ComponentStatus(name, "system", status, now, reason, False, now, uptime)


async def test_a_link_signs_in_once(service: Any, tab: Any, open_tab: Any) -> None:
    async with service.pool.connection() as connection:
        token = (await sessions.offer_link(connection, utc_now())).reveal()
    other = await open_tab()

    await tab.visit(f"/sign-in?token={token}")
    await tab.is_live()
    answer = await other.page.goto(f"{other.url}/sign-in?token={token}")

    assert answer.status == 401
    assert "token" not in tab.page.url
    await other.sees("This link is used or expired. Sign in with a key.")
    assert await other.page.get_by_label("Key").is_visible()


async def test_a_wrong_key_says_so_and_the_right_one_opens_the_page(tab: Any) -> None:
    await tab.sign_in_with("vg_wrong")
    await expect(tab.page.get_by_role("alert")).to_have_text(
        "This key is not valid. Check it, or ask an administrator for another."
    )

    await tab.page.get_by_label("Key").fill(ADMIN_KEY)
    await tab.page.keyboard.press("Enter")

    await tab.is_live()
    assert tab.page.url == f"{tab.url}/"


async def test_signing_out_ends_at_the_sign_in_page(tab: Any) -> None:
    await tab.sign_in()

    await tab.page.get_by_role("button", name="Sign out").click()

    await tab.page.get_by_label("Key").wait_for()
    answer = await tab.page.goto(tab.url)
    assert answer.status == 401


async def test_values_change_without_a_reload(service: Any, tab: Any) -> None:
    await write(service, CPU, 12.5, age_s=30)
    await tab.sign_in()
    await tab.sees("12.5 %")
    requests: list[str] = []
    tab.page.on("request", lambda request: requests.append(request.url))

    await write(service, CPU, 87.25)
    await write(service, LATENCY, 1240)

    await tab.sees("87.3 %")
    await tab.sees("1.24 s")
    assert requests == []


async def test_health_changes_without_a_reload(service: Any, tab: Any) -> None:
    await tab.sign_in()
    await tab.sees("Nothing is observed yet")

    unset = status_of("trading", None, "not configured: set VIGIA_TRADING_DATABASE_URL")
    down = status_of("binance", Status.DOWN, "connection refused")
    service.live.publish_health([status_of("server", Status.HEALTHY), unset, down])

    await tab.sees("binance is down")
    await tab.sees("2 of 3 components observed")
    cards = tab.page.get_by_role("listitem")
    await expect(cards.filter(has_text="server")).to_contain_text("Healthy")
    await expect(cards.filter(has_text="server")).to_contain_text("99.99\u00a0%")
    await expect(cards.filter(has_text="binance")).to_contain_text("connection refused")
    await expect(cards.filter(has_text="trading")).to_contain_text("Not configured")


async def test_an_alert_appears_within_a_second_and_goes_when_resolved(
    service: Any, tab: Any
) -> None:
    await tab.sign_in()
    await tab.sees("No active alerts.")

    raised = time.monotonic()
    await act(service, "/dev/test-alert", TRIAL)
    await tab.page.get_by_text("Someone tests this.").wait_for()
    assert time.monotonic() - raised < 1
    await tab.sees("New critical alert: Trial by fire")
    assert await tab.page.title() == "(1) Vigia"

    await tab.page.get_by_role("button", name="Acknowledge: Trial by fire").click()
    await expect(tab.page.get_by_text("acknowledged by admin")).to_be_visible()
    await tab.page.get_by_role("button", name="Resolve: Trial by fire").click()
    await tab.sees("No active alerts.")
    await tab.sees("Resolved: Trial by fire")


async def test_an_alert_that_is_suppressed_says_by_what(service: Any, tab: Any) -> None:
    await tab.sign_in()
    await act(service, "/dev/test-alert", TRIAL)
    matcher = {"category": "system"}
    silence = {"matcher": matcher, "duration": "1h", "comment": "a trial"}
    number = (await act(service, "/alerts/silences", silence))["id"]

    await expect(tab.page.get_by_text(f"suppressed by silence {number}")).to_be_visible()
    other = {**silence, "matcher": {"category": "security"}}
    await act(service, f"/alerts/silences/{number}", other, "PUT")
    await expect(tab.page.get_by_text("suppressed by")).not_to_be_visible()


async def test_an_alert_that_someone_else_resolved_goes_too(service: Any, tab: Any) -> None:
    alert = await act(service, "/dev/test-alert", TRIAL)
    await tab.sign_in()
    await tab.page.get_by_text("Someone tests this.").wait_for()

    await act(service, f"/alerts/{alert['id']}/resolve")

    await tab.sees("No active alerts.")


async def test_a_viewer_who_resolves_is_told_which_role_it_takes(service: Any, tab: Any) -> None:
    await act(service, "/dev/test-alert", TRIAL)
    await tab.sign_in_with(await service.new_key("ana", Role.VIEWER))
    await tab.is_live()

    await tab.page.get_by_role("button", name="Resolve: Trial by fire").click()

    await tab.sees("This needs the role operator, but 'ana' has the role viewer.")


async def test_a_lost_connection_comes_back_where_it_left_off(service: Any, tab: Any) -> None:
    sockets: list[str] = []
    tab.page.on("websocket", lambda socket: sockets.append(socket.url))
    await write(service, CPU, 12.5, age_s=30)
    await tab.sign_in()
    await act(service, "/dev/test-alert", TRIAL)
    await tab.page.get_by_text("Someone tests this.").wait_for()

    for client in service.live._all():
        client.end(CloseReason(1012, "the service restarts"))
    await tab.sees("Reconnecting…")
    await write(service, CPU, 77)
    await tab.is_live()

    assert [url.partition("?")[2] for url in sockets] == ["", "resume=1"]
    await tab.sees("77 %")


async def test_a_session_that_ends_says_so_and_asks_no_more(service: Any, tab: Any) -> None:
    key = await service.new_key("ana", Role.VIEWER)
    await tab.sign_in_with(key)
    await tab.is_live()
    sockets: list[str] = []
    tab.page.on("websocket", lambda socket: sockets.append(socket.url))

    async with service.pool.connection() as connection:
        await keys.revoke(connection, "ana", utc_now(), "test")

    await tab.sees("Signed out")
    await tab.page.get_by_role("link", name="Sign in again").wait_for()
    await asyncio.sleep(1)
    assert sockets == []


async def rows(tab: Any) -> list[str]:
    found: list[str] = await tab.page.locator("tbody td").all_inner_texts()
    return [text for text in found if text != NOTHING]


async def test_the_chart_has_the_past_and_goes_on_live(service: Any, tab: Any) -> None:
    for age_s, value in ((1800, 10), (900, 20), (60, 30)):
        await write(service, CPU, value, age_s)
    await write(service, SIZE, 55, age_s=60)
    await tab.sign_in()
    await tab.page.locator(".chart canvas").wait_for()
    await tab.page.get_by_text("Show as a table").click()
    assert await rows(tab) == ["30\u00a0%", "20\u00a0%", "10\u00a0%"]

    await write(service, CPU, 40)
    await expect(tab.page.locator("tbody td").first).to_have_text("40\u00a0%")

    await tab.page.get_by_label("Metric").select_option(label="server: Disk percent")
    await expect(tab.page.get_by_role("columnheader", name="/")).to_be_visible()
    await tab.page.get_by_role("radio", name="24 h").check()
    chart = tab.page.get_by_role("img", name="Disk percent of server, the last 24 hours")
    await chart.locator("canvas").wait_for()
    # The chart is drawn before the table is filled in.
    await expect(tab.page.get_by_role("cell", name="55", exact=True)).to_be_visible()
    assert await rows(tab) == ["55"]


@pytest.mark.parametrize("path", ["/", "/sign-in"])
async def test_a_page_works_by_keyboard_alone(service: Any, tab: Any, path: str) -> None:
    await act(service, "/dev/test-alert", TRIAL)
    await write(service, CPU, 1)
    await tab.sign_in()
    await tab.visit(path)
    await tab.page.locator("button").first.wait_for()
    reached = set()
    for _ in range(30):
        await tab.page.keyboard.press("Tab")
        reached.add(await tab.page.evaluate("document.activeElement.outerHTML.slice(0, 80)"))

    focusable = "a[href], button, select, summary, input:not([hidden]):not([type=radio])"
    wanted = await tab.page.locator(focusable).evaluate_all(
        "(all) => all.map((one) => one.outerHTML.slice(0, 80))"
    )
    assert set(wanted) <= reached
