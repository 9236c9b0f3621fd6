"""Twilio, Messages API: an SMS or a WhatsApp message.

Docs: docs/reference/notifications/twilio.md. `notifications.replies.twilio` receives the answers.
"""

import base64
import re
from datetime import datetime
from typing import Annotated
from urllib.parse import urlencode

import msgspec
from msgspec import Meta, Struct, structs

from model.errors import InvalidError
from notifications.cutting import cut
from notifications.delivery import (
    Channel,
    ChannelType,
    DeliveryError,
    PermanentError,
    Receipt,
    settings_of,
)
from notifications.message import Event, Message
from notifications.posting import post
from notifications.rendering.buttons import web_address
from notifications.rendering.sms import fitting
from notifications.replies.words import WORDS
from runtime.network.egress import Egress

TITLE_LENGTH_MAX = 300
ACCOUNT_SID = re.compile(r"AC[0-9a-fA-F]{32}")
SERVICE_SID = re.compile(r"MG[0-9a-fA-F]{32}")
NUMBER = re.compile(r"(whatsapp:)?\+[1-9][0-9]{4,14}")
SENDER_NAME = re.compile(r"[A-Za-z0-9 ]{1,11}")
SHORT_CODE = re.compile(r"[0-9]{3,8}")
NUMBER_WORDS = "a phone number with its country, such as +5511912345678"
UNSUBSCRIBED = 21610

Line = Annotated[str, Meta(min_length=1, max_length=100)]


class TwilioSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The account, the sender and the recipient."""

    account_sid: Annotated[
        Line, Meta(title="Account SID", description="As Twilio's console shows it.")
    ]
    sender: Annotated[
        Line,
        Meta(
            title="From",
            description="A phone number, a short code, a name, or a messaging service (MG…).",
            examples=["+15005550006"],
        ),
    ] = msgspec.field(name="from")
    to: Annotated[
        Line,
        Meta(title="To", description="A phone number.", examples=["+5511912345678"]),
    ]
    replies: Annotated[
        bool,
        Meta(
            title="Answers reach Vigia",
            description="Twilio forwards answers to Vigia, so messages say how to answer.",
        ),
    ] = False


class TwilioAnswer(Struct):
    sid: str


class TwilioRefusal(Struct):
    code: int | None = None


def check(channel: Channel) -> None:
    """Raise InvalidError if Twilio would refuse every message."""
    try:
        settings = settings_of(channel, TwilioSettings)
    except PermanentError as error:
        raise InvalidError(str(error)) from error
    if not ACCOUNT_SID.fullmatch(settings.account_sid):
        raise InvalidError(
            "account_sid must be AC and 32 hex digits; copy it from Twilio's console"
        )
    if not NUMBER.fullmatch(settings.to):
        raise InvalidError(f"to must be {NUMBER_WORDS}")
    kinds = (NUMBER, SERVICE_SID, SHORT_CODE, SENDER_NAME)
    if not any(kind.fullmatch(settings.sender) for kind in kinds):
        raise InvalidError(
            "from must be a number such as +15017122661, a short code, a name of up to 11 letters, "
            "or the id of a messaging service (MG and 32 hex digits)"
        )


def readdress(channel: Channel, address: str) -> Channel:
    """Return the channel with one recipient. Raises InvalidError if it is not a phone number."""
    if not NUMBER.fullmatch(address):
        raise InvalidError(f"{address!r:.99} is not a phone number; write {NUMBER_WORDS}")
    return structs.replace(channel, settings={**channel.settings, "to": address})


async def send(egress: Egress, channel: Channel, message: Message, now: datetime) -> Receipt:
    """Send one message. The receipt has its SID."""
    settings = settings_of(channel, TwilioSettings)
    base = (channel.url or TYPE.url_default).rstrip("/")
    login = f"{settings.account_sid}:{channel.secret}".encode()
    headers = {
        "Authorization": f"Basic {base64.b64encode(login).decode()}",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    try:
        return await post(
            egress,
            f"{base}/2010-04-01/Accounts/{settings.account_sid}/Messages.json",
            urlencode(fields_of(message, settings)).encode(),
            headers=headers,
            now=now,
            read=lambda answer: msgspec.json.decode(answer, type=TwilioAnswer).sid,
        )
    except DeliveryError as error:
        raise _explained(error) from error


def fields_of(message: Message, settings: TwilioSettings) -> dict[str, str]:
    """Return the fields of the form: sender, recipient and text."""
    is_service = SERVICE_SID.fullmatch(settings.sender)
    return {
        "MessagingServiceSid" if is_service else "From": settings.sender,
        "To": settings.to,
        "Body": text_of(message, settings),
    }


def text_of(message: Message, settings: TwilioSettings) -> str:
    """Return title, text, and how to act: by an answer if Vigia receives them, else by a link."""
    text = f"{cut(message.title, TITLE_LENGTH_MAX)}\n{message.text}"
    return fitting(text, _ending(message, settings))


def _ending(message: Message, settings: TwilioSettings) -> str:
    words, links = WORDS[message.language], message.links
    can_act = message.alerts and message.event not in {Event.ACKNOWLEDGED, Event.RESOLVED}
    if settings.replies and can_act:
        number = message.alerts[0]["id"]
        several = len(message.alerts) > 1
        hint = words.sms_group if several else words.sms_alert
        return "\n" + hint.format(number=number)
    address = web_address(links.acknowledge) if can_act else ""
    address = address or web_address(links.alert)
    return f"\n{address}" if address else ""


def _explained(error: DeliveryError) -> DeliveryError:
    try:
        code = msgspec.json.decode(error.answer, type=TwilioRefusal).code
    except msgspec.MsgspecError:
        return error
    if code == UNSUBSCRIBED:
        words = "the recipient answered STOP; an SMS with START to the sender's number undoes it"
        return PermanentError(words, status=error.status, answer=error.answer)
    return error


TYPE = ChannelType(
    name="twilio",
    title="SMS (Twilio)",
    send=send,
    settings=TwilioSettings,
    url_example="https://api.twilio.com",
    about="SMS or WhatsApp; the answer acknowledges.",
    url_label="Address of the API",
    credential_label="Auth token",
    credential="the account's auth token",
    needs_secret=True,
    check=check,
    url_default="https://api.twilio.com",
    readdress=readdress,
    can_acknowledge=True,
)
