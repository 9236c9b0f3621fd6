"""Templates: texts in which `{name}` stands for a value. There is no other syntax and no engine.

A template is filled in one pass, and inserted values are not interpreted. So a title such as
`{title}`, `{{7*7}}`, `${HOME}` or `%s` appears unchanged.
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
    "aggregate": "how the value was aggregated, such as `average of 1 min`",
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
    "window": "the period over which the value was aggregated",
}
"""All names that a template may use, with their meanings."""


class Template(Struct, frozen=True):
    """A text in which all names are valid."""

    text: str
    names: frozenset[str]


def parse(text: str) -> Template:
    """Parse a template. Raises InvalidError if it uses an unknown name."""
    names = frozenset(PLACEHOLDER.findall(text))
    for name in sorted(names - NAMES.keys()):
        raise InvalidError(
            f"{{{name[:SHOWN_CHARS_MAX]}}} is not a name; the names are {', '.join(sorted(NAMES))}"
        )
    return Template(text, names)


def fill(template: Template, values: Mapping[str, str]) -> str:
    """Return the text with all values inserted. Raises KeyError if a value is missing."""
    return PLACEHOLDER.sub(lambda match: values[match[1]], template.text)


class Words:
    """The templates of one language.

    A call with a template's name and values fills the template.
    """

    def __init__(self, language: Language, templates: Mapping[str, Template]) -> None:
        self.language = language
        self.templates = templates

    def __call__(self, name: str, **values: str) -> str:
        """Return a filled template. Raises KeyError if the template or a value does not exist."""
        return fill(self.templates[name], values)

    def get(self, name: str, default: str) -> str:
        """Return a template without values, or `default` if it does not exist."""
        return self.templates[name].text if name in self.templates else default


@cache
def words(language: Language) -> Words:
    """Return the templates of a language. The file is read once."""
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
