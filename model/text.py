"""The characters that a text may contain: none that controls a terminal, a page or a log."""

import re
from collections.abc import Callable
from typing import Annotated

import msgspec
from msgspec import Meta

from model.limits import (
    LABEL_NAME_BYTES_MAX,
    LABELS_MAX,
    LINES_CHARS_MAX,
    NAME_CHARS_MAX,
    TEXT_CHARS_MAX,
)

UNSAFE = r"\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
"""Control characters, line separators, and marks that change the direction of text.

They are written as the inside of a regular expression's character class.
"""

TEXT = rf"^[^{UNSAFE}]*(?!\n)$"
"""One line without unsafe characters. It may be empty."""
LINES = rf"^(?:[^{UNSAFE}]|[\t\r\n])*$"
"""Several lines without unsafe characters other than tabs: a comment, or SQL."""
NAME_CHARACTERS = "a-zA-Z0-9_.:-"
METRIC_NAME = re.compile(rf"[a-zA-Z_][{NAME_CHARACTERS}]{{0,{NAME_CHARS_MAX - 1}}}")
"""A component that a client sends is named with the same characters."""
TARGET_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
"""The name of a component that Vigia itself reads: a target, a scrape, a folder of SQL files."""
_NO_HOST = r" !\"#$&'()*+,/;<=>?\\^`{|}"
ADDRESS = rf"^https?://[^{_NO_HOST}{UNSAFE}]+(?:[/?#][^ {UNSAFE}]*)?(?!\n)$"
"""An HTTP address. The part after the host begins with `/`, `?` or `#`: there `host_of` cuts it
off. Without that rule, `host_of` could show every reader a secret of the path."""

UNSAFE_WORDS = "control characters or marks of text direction"
"""The name of the unsafe characters in messages."""

_unsafe = re.compile(f"[{UNSAFE}]")
_unprintable = re.compile(rf"[{UNSAFE}\ud800-\udfff]")
_unprintable_in_lines = re.compile(rf"(?![\t\n])[{UNSAFE}\ud800-\udfff]")


def is_safe(text: str) -> bool:
    """Return whether a text contains no unsafe character."""
    return _unsafe.search(text) is None


def as_text(value: object) -> str:
    """Return a value as JSON with every unsafe character escaped. Its meaning is the same."""
    encoded = msgspec.json.encode(value).decode()
    return _unprintable.sub(lambda match: f"\\u{ord(match[0]):04x}", encoded)


def host_of(url: str) -> str:
    """Return an address without its path and query, which may contain a secret."""
    scheme, _, rest = url.partition("://")
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    return f"{scheme}://{host}/…" if len(rest) > len(host) + 1 else url


def clean(text: str) -> str:
    """Return untrusted text as one safe line: each unsafe character becomes a space."""
    return _unprintable.sub(" ", text)


def clean_lines(text: str) -> str:
    """Return untrusted text as `clean` does, but keep its line ends and tabs."""
    return _unprintable_in_lines.sub(" ", text)


_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}(?!\n)$"
_METRIC = rf"^{METRIC_NAME.pattern}(?!\n)$"
_TARGET = rf"^{TARGET_NAME.pattern}(?!\n)$"
_LABEL = rf"^[a-zA-Z_][a-zA-Z0-9_]{{0,{LABEL_NAME_BYTES_MAX - 1}}}(?!\n)$"
WHOLE_DURATION = r"^[0-9]{1,9}[smhd]?(?!\n)$"
TIME_OF_DAY = r"^([01]\d|2[0-3]):[0-5]\d(?!\n)$"
END_OF_DAY = r"^(([01]\d|2[0-3]):[0-5]\d|24:00)(?!\n)$"
CODE = r"^[0-9]{6}(?!\n)$"
FILE_NAME = r"^(?:[A-Za-z0-9_-][A-Za-z0-9._-]{0,99})?(?!\n)$"
DIGEST = "^[0-9a-f]{64}$"
ANY_NAME = r"^[A-Za-z0-9_.-]{1,100}(?!\n)$"
ASCII = r"^[ -~]*(?!\n)$"

