"""Turns errors of msgspec, which name types and show regular expressions, into plain English.

Every error of a request, a file or a command passes through `explain`: it says which field is
wrong, what is wrong with its value, what is allowed, and what was probably meant.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from model.text import PATTERN_FIXES, PATTERN_WORDS
from model.validation import allowed
from model.validation.nearest import did_you_mean
from model.validation.spot import Source, Spot, find, split

ITEMS = {"str": "character", "array": "item", "object": "field"}
BOUNDS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
TIME = "2026-01-31T12:00:00"
OUT_OF_RANGE = "is a number that is too large"
FIXED = {
    "Input data was truncated": "the JSON is incomplete",
    "Number out of range": OUT_OF_RANGE,
    "Integer value out of range": OUT_OF_RANGE,
    "Invalid RFC3339 encoded datetime": f"must be a time such as {TIME}Z",
    "Invalid RFC3339 encoded date": f"must be a day such as {TIME[:10]}",
    "Invalid RFC3339 encoded time": f"must be a time of day such as {TIME[11:]}",
    "Invalid epoch timestamp": f"must be a time such as {TIME}Z, or epoch seconds",
    "Timestamp is out of range": f"must be a time such as {TIME}Z, or epoch seconds",
    "Invalid ISO8601 duration": "must be a duration such as PT5M",
    "Invalid base64 encoded string": "must be base64",
    "Invalid UUID": "must be a UUID",
    "Invalid decimal string": "must be a number",
    "Expected `datetime` with a timezone component": f"must be a time with a zone, such as {TIME}Z",
    "Expected `datetime` with no timezone component": f"must be a time without a zone: {TIME}",
}
MALFORMED_REASONS = {
    "trailing characters": "there is more text after its end",
    "trailing comma in object": "remove the comma after the last field",
    "trailing comma in array": "remove the comma after the last item",
    "object keys must be strings": "the name of a field needs double quotes",
    "expected ',' or ']'": "a comma or ] is missing",
    "expected ',' or '}'": "a comma or } is missing",
    "expected ':'": "a colon is missing",
}

KIND = re.compile(r"Expected `(?P<kinds>[^`]+)`(?:, got `(?P<given>[^`]+)`)?")
BOUND = re.compile(r"Expected `(?:int|float)` (?P<bound>[<>]=?) (?P<limit>\S+)")
MULTIPLE = re.compile(r"Expected `(?:int|float)` that's a multiple of (?P<step>\S+)")
LENGTH = re.compile(
    r"Expected `(?P<kind>\w+)` of (?:length (?:(?P<bound>[<>]=) )?|(?P<least>at least) length )"
    r"(?P<limit>\d+)(?: to (?P<most>\d+))?(?:, got (?P<given>\d+))?"
)
PATTERN = re.compile(r"Expected `str` matching regex (?P<pattern>.+)", re.DOTALL)
FIELD = re.compile(
    r"Object (?P<what>missing required|contains unknown) field `(?P<name>.*)`", re.DOTALL
)
CHOICE = re.compile(r"Invalid (?:enum )?value (?P<value>.+)", re.DOTALL)
MALFORMED = re.compile(r"JSON is malformed: (?P<reason>.*) \(byte (?P<byte>\d+)\)")

Match = re.Match[str]


def explain(
    error: Exception, kind: Any = None, value: Any = UNSET, *, root: str = "", strict: bool = True
) -> str:
    """Return an error of msgspec in plain English, after the name of the field.

    `kind` is the type to which `value` was converted: with it, the words say what is allowed and
    what was probably meant. `root` names the whole value. Other texts, such as those of our own
    checks, stay as they are.
    """
    if isinstance(error, UnicodeDecodeError):
        return "the text is not UTF-8"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    source = None if kind is None else Source(kind, value, strict)
    return explain_text(str(error), source, root)


def explain_text(text: str, source: Source | None = None, root: str = "") -> str:
    """Return the text of an error of msgspec in plain English; see `explain`."""
    said, path, is_key = split(text)
    spot = find(text, path, is_key=is_key, root=root, source=source)
    words = _words(said, spot)
    return f"{spot.name}: {words}" if spot.name else words


def fault(value: Any, kind: Any, *, root: str = "", strict: bool = True) -> str:
    """Return what is wrong with a value in plain English; empty if it has the type."""
    try:
        msgspec.convert(value, kind, strict=strict, str_keys=not strict)
    except (msgspec.ValidationError, RecursionError) as error:
        return explain(error, kind, value, root=root, strict=strict)
    return ""


def not_one_of(value: str, choices: Sequence[str]) -> str:
    """Return that a value is not one of the allowed ones, which are listed."""
    meant = did_you_mean(value, choices)
    return f"{allowed.shown(value)} is not one of {allowed.listed(choices)}{meant}"


def _words(text: str, spot: Spot) -> str:
    if text.strip() in FIXED:
        return FIXED[text.strip()]
    for form, words in FORMS:
        if found := form.fullmatch(text):
            return words(found, spot)
    return text


def _pattern(found: Match, spot: Spot) -> str:
    words = PATTERN_WORDS.get(found["pattern"], "has a form that is not allowed")
    fix = PATTERN_FIXES.get(found["pattern"])
    meant = fix(spot.value) if fix and isinstance(spot.value, str) else ""
    return f"{words}; did you mean {meant!r}?" if meant else words


def _length(found: Match, _: Spot) -> str:
    items = f"{ITEMS.get(found['kind'], 'item')}{'' if found['limit'] == '1' else 's'}"
    bound = BOUNDS[found["bound"]] if found["bound"] else found["least"] or "exactly"
    limit = f"{found['limit']} to {found['most']}" if found["most"] else f"{bound} {found['limit']}"
    given = f", not {found['given']}" if found["given"] else ""
    return f"must have {limit} {items}{given}"


def _bound(found: Match, spot: Spot) -> str:
    limits = allowed.limits(spot) or f"{BOUNDS[found['bound']]} {found['limit'].removesuffix('.0')}"
    given = spot.value.strip() if isinstance(spot.value, str) else ""
    return f"must be {limits}{f', not {given[: allowed.SHOWN_CHARS]}' if given else _not(spot)}"


def _multiple(found: Match, spot: Spot) -> str:
    step = found["step"].removesuffix(".0")
    wanted = "a whole number" if step == "1" else f"a multiple of {step}"
    return f"must be {wanted}{_not(spot)}"


def _field(found: Match, spot: Spot) -> str:
    name = found["name"]
    if found["what"] == "missing required":
        return f"{name!r} is missing{allowed.field_choices(spot, name)}"
    known = allowed.fields(spot)
    return (
        f"{allowed.shown(name)} is not a known field{allowed.wrapped(spot) or _among(name, known)}"
    )


def _among(name: str, known: Sequence[str]) -> str:
    meant = did_you_mean(name, known)
    if not known:
        return ""
    return f"{meant or ';'} {'The' if meant else 'the'} fields are {allowed.listed(known)}"


def _choice(found: Match, spot: Spot) -> str:
    choices = allowed.choices(spot)
    given = spot.value if isinstance(spot.value, str) else found["value"].strip("'")
    if not choices:
        return f"{allowed.shown(given)} is not one of the allowed values"
    return not_one_of(given, choices)


def _malformed(found: Match, _: Spot) -> str:
    reason = MALFORMED_REASONS.get(found["reason"], "")
    return f"the JSON is not valid near byte {found['byte']}{reason and f': {reason}'}"


def _kinds(found: Match, spot: Spot) -> str:
    if choices := allowed.choices(spot):
        return f"must be one of {allowed.listed(choices)}{_not(spot)}"
    wanted = " or ".join(map(allowed.kind, found["kinds"].split(" | ")))
    if limits := allowed.limits(spot):
        return f"must be {wanted} {limits}{_not(spot)}"
    given = f", not {allowed.kind(found['given'])}" if found["given"] else ""
    return f"must be {wanted}{given}"


def _not(spot: Spot) -> str:
    """Return `, not 5`: the value, where a number or a choice is wanted; else its kind."""
    shown = allowed.shown(spot.value)
    return f", not {shown}" if shown else ""


FORMS: Sequence[tuple[re.Pattern[str], Callable[[Match, Spot], str]]] = (
    (PATTERN, _pattern),
    (LENGTH, _length),
    (BOUND, _bound),
    (MULTIPLE, _multiple),
    (FIELD, _field),
    (CHOICE, _choice),
    (MALFORMED, _malformed),
    # The most general form comes last.
    (KIND, _kinds),
)
