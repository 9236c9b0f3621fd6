"""Untrusted text is shown as text on the page, readable on any screen."""

from typing import Any

import pytest

from health.status import ComponentStatus
from model.series import Sample, Series
from model.severity import Status
from model.times import utc_now
from samples.write_batch import write_batch_of
from tests.web.conftest import AXE, NARROW, WIDE, Tab

PAYLOADS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "\"><iframe srcdoc='<script>alert(1)</script>'>",
    "' onmouseover='alert(1)' autofocus onfocus='alert(1)",
    "javascript:alert(1)",
    "</title></style></textarea><script>alert(1)</script>",
    "<a href='javascript:alert(1)'>x</a>",
    "<math><mtext><style><img src=x onerror=alert(1)>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "{{constructor.constructor('alert(1)')()}}",
    "<style>*{display:none}</style>",
    "__proto__",
]
PLACES = ("metric", "component", "label", "unit", "reason", "title", "message", "actor")
FOREIGN = "main :is(script, style, iframe, svg, math, img, [onerror], [onload], [onmouseover])"
LONG = "unbreakable" * 20


def alert_of(number: int, payload: str) -> dict[str, object]:
    return {
        "id": number,
        "rule": "",
        "level": "critical",
        "category": "system",
        "component": f"component{payload}",
        "labels": {f"name{payload}": f"value{payload}"},
        "title": f"title{payload}",
        "message": f"message{payload}",
        "value": 1,
        "threshold": 1,
        "state": "open",
        "opened_at": utc_now(),
        "acknowledged_at": utc_now(),
        "acknowledged_by": f"actor{payload}",
        "resolved_at": None,
        "resolved_by": None,
        "suppressed_by": [f"maintenance:window{payload}"],
        "is_flapping": False,
        "metric": None,
        "runbook": f"javascript:{payload}",
    }


async def fill(tab: Tab, payloads: list[str]) -> None:
    """Put texts wherever the page shows any."""
    now = utc_now()
    series = [
        Series(
            metric=f"metric{text}",
            component=f"component{text}",
            labels=(("name", f"label{text}"),),
            unit=f"unit{text}",
        )
        for text in payloads
    ]
    await tab.service.writer.store(write_batch_of([Sample(one, now, 1.0) for one in series]))
    tab.service.live.publish_health(
        [
            ComponentStatus(
                f"component{text}", "system", Status.DOWN, now, f"reason{text}", False, now, 1.0
            )
            for text in payloads
        ]
    )
    alerts = [alert_of(number, text) for number, text in enumerate(payloads, start=1)]
    await tab.service.announce(("alerts", {"snapshot": False, "alerts": alerts}))
    await tab.sees(f"reason{payloads[-1]}")
    await tab.sees(f"message{payloads[-1]}")
    await tab.page.locator(".values div").nth(len(payloads) - 1).wait_for()


async def test_untrusted_text_is_shown_as_text(tab: Any) -> None:
    await tab.sign_in()
    await fill(tab, PAYLOADS)
    for option in await tab.page.locator("option").all():
        await tab.page.get_by_role("combobox").select_option(await option.get_attribute("value"))
    await tab.page.get_by_text("Show as a table").click()
    shown = await tab.text()
    options = "".join(await tab.page.locator("option").all_text_contents())

    for payload in PAYLOADS:
        for place in PLACES:
            where = options if place == "metric" else shown
            # The title of a metric begins with a capital and has spaces for underscores.
            wanted = f"{place}{payload}".replace("_", " " if place == "metric" else "_")
            assert "".join(wanted.split()).lower() in "".join(where.split()).lower()
    assert await tab.page.locator(FOREIGN).count() == 0


@pytest.mark.parametrize("viewport", [NARROW, WIDE])
async def test_nothing_is_wider_than_the_screen(open_tab: Any, viewport: Any) -> None:
    tab = await open_tab(viewport=viewport)
    await tab.visit("/sign-in")
    assert await excess(tab) <= 0

    await tab.sign_in()
    await fill(tab, ["short", LONG])
    await tab.page.locator(".chart canvas").wait_for()
    await tab.page.get_by_text("Show as a table").click()

    assert await excess(tab) <= 0


async def excess(tab: Tab) -> int:
    script = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    found: int = await tab.page.evaluate(script)
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_on_either_page(open_tab: Any, scheme: str) -> None:
    tab = await open_tab(color_scheme=scheme)
    await tab.page.add_init_script(path=AXE)
    await tab.visit("/")
    assert await barriers(tab) == []

    await tab.sign_in()
    await fill(tab, ["one", "two"])
    await tab.page.locator(".chart canvas").wait_for()
    await tab.page.get_by_text("Show as a table").click()

    assert await barriers(tab) == []


async def barriers(tab: Tab) -> list[str]:
    """Return the rules of axe that the page breaks, and where."""
    script = """async () => (await axe.run()).violations.flatMap(
        ({ id, nodes }) => nodes.map(({ target }) => `${id}: ${target}`))"""
    found: list[str] = await tab.page.evaluate(script)
    return found
