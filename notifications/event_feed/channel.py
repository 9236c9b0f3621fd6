"""The channel type `events`: what happens on the bus as signed JSON, many events a request.

Docs: docs/reference/notifications/events.md has the body and the types of events.
"""

import re
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from audit import log as audit_log
from model.errors import InvalidError
from notifications.channels.webhook import post_signed
from notifications.delivery import Channel, ChannelType, PermanentError, RateLimit, Receipt
from notifications.delivery import settings_of as own_settings
from notifications.message import BusEvent, Event, Message
from runtime.network.egress import Egress

TYPES = ("alerts", "alert_resolved", "health", *map(audit_log.bus_type, audit_log.Type))
"""The types of events that the bus has."""
PATTERN = re.compile(r"[a-z0-9_.*]{1,100}")
PATTERNS_MAX = 50
TEST = "test"
"""The type of the event that a test sends."""


class EventSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Which events a channel sends."""

    types: Annotated[
        tuple[str, ...],
        Meta(
            title="Which events",
            description="Types, one a line; * stands for any text. Empty: every type.",
            examples=["alert*"],
        ),
    ] = ()


def body_of(message: Message) -> bytes:
    """Return the JSON. The data of the events are passed on as they are on the bus."""
    return msgspec.json.encode({"key": message.key, "events": message.events})


async def send(egress: Egress, channel: Channel, message: Message, now: datetime) -> Receipt:
    """Post the events. Raises PermanentError for a message that is about something else."""
    if message.event is Event.TEST:
        tested = BusEvent(None, TEST, message.time, Raw(b"{}"))
        message = msgspec.structs.replace(message, events=(tested,))
    if not message.events:
        raise PermanentError("this channel sends events of the bus, and no messages about alerts")
    return await post_signed(egress, channel, message.key, body_of(message), now)


def check(channel: Channel) -> None:
    """Check that there are events of each wanted type. Raises InvalidError."""
    patterns = own_settings(channel, EventSettings).types
    if len(patterns) > PATTERNS_MAX:
        raise InvalidError(f"settings: types may name {PATTERNS_MAX} types; use * for several")
    for pattern in patterns:
        if not PATTERN.fullmatch(pattern) or not any(map(_regex(pattern).fullmatch, TYPES)):
            raise InvalidError(
                f"settings: no event has the type {pattern!r:.99}; the types are alerts, "
                "alert_resolved, health, and security. with a type of the audit, such as "
                "security.key_created; * stands for any text"
            )


def _regex(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))))


TYPE = ChannelType(
    name="events",
    title="Events",
    send=send,
    settings=EventSettings,
    url_example="https://example.org/hooks/vigia-events",
    about="Every event of Vigia as signed JSON, in order, for a program of yours.",
    url_label="Address",
    url_hint="Vigia posts JSON there, up to 100 events at a time.",
    credential_label="Signing key",
    credential="the key that signs each request",
    check=check,
    # Nothing is grouped: a batch is as large as it can be.
    limit=RateLimit(messages=100, period_s=10.0),
    follows_bus=True,
)
