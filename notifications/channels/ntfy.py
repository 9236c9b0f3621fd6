"""ntfy: a push notification with buttons. Later messages about the alert replace it.

Docs: docs/reference/notifications/ntfy.md. Servers before 2.16 ignore `sequence_id` and show every
message separately.
"""

import hashlib
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct, structs

from model.errors import InvalidError
from model.severity import Level
from notifications.cutting import cut, utf8_length
from notifications.delivery import Channel, ChannelType, PermanentError, Receipt
from notifications.message import Event, Message
from notifications.posting import post_json
from notifications.rendering.appearance import appearance
from notifications.rendering.buttons import buttons, web_address
from runtime.network.egress import Egress

BODY_BYTES_MAX = 8192
"""The server reads a body of at most twice the length of a message, and refuses longer ones."""
MESSAGE_BYTES_MAX = 4096
"""The server converts a longer message into an attached file."""
TITLE_BYTES_MAX = 1000
CLICK_BYTES_MAX = 1000
ACTIONS_MAX = 3
ACTIONS_BYTES_MAX = 3000
NAME = re.compile(r"[-_A-Za-z0-9]{1,64}")
"""The syntax of a topic, and of the id of a sequence."""
DEFAULT_PRIORITY = 3
PRIORITIES = {Level.INFO: 2, Level.WARNING: 3, Level.CRITICAL: 4, Level.EMERGENCY: 5}
"""From 2, which makes no sound, to 5, which rings for a long time."""
GOOD_NEWS = {Event.ACKNOWLEDGED, Event.LOWERED, Event.RESOLVED}
"""Events that have at most the default priority, so that they do not wake anybody again."""
TAGS = {
    "✅": "white_check_mark",
    "🔔": "bell",
    "🔵": "large_blue_circle",
    "🟠": "orange_circle",
    "🔴": "red_circle",
    "🚨": "rotating_light",
}
"""The emoji short codes of the signs of `appearance`. ntfy shows known tags as emoji."""


class NtfySettings(Struct, frozen=True, forbid_unknown_fields=True):
    """No settings: the URL of the topic contains everything."""


class NtfyAnswer(Struct):
    """ntfy's answer: the published message."""

    id: str


def document_of(message: Message, topic: str) -> dict[str, Any]:
    """Return the JSON document that publishes the message."""
    document: dict[str, Any] = {
        "topic": topic,
        "title": cut(message.title, TITLE_BYTES_MAX, _json_length),
        "message": "",
        "priority": _priority(message),
        "tags": [TAGS[appearance(message).sign]],
        "actions": list(_actions(message)),
    }
    click = web_address(message.links.alert)
    if click and len(click) <= CLICK_BYTES_MAX:
        document["click"] = click
    if message.thread:
        document["sequence_id"] = _sequence(message.thread)
    room = BODY_BYTES_MAX - len(msgspec.json.encode(document))
    # If the message is empty, ntfy shows "triggered".
    text = cut(message.text.strip() or message.title, MESSAGE_BYTES_MAX, utf8_length)
    return document | {"message": cut(text, room, _json_length)}


async def send(egress: Egress, channel: Channel, message: Message, now: datetime) -> Receipt:
    """Publish the message. The receipt has ntfy's id of the message."""
    try:
        server, topic = _server_and_topic(channel.url)
    except InvalidError as error:
        raise PermanentError(str(error)) from error
    headers = {"Authorization": f"Bearer {channel.secret}"} if channel.secret else {}
    document = document_of(message, topic)
    return await post_json(egress, server, document, now=now, headers=headers, read=_read)


def check(channel: Channel) -> None:
    """Check the URL. Raises InvalidError."""
    _server_and_topic(channel.url)


def readdress(channel: Channel, address: str) -> Channel:
    """Return the channel with another topic. Raises InvalidError if the text is not a topic."""
    if not NAME.fullmatch(address):
        raise InvalidError(
            f"{address!r:.99} is not a topic; write up to 64 letters, digits, '-' and '_'"
        )
    server, _ = _server_and_topic(channel.url)
    return structs.replace(channel, url=f"{server}{address}")


def _server_and_topic(url: str) -> tuple[str, str]:
    """Split a URL into the URL of the server, to which JSON is posted, and the topic."""
    server, _, topic = url.strip().removesuffix("/").rpartition("/")
    if not NAME.fullmatch(topic) or not urlsplit(server).netloc:
        raise InvalidError(
            "the url must be that of the server and the topic, with a topic of up to 64 letters, "
            f"digits, '-' and '_'; for example {TYPE.url_example}"
        )
    return f"{server}/", topic


def _read(answer: bytes) -> str:
    return msgspec.json.decode(answer, type=NtfyAnswer).id


def _priority(message: Message) -> int:
    priority = PRIORITIES[message.level] if message.level else DEFAULT_PRIORITY
    return min(priority, DEFAULT_PRIORITY) if message.event in GOOD_NEWS else priority


def _actions(message: Message) -> Iterator[dict[str, Any]]:
    """Yield as many buttons as ntfy allows. Acknowledging works without a browser."""
    room = ACTIONS_BYTES_MAX
    for one in list(buttons(message))[:ACTIONS_MAX]:
        action: dict[str, Any] = {"action": "view", "label": one.label, "url": one.url}
        if one.name == "acknowledge":
            action |= {"action": "http", "method": "POST", "clear": True}
        room -= len(msgspec.json.encode(action))
        if room >= 0:
            yield action


def _sequence(thread: str) -> str:
    if NAME.fullmatch(thread):
        return thread
    return hashlib.sha256(thread.encode()).hexdigest()


def _json_length(text: str) -> int:
    """Return the length in JSON, which is at least the length in UTF-8."""
    return len(msgspec.json.encode(text)) - 2


TYPE = ChannelType(
    name="ntfy",
    title="ntfy",
    send=send,
    settings=NtfySettings,
    url_example="https://ntfy.sh/vigia-XXXX",
    about="A push notification by ntfy, with a button to acknowledge.",
    url_label="Address of the topic",
    url_hint="The server and the topic. Choose a topic that nobody can guess.",
    credential_label="Access token",
    credential="an access token of ntfy, for a topic that is protected",
    check=check,
    readdress=readdress,
    can_acknowledge=True,
)