PATTERN_WORDS = {
    repr(TEXT): f"must be one line without {UNSAFE_WORDS}",
    repr(LINES): f"must not contain {UNSAFE_WORDS}, except tabs and line ends",
    repr(_NAME): "must have 1 to 100 letters, digits, '_', '.' or '-', and start with a letter or "
    "digit",
    repr(_METRIC): f"must have 1 to {NAME_CHARS_MAX} letters, digits, '_', '.', ':' or '-', and "
    "start with a letter or '_'",
    repr(_TARGET): "must have 1 to 63 lower-case letters, digits, '_' or '-', and start with a "
    "letter",
    repr(ADDRESS): "must be an address such as https://example.com/path, without a user name",
    repr(_LABEL): f"must have 1 to {LABEL_NAME_BYTES_MAX} letters, digits or '_', and start with "
    "a letter or '_'",
    repr(WHOLE_DURATION): "must be a duration in whole seconds, such as 15s, 5m, 1h or 7d",
    repr(TIME_OF_DAY): "must be a time of day from 00:00 to 23:59",
    repr(END_OF_DAY): "must be a time of day from 00:00 to 24:00",
    repr(CODE): "must be the six digits of the message",
    repr(FILE_NAME): "must be the name of a file: 1 to 100 letters, digits, '_', '.' or '-', not "
    "starting with '.'",
    repr(ANY_NAME): "must have 1 to 100 letters, digits, '_', '.' or '-'",
    repr(DIGEST): "must be 64 digits of SHA-256 in lower-case hex",
    repr(ASCII): "must consist of the printable characters of ASCII",
}
"""What a text must be, by its pattern as msgspec prints it."""


def _fixed(characters: str, start: str, filler: str) -> Callable[[str], str]:
    """Return a function that makes a name of a text by replacing what is not allowed."""

    def fix(text: str) -> str:
        name = re.sub(f"[^{characters}]+", filler, text.strip()).strip("-_.")
        return name[:63] if re.match(start, name) else ""

    return fix


PATTERN_FIXES = {
    repr(_NAME): _fixed("A-Za-z0-9_.-", "[A-Za-z0-9]", "-"),
    repr(ANY_NAME): _fixed("A-Za-z0-9_.-", "[A-Za-z0-9]", "-"),
    repr(_METRIC): _fixed(NAME_CHARACTERS, "[a-zA-Z_]", "_"),
    repr(_TARGET): lambda text: _fixed("a-z0-9_-", "[a-z]", "-")(text.lower()),
    repr(_LABEL): _fixed("a-zA-Z0-9_", "[a-zA-Z_]", "_"),
}
"""Returns the name that was probably meant, or an empty text, by the pattern of names."""

Text = Annotated[str, Meta(pattern=TEXT, max_length=TEXT_CHARS_MAX)]
NonEmptyText = Annotated[Text, Meta(min_length=1)]
Lines = Annotated[str, Meta(pattern=LINES, max_length=LINES_CHARS_MAX)]
"""Text of several lines that a person writes."""
Name = Annotated[str, Meta(pattern=_NAME)]
"""The name of an object that people create: a rule, a maintenance window."""
MetricName = Annotated[str, Meta(pattern=_METRIC)]
TargetName = Annotated[str, Meta(pattern=_TARGET)]
Address = Annotated[str, Meta(pattern=ADDRESS, max_length=2048)]
LabelName = Annotated[str, Meta(pattern=_LABEL)]
NamedLabels = Annotated[dict[LabelName, Text], Meta(max_length=LABELS_MAX)]
"""Labels that are added to series."""
TextLabels = Annotated[dict[Text, Text], Meta(max_length=LABELS_MAX)]
"""Labels that select series or alerts."""
