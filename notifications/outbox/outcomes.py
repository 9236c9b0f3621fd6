"""Sends a message and cleans the provider's answer for the delivery log.

Some providers repeat the path, the headers or the body of the request, so an answer can contain a
secret. It can also contain bytes that are no text.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from msgspec import structs

from notifications.delivery import LOGGED_CHARS_MAX, Channel, DeliveryError, Receipt
from notifications.message import Message
from notifications.registry import type_of
from runtime.network.egress import Egress

HIDDEN = "[secret]"
AUTHORIZATION = re.compile(r"\b(Basic|Bearer) +[\w.~+/=-]+", re.IGNORECASE)
WORD = re.compile(r"[a-z]{1,15}([._-][a-z]{1,15})?|.{1,5}")
"""A part of a URL that is no secret. Longer ones, and ones with digits or capitals, may be."""


async def send(egress: Egress, channel: Channel, message: Message, now: datetime) -> Receipt:
    """Send one message now. Raises DeliveryError. The receipt and the error hold no secret."""
    try:
        receipt = await type_of(channel.type).send(egress, channel, message, now)
    except DeliveryError as error:
        error.answer = shown(error.answer, channel)[:LOGGED_CHARS_MAX]
        error.args = (shown(str(error), channel),)
        raise
    return structs.replace(
        receipt,
        answer=shown(receipt.answer, channel)[:LOGGED_CHARS_MAX],
        reference=storable(receipt.reference),
    )


def shown(text: str, channel: Channel) -> str:
    """Return a text without the secret and the secret parts of the URL of a channel."""
    for secret in sorted(set(_secrets(channel)), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return storable(AUTHORIZATION.sub(rf"\1 {HIDDEN}", text))


def storable(text: str) -> str:
    """Return a text that PostgreSQL can store: without U+0000 and lone surrogates."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _secrets(channel: Channel) -> Iterator[str]:
    for secret in (channel.secret, channel.url, *_parts(channel.url)):
        if secret:
            yield secret
            yield unquote(secret)
            # Some programs escape a slash in JSON.
            yield secret.replace("/", r"\/")


def _parts(url: str) -> Iterator[str]:
    """Yield the parts of a URL that may be secrets. The host and the user name are none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    yield parts.password or ""
    for part in _said(parts):
        if not WORD.fullmatch(part):
            yield part


def _said(parts: SplitResult) -> Iterator[str]:
    yield from parts.path.split("/")
    yield from re.split("[&=]", parts.query)
    yield from (value for _, value in parse_qsl(parts.query))
    yield parts.fragment
