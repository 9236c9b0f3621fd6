"""Microsoft Teams: an Adaptive Card in a channel or chat, through a webhook of Workflows.

Docs: docs/reference/notifications/teams.md. Texts are TextRuns, because Teams does not interpret
Markdown in them. Each line is a run of its own, because some clients do not show line breaks within
a run. Mentions would need a separate list, which is never sent.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from model.severity import Level
from notifications.cutting import ELLIPSIS, cut
from notifications.delivery import Channel, ChannelType, Receipt
from notifications.message import Message
from notifications.posting import post_json
from notifications.rendering.appearance import appearance
from notifications.rendering.buttons import buttons
from runtime.network.egress import Egress

CARD_BYTES_MAX = 24_000
"""Teams accepts about 28 KB, and uses some of it itself."""
TITLE_CHARS_MAX = 300
LINE_CHARS_MAX = 1000
FACTS_MAX = 20
FACT_CHARS_MAX = 200
FACTS_BYTES_MAX = 6000
STYLES = {
    Level.INFO: "accent",
    Level.WARNING: "warning",
    Level.CRITICAL: "attention",
    Level.EMERGENCY: "attention",
}

Element = dict[str, Any]


class TeamsSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """No settings: the URL of the webhook contains everything."""


def document_of(message: Message) -> dict[str, Any]:
    """Return the document for Workflows, with the message as an attached card."""
    title = cut(f"{appearance(message).sign} {message.title}", TITLE_CHARS_MAX)
    head = {
        "type": "Container",
        "style": _style(message),
        "bleed": True,
        "items": [_line(_run(title, size="Large", weight="Bolder"))],
    }
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": title,
        "msteams": {"width": "Full"},
        "body": [head, *_fitting(_facts(message), FACTS_BYTES_MAX)],
        "actions": list(_actions(message)),
    }
    card["body"][1:1] = _fitting(_lines(message.text), CARD_BYTES_MAX - _bytes(card))
    content_type = "application/vnd.microsoft.card.adaptive"
    return {"type": "message", "attachments": [{"contentType": content_type, "content": card}]}


async def send(egress: Egress, channel: Channel, message: Message, now: datetime) -> Receipt:
    """Post the card."""
    return await post_json(egress, channel.url, document_of(message), now=now, read=_read)


def _style(message: Message) -> str:
    if message.is_resolved:
        return "good"
    return STYLES[message.level] if message.level else "emphasis"


def _lines(text: str) -> Iterator[Element]:
    return (_line(_run(cut(line, LINE_CHARS_MAX))) for line in text.splitlines() if line.strip())


def _facts(message: Message) -> Iterator[Element]:
    for label, value in message.facts[:FACTS_MAX]:
        name = _run(f"{cut(label, FACT_CHARS_MAX)}: ", weight="Bolder")
        yield _line(name, _run(cut(value, FACT_CHARS_MAX)))


def _fitting(elements: Iterator[Element], room: int) -> Iterator[Element]:
    """Yield the elements that fit. If some are left out, end with an ellipsis."""
    end = _line(_run(ELLIPSIS))
    room -= _bytes(end)
    for element in elements:
        room -= _bytes(element)
        if room < 0:
            yield end
            return
        yield element


def _actions(message: Message) -> Iterator[Element]:
    for one in buttons(message):
        yield {"type": "Action.OpenUrl", "title": one.label, "url": one.url}


def _line(*runs: Element) -> Element:
    return {"type": "RichTextBlock", "spacing": "Small", "inlines": list(runs)}


def _run(text: str, **look: str) -> Element:
    return {"type": "TextRun", "text": text, **look}


def _bytes(element: Element) -> int:
    """Return the length in JSON, including the comma after it."""
    return len(msgspec.json.encode(element)) + 1


def _read(answer: bytes) -> str:
    """Refuse the page of a proxy. The answer of Workflows is empty unless its owner adds one."""
    if answer.lstrip().startswith(b"<"):
        raise msgspec.DecodeError("the answer of Workflows must not be a page")
    return ""


TYPE = ChannelType(
    name="teams",
    title="Microsoft Teams",
    send=send,
    settings=TeamsSettings,
    url_example="https://prod-00.westeurope.logic.azure.com/workflows/XXXX/triggers/manual/paths/invoke?sig=XXXX",
    about="A card in a channel of Microsoft Teams.",
    url_label="Webhook address",
    url_hint="In Teams: Workflows, post to a channel when a webhook request is received.",
)
