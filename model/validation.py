"""Turns errors of msgspec, which name types and show regular expressions, into plain English."""

import re
from collections.abc import Callable, Sequence

from model.text import PATTERN_WORDS

KINDS = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
ITEMS = {"str": "character", "array": "item", "object": "field"}
BOUNDS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
TIME = "2026-01-31T12:00:00"
FIXED = {
    "Input data was truncated": "the JSON is incomplete",
    "Invalid RFC3339 encoded datetime": f"must be a time such as {TIME}Z",
    "Expected `datetime` with a timezone component": f"must be a time with a zone, such as {TIME}Z",
    "Expected `datetime` with no timezone component": f"must be a time without a zone: {TIME}",
}

PLACE = re.compile(r" - at `(?P<path>[^`]*)`(?: in `(?P<owner>[^`]*)`)?$")
KIND = re.compile(r"Expected `(?P<kinds>[^`]+)`(?:, got `(?P<given>[^`]+)`)?")
BOUND = re.compile(r"Expected `(?:int|float)` (?P<bound>[<>]=?) (?P<limit>\S+)")
LENGTH = re.compile(r"Expected `(?P<kind>\w+)` of length (?:(?P<bound>[<>]=) )?(?P<limit>\d+)")
PATTERN = re.compile(r"Expected `str` matching regex (?P<pattern>.+)", re.DOTALL)
FIELD = re.compile(r"Object (?P<what>missing required|contains unknown) field `(?P<name>.*)`")
CHOICE = re.compile(r"Invalid (?:enum )?value (?P<value>.+)", re.DOTALL)
MALFORMED = re.compile(r"JSON is malformed: .* \(byte (?P<byte>\d+)\)")


Match = re.Match[str]


def explain(error: Exception) -> str:
    """Return an error of msgspec in plain English, after the place in the document if it has one.

    Other texts, such as those of our own checks, stay as they are.
    """
    return explain_text(str(error))


def explain_text(text: str) -> str:
    """Return the text of an error of msgspec in plain English; see `explain`."""
    place = PLACE.search(text)
    if place is None:
        return _words(text)
    name = place["path"].removeprefix("$").removeprefix(".").replace("[...]", "")
    if place["owner"]:
        owner = place["owner"].removeprefix("$").removeprefix(".")
        name = f"a name in {owner}" if owner else "a name"
    words = _words(text[: place.start()])
    return f"{name}: {words}" if name else words


def _words(text: str) -> str:
    if text in FIXED:
        return FIXED[text]
    for form, words in FORMS:
        if found := form.fullmatch(text):
            return words(found)
    return text


def _pattern(found: Match) -> str:
    return PATTERN_WORDS.get(found["pattern"], "has a form that is not allowed")


def _length(found: Match) -> str:
    items = f"{ITEMS.get(found['kind'], 'item')}{'' if found['limit'] == '1' else 's'}"
    bound = BOUNDS[found["bound"]] if found["bound"] else "exactly"
    return f"must have {bound} {found['limit']} {items}"


def _bound(found: Match) -> str:
    return f"must be {BOUNDS[found['bound']]} {found['limit'].removesuffix('.0')}"


def _field(found: Match) -> str:
    is_missing = found["what"] == "missing required"
    return f"{found['name']!r} is {'missing' if is_missing else 'not a known field'}"


def _choice(found: Match) -> str:
    return f"{found['value']} is not one of the allowed values"


def _malformed(found: Match) -> str:
    return f"the JSON is not valid near byte {found['byte']}"


def _kinds(found: Match) -> str:
    given = f", not {_kind(found['given'])}" if found["given"] else ""
    return f"must be {' or '.join(map(_kind, found['kinds'].split(' | ')))}{given}"


def _kind(name: str) -> str:
    return KINDS.get(name, f"a {name}")


FORMS: Sequence[tuple[re.Pattern[str], Callable[[Match], str]]] = (
    (PATTERN, _pattern),
    (LENGTH, _length),
    (BOUND, _bound),
    (FIELD, _field),
    (CHOICE, _choice),
    (MALFORMED, _malformed),
    # The most general form comes last.
    (KIND, _kinds),
)
