"""Opsgenie, Alert API: creates, acknowledges and closes an Opsgenie alert for each alert.

Docs: docs/reference/notifications/opsgenie.md.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Annotated, Any, NamedTuple
from urllib.parse import quote

import msgspec
from msgspec import Meta, Struct

from model.severity import Level
from notifications.cutting import cut
from notifications.delivery import Channel, ChannelType, RateLimit, Receipt, settings_of
from notifications.incidents import send_separately
from notifications.labels import LABELS
from notifications.message import Event, Message
from notifications.posting import post
from notifications.rendering.buttons import web_address
from runtime.network.egress import Egress

ALIAS_LENGTH_MAX = 512
MESSAGE_LENGTH_MAX = 130
DESCRIPTION_LENGTH_MAX = 15_000
DETAILS_LENGTH_MAX = 8000
"""The limit for all names and values together."""
NAME_LENGTH_MAX = 100
"""The limit for `source` and `user`, and our own limit for the name of a detail."""
PRIORITIES: Mapping[Level | None, str] = {
    None: "P5",
    Level.INFO: "P5",
    Level.WARNING: "P3",
    Level.CRITICAL: "P2",
    Level.EMERGENCY: "P1",
}
LESS_THAN = "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}"
BY_ALIAS = "identifierType=alias"


class OpsgenieSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The team that Opsgenie notifies."""

    team: Annotated[
        str,
        Meta(title="Team", description="Name of the team; empty: the integration's own."),
    ] = ""


class OpsgenieAnswer(Struct):
    request_id: str = msgspec.field(name="requestId")


class Request(NamedTuple):
    method: str
    path: str
    body: dict[str, Any]


def requests_of(message: Message, settings: OpsgenieSettings) -> list[Request]:
    """Return the requests of a message, in order. Each may be repeated safely.

    Creating an existing alert again does not change its priority, so a new level needs a second
    request.
    """
    alias = (message.thread or message.key)[:ALIAS_LENGTH_MAX]
    own = f"/v2/alerts/{quote(alias, safe='')}"
    match message.event:
        case Event.ACKNOWLEDGED:
            return [Request("POST", f"{own}/acknowledge?{BY_ALIAS}", _note(message))]
        case Event.RESOLVED:
            return [Request("POST", f"{own}/close?{BY_ALIAS}", _note(message))]
    create = Request("POST", "/v2/alerts", _alert(message, alias, settings))
    if message.event not in {Event.ESCALATED, Event.LOWERED}:
        return [create]
    priority = {"priority": PRIORITIES[message.level]}
    return [create, Request("PUT", f"{own}/priority?{BY_ALIAS}", priority)]


async def send(egress: Egress, channel: Channel, message: Message, now: datetime) -> Receipt:
    """Send the requests of a message. For a small group, send those of each alert."""
    return await send_separately(message, partial(_send_one, egress, channel, now))


async def _send_one(egress: Egress, channel: Channel, now: datetime, message: Message) -> Receipt:
    settings = settings_of(channel, OpsgenieSettings)
    base = (channel.url or TYPE.url_default).rstrip("/")
    headers = {
        "Authorization": f"GenieKey {channel.secret}",
        "Content-Type": "application/json",
    }
    receipt = Receipt()
    for method, path, body in requests_of(message, settings):
        receipt = await post(
            egress,
            base + path,
            msgspec.json.encode(body),
            headers=headers,
            now=now,
            method=method,
            read=lambda answer: msgspec.json.decode(answer, type=OpsgenieAnswer).request_id,
        )
    return receipt


def _plain(text: str) -> str:
    """Return a text without HTML. Opsgenie shows HTML in titles and cannot escape it."""
    return text.replace("<", LESS_THAN)


def _alert(message: Message, alias: str, settings: OpsgenieSettings) -> dict[str, Any]:
    about = message.alerts[0] if len(message.alerts) == 1 else {}
    alert: dict[str, Any] = {
        "message": cut(_plain(message.title), MESSAGE_LENGTH_MAX),
        "alias": alias,
        "description": _description(message),
        "responders": [{"name": settings.team, "type": "team"}] if settings.team else [],
        "details": _details(message),
        "entity": about.get("component"),
        "source": "Vigia",
        "priority": PRIORITIES[message.level],
    }
    return {name: value for name, value in alert.items() if value}


def _description(message: Message) -> str:
    titles = [alert["title"] for alert in message.alerts] if message.event is Event.GROUP else []
    return cut(_plain("\n".join([message.text, *titles])), DESCRIPTION_LENGTH_MAX)


def _details(message: Message) -> dict[str, str]:
    """Return as many facts and links as fit, the most important first."""
    links, labels = message.links, LABELS[message.language]
    pairs = [
        (labels.open, links.alert),
        (labels.acknowledge, links.acknowledge),
        (labels.runbook, web_address(links.runbook)),
        (labels.chart, links.chart),
        *message.facts,
    ]
    details, left = {}, DETAILS_LENGTH_MAX
    for label, value in pairs:
        name = cut(label, NAME_LENGTH_MAX)
        left -= len(name) + len(value)
        if left < 0:
            break
        if value:
            details[name] = _plain(value)
    return details


def _note(message: Message) -> dict[str, str]:
    alert = message.alerts[0] if message.alerts else {}
    by = "resolved_by" if message.event is Event.RESOLVED else "acknowledged_by"
    note = {
        "user": cut(alert.get(by) or "", NAME_LENGTH_MAX),
        "source": "Vigia",
        "note": cut(_plain(message.text), DESCRIPTION_LENGTH_MAX),
    }
    return {name: value for name, value in note.items() if value}


TYPE = ChannelType(
    name="opsgenie",
    title="Opsgenie",
    send=send,
    settings=OpsgenieSettings,
    url_example="https://api.eu.opsgenie.com",
    about="An alert in Opsgenie, closed with the alert here.",
    url_label="Address of the API",
    credential_label="API key",
    credential="the key of an API integration",
    needs_secret=True,
    url_default="https://api.opsgenie.com",
    limit=RateLimit(messages=30, period_s=60),
)
