"""Templates: text in which `{name}` stands for a value. There is no other syntax, and no engine.

A template is filled in one pass, and what was put in is never looked at again: whatever an alert's
title holds, such as `{title}`, `{{7*7}}`, `${HOME}` or `%s`, is shown as it is.
"""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from msgspec import Struct

from model.errors import InvalidError
from notifications.message import Language

PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
SHOWN_CHARS_MAX = 40
NAMES: Mapping[str, str] = {
    "aggregate": "how the value was put together, such as `average of 1 min`",
    "chart": "the last hour as a row of blocks",
    "code": "the code that proves that a person reads an address",
    "comment": "what a person wrote",
    "count": "how many alerts there are",
    "counts": "how many alerts there are of each level",
    "duration": "how long it is or lasted",
    "end": "when it was resolved",
    "highest": "the largest value of the last hour",
    "level": "the level of the alert",
    "limit": "the limit that was crossed",
    "line": "a line that someone else wrote",
    "lowest": "the smallest value of the last hour",
    "metric": "what is measured, in words",
    "other": "the other metric of a ratio",
    "people": "who is on call",
    "person": "who acted",
    "previous": "the level before",
    "reason": "why the level changed",
    "runbook": "where the procedure is written down",
    "schedule": "the title of a schedule, or its name",
    "start": "when it opened",
    "step": "the number of the escalation's step",
    "steps": "how many steps the escalation has",
    "time": "when it began",
    "title": "the title of the alert",
    "until": "when it ends",
    "value": "the value that was measured",
    "where": "the component and its labels",
    "window": "over how long the value was put together",
}
"""Every name that a template may hold, and what it stands for."""


class Template(Struct, frozen=True):
    """A text whose names are all known."""

    text: str
    names: frozenset[str]


def parse(text: str) -> Template:
    """Return a text as a template. Raises InvalidError for a name that there is not."""
    names = frozenset(PLACEHOLDER.findall(text))
    for name in sorted(names - NAMES.keys()):
        raise InvalidError(
            f"{{{name[:SHOWN_CHARS_MAX]}}} is not a name; the names are {', '.join(sorted(NAMES))}"
        )
    return Template(text, names)


def fill(template: Template, values: Mapping[str, str]) -> str:
    """Return the text with the value of each name. Raises KeyError where one has none."""
    return PLACEHOLDER.sub(lambda match: values[match[1]], template.text)


class Words:
    """The templates of one language; called with a template's name and values, it fills it."""

    def __init__(self, language: Language, templates: Mapping[str, Template]) -> None:
        self.language = language
        self.templates = templates

    def __call__(self, name: str, **values: str) -> str:
        """Return a filled template. Raises KeyError for a name or value that there is not."""
        return fill(self.templates[name], values)

    def get(self, name: str, default: str) -> str:
        """Return a template that needs no value, or another text where there is none."""
        return self.templates[name].text if name in self.templates else default


@cache
def words(language: Language) -> Words:
    """Return the templates of a language, read once from its file."""
    file = Path(__file__).with_name(f"{language}.toml")
    tables = tomllib.loads(file.read_text(encoding="utf-8"))
    return Words(
        language,
        {
            f"{table}.{name}": parse(text)
            for table, texts in tables.items()
            for name, text in texts.items()
        },
    )
