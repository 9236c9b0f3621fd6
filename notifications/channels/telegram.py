"""Telegram, Bot API: a message in a chat, with buttons that acknowledge and resolve.

Docs: docs/reference/notifications/telegram.md. `notifications.replies.telegram` receives the
presses of the buttons.
"""

import html
import re
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit

import msgspec
from msgspec import Meta, Struct, structs

from model.errors import InvalidError
from notifications.cutting import cut, utf16_length
from notifications.delivery import (
    Channel,
    ChannelType,
    DeliveryError,
    PermanentError,
    Receipt,
    TemporaryError,
    settings_of,
)
from notifications.labels import LABELS
from notifications.message import Event, Message
from notifications.posting import RETRY_AFTER_S_MAX, Read, form_of, post
from notifications.rendering.appearance import appearance
from notifications.rendering.buttons import web_address
from notifications.replies.reply import Action, button_data
from runtime.network.egress import BODY_BYTES_MAX, Egress

TEXT_LENGTH_MAX = 4096
CAPTION_LENGTH_MAX = 1024
"""Both limits are in UTF-16 code units, without markup."""
TITLE_LENGTH_MAX = 256
CHAT = re.compile(r"-?[1-9][0-9]{0,18}|@[A-Za-z][A-Za-z0-9_]{3,31}")
UNUSABLE_PICTURE = {HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE}

Form = dict[str, Any]


class TelegramSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The chat in which the bot writes."""

    chat_id: Annotated[
        int | str,
        Meta(
            title="Chat",
            description="The id of a chat, negative for groups, or @name of a public channel.",
            examples=["-1001234567890"],
        ),
    ]
    topic_id: Annotated[
        int | None, Meta(title="Topic", description="Number of a topic, in a group that has them.")
    ] = None


class Parameters(Struct):
    retry_after: float | None = None
    migrate_to_chat_id: int | None = None


class TelegramRefusal(Struct):
    description: str = ""
    parameters: Parameters = msgspec.field(default_factory=Parameters)


class Sent(Struct):
    message_id: int


class TelegramAnswer(Struct):
    ok: Literal[True]
    result: Sent


async def send(egress: Egress, channel: Channel, message: Message, now: datetime) -> Receipt:
    """Send the message, with its picture if the text is short enough for a caption."""
    settings = settings_of(channel, TelegramSettings)
    fields = fields_of(message, settings)
    read = _reader_of(settings)
    shown = f"{_title(message)}\n{message.text}"
    if message.picture and utf16_length(shown) <= CAPTION_LENGTH_MAX:
        try:
            body = _photo(message, message.picture, fields)
            return await call(egress, channel, "sendPhoto", body, now, read=read)
        except PermanentError as error:
            if error.status not in UNUSABLE_PICTURE:
                raise
            # If Telegram refuses the picture, send the message without it.
    body = _json(fields | {"text": _html(message)})
    return await call(egress, channel, "sendMessage", body, now, read=read)


def readdress(channel: Channel, address: str) -> Channel:
    """Return the channel with another chat. Raises InvalidError if the text is not a chat."""
    if not CHAT.fullmatch(address):
        raise InvalidError(
            f"{address!r:.99} is not a chat; write its id, such as 123456789, or @name of a channel"
        )
    chat_id = address if address.startswith("@") else int(address)
    return structs.replace(channel, settings={"chat_id": chat_id})


def fields_of(message: Message, settings: TelegramSettings) -> Form:
    """Return the fields that a message has with and without a picture."""
    fields: Form = {
        "chat_id": settings.chat_id,
        "message_thread_id": settings.topic_id,
        "parse_mode": "HTML",
        "link_preview_options": {"is_disabled": True},
        "reply_parameters": _reply_to(message.earlier, settings),
        "reply_markup": _keyboard(message),
    }
    return {name: value for name, value in fields.items() if value}


async def call(
    egress: Egress,
    channel: Channel,
    method: str,
    body: tuple[str, bytes],
    now: datetime,
    *,
    read: Read = lambda _: "",
    timeout_s: float | None = None,
    answer_bytes_max: int = BODY_BYTES_MAX,
) -> Receipt:
    """Call a method of the Bot API. `body` is a content type and the bytes. Raises DeliveryError.

    The URL contains the token, so no error message may contain the URL.
    """
    content_type, content = body
    base = (channel.url or TYPE.url_default).rstrip("/")
    try:
        return await post(
            egress,
            f"{base}/bot{quote(channel.secret, safe=':')}/{method}",
            content,
            headers={"Content-Type": content_type},
            now=now,
            read=read,
            timeout_s=timeout_s,
            answer_bytes_max=answer_bytes_max,
        )
    except DeliveryError as error:
        raise _explained(error) from error


def _explained(error: DeliveryError) -> DeliveryError:
    """Add the details of Telegram's answer: how long to wait, or the new id of a group."""
    try:
        parameters = msgspec.json.decode(error.answer, type=TelegramRefusal).parameters
    except msgspec.MsgspecError:
        return error
    if isinstance(error, TemporaryError) and parameters.retry_after is not None:
        error.retry_after_s = min(max(parameters.retry_after, 0.0), RETRY_AFTER_S_MAX)
    if parameters.migrate_to_chat_id is not None:
        words = f"the group has a new id; set chat_id to {parameters.migrate_to_chat_id}"
        return PermanentError(words, status=error.status, answer=error.answer)
    return error


