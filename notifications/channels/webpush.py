"""Web push: a notification in one browser, even if no page of Vigia is open.

Docs: docs/reference/notifications/webpush.md. The service worker, web/public/service-worker.js,
shows the notification and handles its buttons.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from msgspec import Meta, Struct, structs

from model.errors import InvalidError
from model.severity import Level
from notifications.cutting import cut
from notifications.delivery import (
    Channel,
    ChannelType,
    GoneError,
    PermanentError,
    Receipt,
    settings_of,
)
from notifications.labels import LABELS
from notifications.message import Event, Message
from notifications.posting import post
from notifications.push.base64url import encoded
from notifications.push.encryption import (
    PAYLOAD_BYTES_MAX,
    Subscription,
    encrypt,
    subscription_of,
)
from notifications.push.vapid import authorization, private_key_of
from notifications.rendering.buttons import web_address
from notifications.replies.words import WORDS
from runtime.network.egress import Egress

TITLE_BYTES_MAX = 400
LINK_LENGTH_MAX = 500
TAG_LENGTH_MAX = 200
TOPIC_LENGTH = 32
"""The longest topic of RFC 8030, which allows only the letters of base64url."""
DAY_S = 86_400
"""How long a push service keeps a message for a browser that is offline."""
URGENT = frozenset({Level.CRITICAL, Level.EMERGENCY})


class WebPushSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The subscription without its endpoint, which is the channel's `url`.

    `auth` is not secret: it allows to encrypt for the browser, but not to send to it.
    """

    p256dh: Annotated[
        str, Meta(title="Key p256dh", description="The public key of the subscription.")
    ]
    auth: Annotated[str, Meta(title="Key auth", description="The other key of the subscription.")]
    subject: Annotated[
        str,
        Meta(
            title="Contact for push services",
            description="For reports of problems: mailto: with an address, or https: with a page.",
            examples=["mailto:ops@example.org"],
        ),
    ]


class Keys(NamedTuple):
    """The private key of the channel, and the keys of the browser."""

    private: EllipticCurvePrivateKey
    subscription: Subscription


def keys_of(channel: Channel, settings: WebPushSettings) -> Keys:
    """Decode the keys. Raises InvalidError, which names the wrong key without showing it."""
    try:
        private = private_key_of(channel.secret)
    except ValueError as error:
        raise InvalidError("secret must be a private VAPID key: 32 bytes in base64url") from error
    try:
        subscription = subscription_of(settings.p256dh, settings.auth)
    except ValueError as error:
        raise InvalidError("p256dh and auth must be the keys of a subscription") from error
    return Keys(private, subscription)


def check(channel: Channel) -> None:
    """Raise InvalidError if no message could ever be sent."""
    settings = settings_of(channel, WebPushSettings)
    keys_of(channel, settings)
    if not settings.subject.startswith(("mailto:", "https://")):
        raise InvalidError("subject must be mailto: with an address, or https:// with a page")


class SubscriptionKeys(Struct, frozen=True):
    """The browser's keys, in base64url."""

    p256dh: str
    auth: str


class PushSubscription(Struct, frozen=True):
    """The fields of a browser's `PushSubscription.toJSON()` that Vigia needs."""

    endpoint: Annotated[str, Meta(pattern="^https?://[^/]")]
    keys: SubscriptionKeys


def readdress(channel: Channel, address: str) -> Channel:
    """Return the channel with another browser. Raises InvalidError if it is not a subscription."""
    try:
        given = msgspec.json.decode(address, type=PushSubscription)
        subscription_of(given.keys.p256dh, given.keys.auth)
    except (msgspec.MsgspecError, ValueError):
        raise InvalidError(
            "the address of a browser must be the JSON of its subscription: endpoint (https://…) "
            "and keys with p256dh and auth"
        ) from None
    keys = structs.asdict(given.keys)
    return structs.replace(channel, url=given.endpoint, settings={**channel.settings, **keys})


async def send(egress: Egress, channel: Channel, message: Message, now: datetime) -> Receipt:
    """Encrypt and send a message. Raises GoneError if the browser has unsubscribed."""
    settings = settings_of(channel, WebPushSettings)
    try:
        keys = keys_of(channel, settings)
    except InvalidError as error:
        raise PermanentError(str(error)) from error
    headers = {
        "Authorization": authorization(keys.private, channel.url, settings.subject, now),
        "Content-Encoding": "aes128gcm",
        "Content-Type": "application/octet-stream",
        **_handling(message),
    }
    payload = payload_of(message)
    body = encrypt(payload, keys.subscription)
    try:
        return await post(egress, channel.url, body, headers=headers, now=now, readable=payload)
    except PermanentError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            raise GoneError(str(error), status=error.status, answer=error.answer) from error
        raise


def payload_of(message: Message) -> bytes:
    """Return the JSON for the service worker, of at most `PAYLOAD_BYTES_MAX` bytes.

    Every field except the text has a limit of its own. The text gets the rest.
    """
    labels, words = LABELS[message.language], WORDS[message.language]
    document: dict[str, Any] = {
        "title": cut(message.title, TITLE_BYTES_MAX, _json_length),
        "text": "",
        "tag": cut(message.thread or message.key, TAG_LENGTH_MAX, _json_length),
        "urgent": _urgency(message) == "high",
        "links": _links(message),
        "labels": {
            "acknowledge": labels.acknowledge,
            "open": labels.open,
            "acknowledged": words.acknowledged,
            "failed": words.not_acknowledged,
        },
    }
    left = PAYLOAD_BYTES_MAX - len(msgspec.json.encode(document))
    return msgspec.json.encode(document | {"text": cut(message.text, left, _json_length)})


def _links(message: Message) -> dict[str, str]:
    over = {Event.ACKNOWLEDGED, Event.RESOLVED}
    links = {
        "open": web_address(message.links.alert),
        "acknowledge": "" if message.event in over else web_address(message.links.acknowledge),
    }
    return {name: url for name, url in links.items() if url and len(url) <= LINK_LENGTH_MAX}


def _json_length(text: str) -> int:
    """Return the bytes of a text inside a JSON string, where a control character may take six."""
    return len(msgspec.json.encode(text)) - 2


def _handling(message: Message) -> Mapping[str, str]:
    """Return the headers for the push service (RFC 8030, section 5).

    The topic lets a later message about an alert replace one that still waits for the browser.
    """
    topic = hashlib.sha256((message.thread or message.key).encode()).digest()
    return {
        "TTL": str(DAY_S),
        "Urgency": _urgency(message),
        "Topic": encoded(topic)[:TOPIC_LENGTH],
    }


def _urgency(message: Message) -> str:
    """Return the urgency. Only `high` wakes a phone that saves power."""
    if message.level in URGENT and message.event not in {Event.ACKNOWLEDGED, Event.RESOLVED}:
        return "high"
    return "normal" if message.level else "low"


TYPE = ChannelType(
    name="webpush",
    title="Browser",
    send=send,
    settings=WebPushSettings,
    url_example="https://updates.push.services.mozilla.com/wpush/v2/gAAAAA",
    about="One browser or phone. It is easier to press Notify this browser in that browser.",
    url_label="Endpoint",
    url_hint="The endpoint of the browser's subscription.",
    credential_label="Private VAPID key",
    credential="the service's private VAPID key",
    needs_secret=True,
    check=check,
    readdress=readdress,
    can_acknowledge=True,
    is_dropped_when_gone=True,
)
