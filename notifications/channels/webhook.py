"""Signed webhook: sends Vigia's own JSON to any HTTP address.

Docs: docs/reference/notifications/webhook.md has the format and a test vector of the signature.
"""

import hashlib
import hmac
from datetime import datetime

import msgspec
from msgspec import Struct

from notifications.delivery import Channel, ChannelType, Receipt
from notifications.message import Event, Message
from notifications.posting import post
from runtime.network.egress import Egress


class WebhookSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """No settings: a webhook only has a URL and a secret."""


def body_of(message: Message) -> bytes:
    """Return the JSON of the message, with the whole alert or all alerts of a group."""
    document: dict[str, object] = {"key": message.key, "event": message.event}
    if message.event is Event.GROUP:
        document["alerts"] = message.alerts
    else:
        document["alert"] = message.alerts[0] if message.alerts else None
    if message.step:
        document["step"] = message.step
    document |= {
        "kind": message.kind,
        "title": message.title,
        "text": message.text,
        "links": message.links,
    }
    return msgspec.json.encode(document)


def signature(secret: str, body: bytes, now: datetime) -> str:
    """Return the value of the signature header.

    It is the HMAC-SHA256 of "<epoch seconds>.<body>", in hex. The time in it lets a receiver refuse
    old requests.
    """
    sent_at = int(now.timestamp())
    digest = hmac.new(secret.encode(), f"{sent_at}.".encode() + body, hashlib.sha256)
    return f"v1,t={sent_at},s={digest.hexdigest()}"


async def send(egress: Egress, channel: Channel, message: Message, now: datetime) -> Receipt:
    """Post the message. Without a secret there is no signature."""
    return await post_signed(egress, channel, message.key, body_of(message), now)


async def post_signed(
    egress: Egress, channel: Channel, key: str, body: bytes, now: datetime
) -> Receipt:
    """Post JSON with an idempotency key, signed with the channel's secret if it has one."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    if channel.secret:
        headers["X-Vigia-Signature"] = signature(channel.secret, body, now)
    return await post(egress, channel.url, body, headers=headers, now=now)


TYPE = ChannelType(
    name="webhook",
    title="Webhook",
    send=send,
    settings=WebhookSettings,
    url_example="https://example.org/hooks/vigia",
    about="A signed POST of JSON to an address of yours.",
    url_label="Address",
    url_hint="Vigia posts JSON there.",
    credential_label="Signing key",
    credential="the key that signs each request",
)
