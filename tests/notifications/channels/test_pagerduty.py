"""PagerDuty's Events API v2 as its documentation describes it, and what Vigia tells it."""

import json
from typing import Any

import msgspec
import pytest
from aiohttp import web

from notifications.channels import pagerduty
from notifications.delivery import Channel, PermanentError
from notifications.incidents import SEPARATE_ALERTS_MAX
from notifications.message import Event, Kind, Links, Message
from runtime.network.egress import Egress
from tests.notifications.hostile import HOSTILE
from tests.notifications.messages import ALERT, NOW, message
from tests.notifications.provider import Provider
from tests.notifications.reference import json_in

KEY = "R0UT1NGKEY0123456789abcdef012345"
CHANNEL_PARTS = {"id": 1, "name": "ops", "type": "pagerduty", "secret": KEY}
LENGTHS_MAX = {"summary": 1024, "dedup_key": 255}


class PagerDuty:
    """Takes events as the documentation says, and keeps an incident for each `dedup_key`."""

    def __init__(self) -> None:
        self.incidents: dict[str, str] = {}
        self.events: list[dict[str, Any]] = []

    async def __call__(self, request: web.Request) -> web.Response:
        event = await request.json()
        errors = self.errors(event)
        if errors:
            body = {"status": "invalid event", "message": "Event object is invalid"}
            return web.json_response(body | {"errors": errors}, status=400)
        self.events.append(event)
        key, action = event["dedup_key"], event["event_action"]
        if action == "trigger":
            if self.incidents.get(key) != "acknowledged":
                self.incidents[key] = "triggered"
        elif key in self.incidents:
            self.incidents[key] = f"{action}d"
        body = {"status": "success", "message": "Event processed", "dedup_key": key}
        return web.json_response(body, status=202)

    def errors(self, event: dict[str, Any]) -> list[str]:
        found = []
        if event.get("routing_key") != KEY:
            found.append("'routing_key' is invalid")
        if event.get("event_action") not in {"trigger", "acknowledge", "resolve"}:
            found.append("'event_action' is invalid")
        if event.get("event_action") == "trigger":
            payload = event.get("payload", {})
            found += [f"'{k}' is missing" for k in ("summary", "source") if not payload.get(k)]
            if payload.get("severity") not in {"critical", "error", "warning", "info"}:
                found.append("'severity' is invalid")
            found += [f"'{k}' is too long" for k, n in LENGTHS_MAX.items() if
                      len(payload.get(k, event.get(k, ""))) > n]  # fmt: skip
        elif not event.get("dedup_key"):
            found.append("'dedup_key' is missing")
        return found


@pytest.fixture
def pager(provider: Provider) -> PagerDuty:
    pager = PagerDuty()
    provider.handler = pager
    return pager


def channel(provider: Provider) -> Channel:
    return Channel(url=f"{provider.url}/v2/enqueue", **CHANNEL_PARTS)


async def test_an_alert_is_an_incident_from_beginning_to_end(
    egress: Egress, provider: Provider, pager: PagerDuty
) -> None:
    for event, state in (
        (Event.OPENED, "triggered"),
        (Event.ACKNOWLEDGED, "acknowledged"),
        (Event.REMINDER, "acknowledged"),
        (Event.RESOLVED, "resolved"),
    ):
        receipt = await pagerduty.send(egress, channel(provider), message(event), NOW)
        assert (receipt.status, receipt.reference) == (202, "alert-41")
        assert pager.incidents == {"alert-41": state}


async def test_a_trigger_is_the_documented_example(
    egress: Egress, provider: Provider, pager: PagerDuty
) -> None:
    await pagerduty.send(egress, channel(provider), message(), NOW)

    assert pager.events == [json_in("pagerduty")]


@pytest.mark.parametrize(
    ("chart", "expected"),
    [
        ("https://vigia.example/chart.png?at=1", True),
        ("http://vigia.example/chart.png", False),
        ("https://vigia.example/explore", False),
        ("", False),
    ],
)
def test_pictures_go_by_https_address_only(chart: str, expected: bool) -> None:
    links = Links(alert="https://vigia.example/alerts/41", chart=chart)
    event = pagerduty.body_of(message(links=links, picture=b"\x89PNG"), KEY)
    image = {"src": chart, "href": "https://vigia.example/alerts/41", "alt": "Chart"}
    assert event.get("images", []) == ([image] if expected else [])


async def test_a_small_group_is_an_incident_for_each_alert(
    egress: Egress, provider: Provider, pager: PagerDuty
) -> None:
    resolved = {**ALERT, "id": 2, "resolved_at": "2026-03-01T03:00:20Z"}
    pager.incidents["alert-2"] = "triggered"
    group = message(Event.GROUP, alerts=({**ALERT, "id": 1}, resolved))
    await pagerduty.send(egress, channel(provider), group, NOW)

    assert pager.incidents == {"alert-1": "triggered", "alert-2": "resolved"}


async def test_a_storm_is_one_incident_that_lists_its_alerts(
    egress: Egress, provider: Provider, pager: PagerDuty
) -> None:
    alerts = tuple({**ALERT, "id": n} for n in range(SEPARATE_ALERTS_MAX + 50))
    storm = message(Event.GROUP, alerts=alerts, key="group-7", thread="")
    await pagerduty.send(egress, channel(provider), storm, NOW)

    assert pager.incidents == {"group-7": "triggered"}
    assert pager.events[0]["payload"]["source"] == "vigia"
    assert len(pager.events[0]["payload"]["custom_details"]["alerts"]) == pagerduty.DETAILS_MAX


def test_the_longest_message_is_within_the_documented_limits() -> None:
    long = "\U0001f525" * 100_000
    storm = message(
        Event.GROUP,
        title=long,
        text=long,
        thread=long,
        facts=tuple((f"{n}", long) for n in range(200)),
        alerts=tuple({**ALERT, "title": long} for _ in range(2500)),
    )
    event = pagerduty.body_of(storm, KEY)
    assert PagerDuty().errors(event) == []
    assert len(json.dumps(event, ensure_ascii=False).encode()) < 512 * 1024


@pytest.mark.parametrize("text", HOSTILE)
async def test_texts_arrive_as_they_are(
    egress: Egress, provider: Provider, pager: PagerDuty, text: str
) -> None:
    hostile = message(title=text, text=text, facts=((text, text),))
    await pagerduty.send(egress, channel(provider), hostile, NOW)

    payload = pager.events[0]["payload"]
    assert (payload["summary"], payload["severity"]) == (text, "critical")
    assert payload["custom_details"] == {"level": "critical", "text": text, text: text}


async def test_what_pagerduty_refuses_is_not_tried_again(
    egress: Egress, provider: Provider, pager: PagerDuty
) -> None:
    wrong = msgspec.structs.replace(channel(provider), secret="no-such-key")
    with pytest.raises(PermanentError) as caught:
        await pagerduty.send(egress, wrong, message(), NOW)
    assert (caught.value.status, "routing_key" in caught.value.answer) == (400, True)
    assert pager.events == []


@pytest.mark.parametrize("kind", [Kind.TEST, Kind.REPORT, Kind.INCIDENT])
async def test_what_is_about_no_alert_has_its_own_key(
    egress: Egress, provider: Provider, pager: PagerDuty, kind: Kind
) -> None:
    about_nothing: Message = message(
        Event.TEST, kind=kind, alerts=(), level=None, thread="", key="test-1", links=Links()
    )
    await pagerduty.send(egress, channel(provider), about_nothing, NOW)

    assert pager.incidents == {"test-1": "triggered"}
    assert pager.events[0]["payload"]["severity"] == "info"
