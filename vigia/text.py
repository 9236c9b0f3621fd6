"""Which characters a text may hold: none that acts on a terminal, a page or a log by itself."""

import re

import msgspec

UNSAFE = r"\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
"""Control characters, line separators, and what changes the direction of the text around it.

It is written as the inside of a regular expression's character class.
"""

TEXT = rf"^[^{UNSAFE}]*(?!\n)$"
"""What is stored may be empty, but holds no unsafe character."""
NAME = rf"^[^{UNSAFE}]+(?!\n)$"
LINES = rf"^(?:[^{UNSAFE}]|[\t\r\n])*$"
"""Of several lines, with tabs: a comment, or SQL."""
ADDRESS = rf"^https?://[^ {UNSAFE}]+(?!\n)$"

UNSAFE_WORDS = "control characters or marks of text direction"
"""What a message calls these characters."""

_unsafe = re.compile(f"[{UNSAFE}]")
_unprintable = re.compile(rf"[{UNSAFE}\ud800-\udfff]")
_unprintable_in_lines = re.compile(rf"(?![\t\n])[{UNSAFE}\ud800-\udfff]")


def is_safe(text: str) -> bool:
    """Return whether a text may be stored, as the value of a label, a title or a comment."""
    return _unsafe.search(text) is None


def as_text(value: object) -> str:
    """Return a value as JSON in which what acts is escaped, so that it means the same."""
    encoded = msgspec.json.encode(value).decode()
    return _unprintable.sub(lambda match: f"\\u{ord(match[0]):04x}", encoded)


def host_of(url: str) -> str:
    """Return an address without its path and query, which may hold a secret."""
    scheme, _, rest = url.partition("://")
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    return f"{scheme}://{host}/…" if len(rest) > len(host) + 1 else url


def clean(text: str) -> str:
    """Return a text of others as one that can be printed in a line: a space for what acts."""
    return _unprintable.sub(" ", text)


def clean_lines(text: str) -> str:
    """Return a text of others as one that can be printed; its line ends and tabs stay."""
    return _unprintable_in_lines.sub(" ", text)
