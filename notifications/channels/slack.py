"""Slack: posts to one channel through an incoming webhook.

Docs: docs/reference/notifications/slack.md. A webhook can neither upload a picture nor reply in a
thread, because Slack does not return the id of the message.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from notifications.cutting import cut, pieces, utf16_length
from notifications.delivery import Channel, ChannelType, Receipt
from notifications.message import Message
from notifications.posting import post_json
from notifications.rendering.appearance import appearance
from notifications.rendering.buttons import buttons
from runtime.network.egress import Egress

FALLBACK_CHARS_MAX = 3000
HEADER_CHARS_MAX = 150
SECTION_CHARS_MAX = 3000
SECTIONS_MAX = 3
"""Slack refuses messages with about 13,000 characters in blocks. The limit is not documented."""
FIELD_CHARS_MAX = 2000
FIELDS_MAX = 10
ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
"""The characters that Slack interprets, as in `<!channel>`. It decodes no other entities."""

Block = dict[str, Any]


class SlackSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """No settings: the URL of the webhook contains everything."""


def document_of(message: Message) -> dict[str, Any]:
    """Return the message as blocks, with a text for notifications and screen readers."""
    title = f"{appearance(message).sign} {message.title}"
    fallback = f"{title}\n{message.text}"
    return {
        "text": _literal(fallback, FALLBACK_CHARS_MAX),
        "blocks": [_header(title), *_sections(message.text), *_facts(message), *_links(message)],
        "unfurl_links": False,
        "unfurl_media": False,
    }


async def send(egress: Egress, channel: Channel, message: Message, now: datetime) -> Receipt:
    """Post the message."""
    return await post_json(egress, channel.url, document_of(message), now=now, read=_read)


def _header(title: str) -> Block:
    return {"type": "header", "text": _plain(title, HEADER_CHARS_MAX)}


def _sections(text: str) -> Iterator[Block]:
    most = SECTION_CHARS_MAX * SECTIONS_MAX
    shown = list(pieces(cut(text.strip(), most, _length), SECTION_CHARS_MAX, _length))
    for number, piece in enumerate(shown[:SECTIONS_MAX], 1):
        # Pieces end at line ends, so the text may need more pieces than its length suggests.
        goes_on = number == SECTIONS_MAX < len(shown)
        yield {
            "type": "section",
            "text": _plain(f"{piece}\n…" if goes_on else piece, SECTION_CHARS_MAX),
        }


def _facts(message: Message) -> Iterator[Block]:
    fields = [_plain(f"{label}: {value}", FIELD_CHARS_MAX) for label, value in message.facts]
    if fields:
        yield {"type": "section", "fields": fields[:FIELDS_MAX]}


def _links(message: Message) -> Iterator[Block]:
    """Yield one line of links.

    Slack shows a warning beside buttons that are not handled by an app.
    """
    line = ""
    for one in buttons(message):
        longer = f"{line}   <{one.url.translate(ENTITIES)}|{one.label}>".strip()
        line = longer if len(longer) <= SECTION_CHARS_MAX else line
    if line:
        yield {"type": "section", "text": {"type": "mrkdwn", "text": line, "verbatim": True}}


def _plain(text: str, most: int) -> Block:
    """Return a text object that Slack does not format."""
    return {"type": "plain_text", "text": _literal(text, most), "emoji": False}


def _literal(text: str, most: int) -> str:
    return cut(text, most, _length).translate(ENTITIES)


def _length(text: str) -> int:
    return utf16_length(text.translate(ENTITIES))


def _read(answer: bytes) -> str:
    """Check that Slack accepted the message: the body is `ok` and has no id."""
    if answer.strip() != b"ok":
        raise msgspec.DecodeError("the answer of Slack must be ok")
    return ""


TYPE = ChannelType(
    name="slack",
    title="Slack",
    send=send,
    settings=SlackSettings,
    url_example="https://hooks.slack.com/services/T000/B000/XXXX",
    about="A card in a channel of Slack.",
    url_label="Webhook address",
    url_hint="In Slack: an app with Incoming Webhooks, added to a channel.",
)
