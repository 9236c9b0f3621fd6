"""Microsoft Teams: an Adaptive Card in a channel or chat, by a webhook of Workflows.

Docs: docs/reference/notifications/teams.md. Text is made of TextRuns, in which Teams reads no
Markdown, one line each: a line break within one is not shown everywhere. Mentions need a list of
their own beside the text, which is never sent.
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
"""Teams takes about 28 KB, of which it needs some itself."""
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
    """The webhook's address says everything."""


def document_of(message: Message) -> dict[str, Any]:
    """Return the message as Workflows takes it: with one card attached."""
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
    """Yield elements as far as there is room, with an ellipsis for those that are left out."""
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
    """Return the length in JSON, with the comma after it."""
    return len(msgspec.json.encode(element)) + 1


def _read(answer: bytes) -> str:
    """Refuse the page of a proxy. Workflows answers nothing, unless its owner adds an answer."""
    if answer.lstrip().startswith(b"<"):
        raise msgspec.DecodeError("Workflows answers no page")
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
