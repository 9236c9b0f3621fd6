"""Which characters a text may hold: none that acts on a terminal, a page or a log by itself."""

import re
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
"""Control characters, line separators, and what changes the direction of the text around it.

It is written as the inside of a regular expression's character class.
"""

TEXT = rf"^[^{UNSAFE}]*(?!\n)$"
"""What is stored may be empty, but holds no unsafe character."""
LINES = rf"^(?:[^{UNSAFE}]|[\t\r\n])*$"
"""Of several lines, with tabs: a comment, or SQL."""
NAME_CHARACTERS = "a-zA-Z0-9_.:-"
METRIC_NAME = re.compile(rf"[a-zA-Z_][{NAME_CHARACTERS}]{{0,{NAME_CHARS_MAX - 1}}}")
"""A component that others send is named by the same characters."""
TARGET_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
"""Of a component that Vigia itself asks: a target, a scrape, a folder of SQL files."""
_NO_HOST = r" !\"#$&'()*+,/;<=>?\\^`{|}"
ADDRESS = rf"^https?://[^{_NO_HOST}{UNSAFE}]+(?:[/?#][^ {UNSAFE}]*)?(?!\n)$"
"""What follows the host begins as `host_of` knows it: all else would be shown to everybody."""

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


Text = Annotated[str, Meta(pattern=TEXT, max_length=TEXT_CHARS_MAX)]
NonEmptyText = Annotated[Text, Meta(min_length=1)]
Lines = Annotated[str, Meta(pattern=LINES, max_length=LINES_CHARS_MAX)]
"""What a person writes: several lines, with tabs."""
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}(?!\n)$")]
"""Of what people make: rules, maintenance windows and the like."""
MetricName = Annotated[str, Meta(pattern=rf"^{METRIC_NAME.pattern}(?!\n)$")]
TargetName = Annotated[str, Meta(pattern=rf"^{TARGET_NAME.pattern}(?!\n)$")]
Address = Annotated[str, Meta(pattern=ADDRESS, max_length=2048)]
LabelName = Annotated[
    str, Meta(pattern=rf"^[a-zA-Z_][a-zA-Z0-9_]{{0,{LABEL_NAME_BYTES_MAX - 1}}}(?!\n)$")
]
NamedLabels = Annotated[dict[LabelName, Text], Meta(max_length=LABELS_MAX)]
"""Labels as a person writes them to add to series."""
TextLabels = Annotated[dict[Text, Text], Meta(max_length=LABELS_MAX)]
"""Labels as a person writes them to choose series or alerts."""
