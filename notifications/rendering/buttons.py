"""The links of a message as buttons, named in the reader's language."""

from collections.abc import Iterator
from urllib.parse import quote

from msgspec import Struct

from notifications.labels import LABELS
from notifications.message import Message

URL_CHARS_MAX = 2000
URL_CHARACTERS = ":/?#[]@!$&'()*+,;=%~"
"""What RFC 3986 lets stand in an address, beside letters, digits and `-._`."""

ORDER = ("acknowledge", "alert", "runbook", "chart", "resolve")
"""What is needed first in the night; channels that show few buttons show the first."""
LABEL_OF = {"alert": "open"}


class Button(Struct, frozen=True):
    """One link."""

    name: str
    """The field of `Links`."""
    label: str
    url: str
    """An HTTP address without quotes, angle brackets, bars or white space."""


def buttons(message: Message) -> Iterator[Button]:
    """Yield a button for each link that is an HTTP address."""
    labels = LABELS[message.language]
    for name in ORDER:
        url = web_address(getattr(message.links, name))
        if url:
            yield Button(name, getattr(labels, LABEL_OF.get(name, name)), url)


def web_address(text: str) -> str:
    """Return an address that ends no link of a markup; "" for what is none, or is too long.

    The address of a runbook is a text that someone wrote into a rule.
    """
    url = quote(text.strip(), safe=URL_CHARACTERS)
    is_web = url.startswith(("https://", "http://"))
    return url if is_web and len(url) <= URL_CHARS_MAX else ""
