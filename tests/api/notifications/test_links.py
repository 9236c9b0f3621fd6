"""Links of messages: opening one changes nothing, pressing its button acts once."""

from datetime import timedelta
from typing import Any

import pytest

from model.times import utc_now
from notifications import link_store, links
from notifications.links import LinkAction


async def link_of(
    service: Any, action: LinkAction = LinkAction.ACKNOWLEDGE, **alert: Any
) -> tuple[int, str]:
    """Return an alert, and a link in a message to ann that acts on it."""
    wanted = {"level": "critical", "title": "<b>disk full</b>"} | alert
    alert_id = (await service.post("/dev/test-alert", wanted)).body["id"]
    keys = service.context.secret_keys.derive(links.PURPOSE)
    token, link = links.make(keys, action, alert_id, "ann", utc_now())
    async with service.context.pool.connection() as connection:
        await link_store.add(connection, link)
    return alert_id, links.address("", token)


async def state_of(service: Any, alert_id: int) -> tuple[str, str | None]:
    alert = (await service.get(f"/alerts/{alert_id}")).body
    return alert["state"], alert["acknowledged_by"]


async def test_opening_a_link_shows_the_alert_and_changes_nothing(service: Any) -> None:
    alert_id, link = await link_of(service)
    for _ in range(2):
        page = await service.ask(link, None)
        assert page.status == 200
        assert "&lt;b&gt;disk full&lt;/b&gt;" in page.body
        assert '<button type="submit" class="primary">Acknowledge</button>' in page.body

    assert await state_of(service, alert_id) == ("firing", None)


@pytest.mark.parametrize(
    ("action", "expected"),
    [(LinkAction.ACKNOWLEDGE, ("acknowledged", "ann")), (LinkAction.RESOLVE, ("resolved", None))],
)
async def test_a_link_acts_once_in_the_name_of_its_reader(
    service: Any, action: LinkAction, expected: tuple[str, str | None]
) -> None:
    alert_id, link = await link_of(service, action)
    done = await service.ask(link, None, method="POST")
    again = await service.ask(link, None, method="POST")
    shown = await service.ask(link, None)

    assert (done.status, again.status, shown.status) == (200, 409, 200)
    assert await state_of(service, alert_id) == expected
    assert "This link was already used." in shown.body
    steps = (await service.get(f"/alerts/{alert_id}")).body["events"]
    assert [(step["type"], step["actor"]) for step in steps][1:] == [(expected[0], "ann")]


async def test_a_link_to_an_alert_that_somebody_else_took_says_so_and_stays_good(
    service: Any,
) -> None:
    alert_id, link = await link_of(service)
    await service.post(f"/alerts/{alert_id}/acknowledge")
    refused = await service.ask(link, None, method="POST")
    await service.post(f"/alerts/{alert_id}/resolve")
    await service.post(f"/alerts/{alert_id}/reopen")

    assert refused.status == 409
    assert f"Alert {alert_id} is already acknowledged" in refused.body


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_link_that_is_not_ours_or_has_expired_is_refused(service: Any, method: str) -> None:
    alert_id, link = await link_of(service)
    keys = service.context.secret_keys.derive(links.PURPOSE)
    old, _ = links.make(keys, LinkAction.RESOLVE, alert_id, "ann", utc_now() - timedelta(hours=25))
    forged, _ = links.make([b"x" * 32], LinkAction.RESOLVE, alert_id, "ann", utc_now())
    unstored, _ = links.make(keys, LinkAction.RESOLVE, alert_id, "ann", utc_now())
    for token in (old, forged, unstored, "x", link[3:-1], "é" * 48):
        answer = await service.ask(f"/l/{token}", None, method=method)
        assert answer.status == 401

    assert await state_of(service, alert_id) == ("firing", None)


async def test_no_page_of_a_link_is_kept_or_named_to_others(service: Any) -> None:
    _, link = await link_of(service)
    page = await service.ask(link, None)

    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
