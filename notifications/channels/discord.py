"""Discord: posts an embed to one channel through a webhook.

Docs: docs/reference/notifications/discord.md. A webhook cannot reply to a message, so an open and a
resolved alert are two separate messages.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import Struct

from notifications.cutting import cut, utf16_length
from notifications.delivery import (
    Channel,
    ChannelType,
    DeliveryError,
    GoneError,
    Receipt,
    TemporaryError,
)
from notifications.message import Message
from notifications.posting import RETRY_AFTER_S_MAX, form_of, post
from notifications.rendering.appearance import appearance
from notifications.rendering.buttons import buttons, web_address
from runtime.network.egress import Egress

TITLE_CHARS_MAX = 256
DESCRIPTION_CHARS_MAX = 4096
FIELDS_MAX = 25
FIELD_NAME_CHARS_MAX = 256
FIELD_VALUE_CHARS_MAX = 1024
FIELDS_CHARS_MAX = 1600
"""The limit for all fields together. Discord allows 6,000 characters for the whole embed."""
UNKNOWN_WEBHOOK = 10015

FORMATTING = re.compile(r"[\\*_~`|<]|(?<=\])\(")
AT_LINE_START = re.compile(r"^(\s*)([>#+-])|^(\s*\d+)(?=[.)])", re.MULTILINE)
LONGEST = str.maketrans(dict.fromkeys("\\*_~`|<(>#+-.)", "xx"))
"""Counts each character that may need a backslash as two."""


class DiscordSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """No settings: the URL of the webhook contains everything, even the `thread_id` of a thread."""


class DiscordAnswer(Struct):
    """Discord's answer: the created message."""

    id: str


class DiscordRefusal(Struct):
    """Discord's answer to a failed request."""

    code: int = 0
    retry_after: float | None = None


def document_of(message: Message) -> dict[str, Any]:
    """Return the message as one embed that mentions nobody."""
    title = f"{appearance(message).sign} {message.title}"
    embed: dict[str, Any] = {
        "title": _literal(title, TITLE_CHARS_MAX),
        "description": _description(message),
        "color": appearance(message).color,
        "timestamp": message.time.isoformat(),
        "fields": list(_fields(message)),
    }
    if url := web_address(message.links.alert):
        embed["url"] = url
    if message.picture is not None:
        embed["image"] = {"url": "attachment://chart.png"}
    return {"embeds": [embed], "allowed_mentions": {"parse": []}}


async def send(egress: Egress, channel: Channel, message: Message, now: datetime) -> Receipt:
    """Post the message with its picture as a file. The receipt has the id of Discord's message."""
    document = msgspec.json.encode(document_of(message))
    content_type, body = "application/json", document
    if message.picture is not None:
        files = {"files[0]": ("chart.png", "image/png", message.picture)}
        content_type, body = form_of({"payload_json": document}, files)
    headers = {"Content-Type": content_type}
    try:
        return await post(egress, _waiting(channel.url), body, headers=headers, now=now, read=_read)
    except DeliveryError as error:
        raise _explained(error) from error


def _waiting(url: str) -> str:
    """Return the URL with `wait=true`. Discord then stores the message first and returns its id."""
    return f"{url}{'&' if '?' in url else '?'}wait=true"


def _read(answer: bytes) -> str:
    return msgspec.json.decode(answer, type=DiscordAnswer).id


def _explained(error: DeliveryError) -> DeliveryError:
    """Add the details of Discord's answer: when to try again, or that the webhook was deleted."""
    try:
        details = msgspec.json.decode(error.answer, type=DiscordRefusal)
    except msgspec.MsgspecError:
        return error
    if isinstance(error, TemporaryError) and details.retry_after is not None:
        error.retry_after_s = min(max(details.retry_after, 0.0), RETRY_AFTER_S_MAX)
    if error.status == HTTPStatus.NOT_FOUND and details.code == UNKNOWN_WEBHOOK:
        return GoneError(str(error), status=error.status, answer=error.answer)
    return error


def _description(message: Message) -> str:
    links = " · ".join(
        f"[{one.label}]({one.url.replace('(', '%28').replace(')', '%29')})"
        for one in buttons(message)
        if one.name != "alert"
    )
    end = f"\n\n{links}" if links and len(links) < DESCRIPTION_CHARS_MAX // 2 else ""
    return _literal(message.text, DESCRIPTION_CHARS_MAX - len(end)) + end


def _fields(message: Message) -> Iterator[dict[str, Any]]:
    """Yield the fields that fit. Discord refuses empty names and values."""
    room = FIELDS_CHARS_MAX
    for label, value in message.facts[:FIELDS_MAX]:
        name = _literal(label.strip(), FIELD_NAME_CHARS_MAX) or "-"
        shown = _literal(value.strip(), FIELD_VALUE_CHARS_MAX) or "-"
        room -= utf16_length(name) + utf16_length(shown)
        if room < 0:
            return
        yield {"name": name, "value": shown, "inline": True}


def _literal(text: str, most: int) -> str:
    """Return a text that Discord shows without formatting, links and mentions."""
    escaped = FORMATTING.sub(r"\\\g<0>", cut(text, most, _length))
    return AT_LINE_START.sub(lambda found: _backslashed(*found.groups()), escaped)


def _backslashed(space: str | None, sign: str | None, number: str | None) -> str:
    return f"{number}\\" if number else f"{space}\\{sign}"


def _length(text: str) -> int:
    return utf16_length(text.translate(LONGEST))


TYPE = ChannelType(
    name="discord",
    title="Discord",
    shows_picture=True,
    send=send,
    settings=DiscordSettings,
    url_example="https://discord.com/api/webhooks/123/XXXX",
    about="A card in a channel of Discord, with the chart.",
    url_label="Webhook address",
    url_hint="In Discord: Channel settings, Integrations, Webhooks.",
)
