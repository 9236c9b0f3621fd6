"""PagerDuty, Events API v2: triggers, acknowledges and resolves an incident for each alert.

Docs: docs/reference/notifications/pagerduty.md.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from model.severity import Level
from notifications.cutting import cut
from notifications.delivery import Channel, ChannelType, RateLimit, Receipt
from notifications.incidents import send_separately
from notifications.labels import LABELS
from notifications.message import Event, Message
from notifications.posting import post
from notifications.rendering.buttons import web_address
from runtime.network.egress import Egress

DEDUP_KEY_LENGTH_MAX = 255
SUMMARY_LENGTH_MAX = 1024
DETAIL_LENGTH_MAX = 1000
DETAILS_MAX = 50
"""An event may have 512 KB. More facts and titles than these are left out."""
SEVERITIES: Mapping[Level | None, str] = {
    None: "info",
    Level.INFO: "info",
    Level.WARNING: "warning",
    Level.CRITICAL: "critical",
    Level.EMERGENCY: "critical",
}
"""PagerDuty has no level above critical. The details contain the original level."""
ACTIONS = {Event.ACKNOWLEDGED: "acknowledge", Event.RESOLVED: "resolve"}
"""Every other event is a trigger. PagerDuty adds it to the incident with the same key."""


class PagerDutySettings(Struct, frozen=True, forbid_unknown_fields=True):
    """No settings: the integration key is the secret."""


class PagerDutyAnswer(Struct):
    status: Literal["success"]
    dedup_key: str = ""


def body_of(message: Message, routing_key: str) -> dict[str, Any]:
    """Return one event. To acknowledge or resolve, PagerDuty only needs the key of the incident."""
    action = ACTIONS.get(message.event, "trigger")
    event: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": action,
        "dedup_key": (message.thread or message.key)[:DEDUP_KEY_LENGTH_MAX],
    }
    if action == "trigger":
        event |= {
            "payload": _payload(message),
            "client": "Vigia",
            "client_url": message.links.alert,
            "links": _links(message),
            "images": _images(message),
        }
    return {name: value for name, value in event.items() if value}


async def send(egress: Egress, channel: Channel, message: Message, now: datetime) -> Receipt:
    """Send an event. For a small group, send one for each alert."""
    return await send_separately(message, partial(_send_one, egress, channel, now))


async def _send_one(egress: Egress, channel: Channel, now: datetime, message: Message) -> Receipt:
    return await post(
        egress,
        channel.url or TYPE.url_default,
        msgspec.json.encode(body_of(message, channel.secret)),
        headers={"Content-Type": "application/json"},
        now=now,
        read=lambda answer: msgspec.json.decode(answer, type=PagerDutyAnswer).dedup_key,
    )


def _payload(message: Message) -> dict[str, Any]:
    alert = message.alerts[0] if len(message.alerts) == 1 else {}
    source = alert.get("labels", {}).get("host") or alert.get("component") or "vigia"
    payload = {
        "summary": cut(message.title, SUMMARY_LENGTH_MAX),
        "source": source,
        "severity": SEVERITIES[message.level],
        "timestamp": message.time.isoformat(),
        "component": alert.get("component"),
        "group": alert.get("category"),
        "class": alert.get("rule"),
        "custom_details": _details(message),
    }
    return {name: value for name, value in payload.items() if value}


def _details(message: Message) -> dict[str, Any]:
    details: dict[str, Any] = {"text": cut(message.text, DETAIL_LENGTH_MAX)}
    if message.level:
        details["level"] = message.level
    if message.event is Event.GROUP:
        titles = (alert["title"] for alert in message.alerts[:DETAILS_MAX])
        details["alerts"] = [cut(title, DETAIL_LENGTH_MAX) for title in titles]
    facts = message.facts[:DETAILS_MAX]
    return {label: cut(value, DETAIL_LENGTH_MAX) for label, value in facts} | details


def _links(message: Message) -> list[dict[str, str]]:
    links, labels = message.links, LABELS[message.language]
    named = {
        labels.chart: links.chart,
        labels.runbook: web_address(links.runbook),
        labels.acknowledge: links.acknowledge,
    }
    return [{"href": url, "text": text} for text, url in named.items() if url]


def _images(message: Message) -> list[dict[str, str]]:
    """Return links to pictures. PagerDuty fetches them by HTTPS and does not accept the bytes."""
    chart, parts = message.links.chart, urlsplit(message.links.chart)
    if parts.scheme != "https" or not parts.path.endswith(".png"):
        return []
    image = {"src": chart, "href": message.links.alert, "alt": LABELS[message.language].chart}
    return [{name: value for name, value in image.items() if value}]


TYPE = ChannelType(
    name="pagerduty",
    title="PagerDuty",
    send=send,
    settings=PagerDutySettings,
    url_example="https://events.eu.pagerduty.com/v2/enqueue",
    about="An incident in PagerDuty, resolved with the alert.",
    url_label="Address of the Events API",
    credential_label="Integration key",
    credential="the integration key of an Events API v2 integration",
    needs_secret=True,
    url_default="https://events.pagerduty.com/v2/enqueue",
    limit=RateLimit(messages=60, period_s=60),
)
