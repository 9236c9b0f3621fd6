"""The links of a message as buttons with labels in the reader's language."""

from collections.abc import Iterator
from urllib.parse import quote

from msgspec import Struct

from notifications.labels import LABELS
from notifications.message import Message

URL_CHARS_MAX = 2000
URL_CHARACTERS = ":/?#[]@!$&'()*+,;=%~"
"""The characters of a URL besides letters, digits and `-._` (RFC 3986, section 2)."""

ORDER = ("acknowledge", "alert", "runbook", "chart", "resolve")
"""The order of importance. Channels that show only a few buttons show the first ones."""
LABEL_OF = {"alert": "open"}


class Button(Struct, frozen=True):
    """A link with its label."""

    name: str
    """The field of `Links`."""
    label: str
    url: str
    """An HTTP URL without quotes, angle brackets, bars or white space."""


def buttons(message: Message) -> Iterator[Button]:
    """Yield a button for each link that is an HTTP URL."""
    labels = LABELS[message.language]
    for name in ORDER:
        url = web_address(getattr(message.links, name))
        if url:
            yield Button(name, getattr(labels, LABEL_OF.get(name, name)), url)


def web_address(text: str) -> str:
    """Return a URL that is safe in markup, or "" if the text is not a URL or is too long.

    The link to a runbook is a text that a user wrote into a rule, so it may contain anything.
    """
    url = quote(text.strip(), safe=URL_CHARACTERS)
    is_web = url.startswith(("https://", "http://"))
    return url if is_web and len(url) <= URL_CHARS_MAX else ""