def _title(message: Message) -> str:
    return cut(f"{appearance(message).sign} {message.title}", TITLE_LENGTH_MAX, utf16_length)


def _html(message: Message) -> str:
    """Return title and text as HTML. They are cut before escaping, so that no entity is split."""
    title = _title(message)
    left = TEXT_LENGTH_MAX - utf16_length(title) - 1
    text = cut(message.text, left, utf16_length)
    return f"<b>{html.escape(title, quote=False)}</b>\n{html.escape(text, quote=False)}"


def _json(fields: Mapping[str, Any]) -> tuple[str, bytes]:
    return "application/json", msgspec.json.encode(fields)


def _photo(message: Message, picture: bytes, fields: Form) -> tuple[str, bytes]:
    texts = {
        name: value.encode() if isinstance(value, str) else msgspec.json.encode(value)
        for name, value in (fields | {"caption": _html(message)}).items()
        if name != "link_preview_options"
    }
    return form_of(texts, {"photo": ("chart.png", "image/png", picture)})


def _reader_of(settings: TelegramSettings) -> Read:
    """Return the function that reads the reference of a message, `chat/number`.

    Numbers of messages are unique only within their chat.
    """

    def read(answer: bytes) -> str:
        number = msgspec.json.decode(answer, type=TelegramAnswer).result.message_id
        return f"{settings.chat_id}/{number}"

    return read


def _reply_to(earlier: str, settings: TelegramSettings) -> Form | None:
    chat, _, number = earlier.rpartition("/")
    if chat != str(settings.chat_id) or not (number.isascii() and number.isdigit()):
        return None
    return {"message_id": int(number), "allow_sending_without_reply": True}


def _keyboard(message: Message) -> Form | None:
    rows = [row for row in (_actions(message), _addresses(message)) if row]
    return {"inline_keyboard": rows} if rows else None


def _actions(message: Message) -> list[Form]:
    """Return the buttons whose presses Vigia receives. A resolved alert has none."""
    if message.is_resolved:
        return []
    labels, links = LABELS[message.language], message.links
    acknowledge = button_data(Action.ACKNOWLEDGE, links.acknowledge, message)
    buttons = [(labels.resolve, button_data(Action.RESOLVE, links.resolve, message))]
    if message.event is not Event.ACKNOWLEDGED:
        buttons.insert(0, (labels.acknowledge, acknowledge))
    return [{"text": label, "callback_data": data} for label, data in buttons if data]


def _addresses(message: Message) -> list[Form]:
    labels, links = LABELS[message.language], message.links
    buttons = (
        (labels.open, links.alert),
        (labels.runbook, links.runbook),
        (labels.chart, links.chart),
    )
    return [{"text": label, "url": url} for label, link in buttons if (url := _public(link))]


def _public(link: str) -> str:
    """Return a URL if a button may have it, or else "".

    Telegram refuses the whole message if a URL has a host without a dot, such as localhost.
    """
    url = web_address(link)
    try:
        return url if "." in (urlsplit(url).hostname or "") else ""
    except ValueError:
        return ""


TYPE = ChannelType(
    name="telegram",
    title="Telegram",
    shows_picture=True,
    send=send,
    settings=TelegramSettings,
    url_example="https://api.telegram.org",
    about="A bot that writes to a chat, with buttons to acknowledge and resolve.",
    url_label="Address of the Bot API",
    credential_label="Bot token",
    credential="the bot's token, from @BotFather",
    needs_secret=True,
    url_default="https://api.telegram.org",
    readdress=readdress,
    can_acknowledge=True,
)
