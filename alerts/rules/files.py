"""Reads and writes files of rules: TOML with one `[[rule]]` table for each rule."""

import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from alerts.rules.model import Rule
from model.errors import InvalidError
from model.text import as_text
from model.validation import explain

BARE = re.compile(r"[A-Za-z0-9_-]+")


def parse(text: str) -> list[Rule]:
    """Return the rules of a file; a file with one rule needs no `[[rule]]`.

    Raises InvalidError, whose message lists what is wrong with each rule.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidError(f"the file is not valid TOML: {error}") from None
    tables = document.pop("rule") if "rule" in document else [document]
    if not isinstance(tables, list) or (document and tables != [document]):
        raise InvalidError("a file of rules may contain only [[rule]] tables")
    rules, faults = _read(tables)
    counts = Counter(rule.name for rule in rules)
    faults += [
        f"{name}: {n} rules have this name; each needs its own"
        for name, n in counts.items()
        if n > 1
    ]
    faults += _circles(rules)
    if faults:
        raise InvalidError("the file has invalid rules:\n" + "\n".join(faults))
    return rules


def dump(rules: Sequence[Rule]) -> str:
    """Return the text of a file with these rules, without fields that have their default."""
    return "\n".join("".join(_lines(rule)) for rule in rules) or "rule = []\n"


def document(rule: Rule) -> dict[str, Any]:
    """Return the fields of a rule that differ from their defaults, by their names in the file."""
    whole = msgspec.to_builtins(rule)
    return {
        field.encode_name: whole[field.encode_name]
        for field in msgspec.structs.fields(Rule)
        if field.required or getattr(rule, field.name) != _default(field)
    }


def _read(tables: Sequence[object]) -> tuple[list[Rule], list[str]]:
    rules, faults = [], []
    for number, table in enumerate(tables, 1):
        try:
            rules.append(msgspec.convert(table, Rule))
        except msgspec.ValidationError as error:
            name = table.get("name") if isinstance(table, dict) else None
            faults.append(f"{name or f'rule {number}'}: {explain(error)}")
    return rules, faults


def _circles(rules: Sequence[Rule]) -> Iterator[str]:
    """Yield a message for each composite that references a composite."""
    composites = {rule.name: rule for rule in rules if rule.kind == "composite"}
    for rule in composites.values():
        members = [*rule.all_of, *rule.any_of, *rule.none_of]
        for name in filter(composites.__contains__, members):
            yield f"{rule.name}: it references {name}, but a composite may not contain a composite"


def _default(field: msgspec.structs.FieldInfo) -> object:
    has_factory = field.default_factory is not msgspec.NODEFAULT
    return field.default_factory() if has_factory else field.default


def _lines(rule: Rule) -> Iterator[str]:
    yield "[[rule]]\n"
    for name, value in document(rule).items():
        yield f"{name} = {_toml(value)}\n"


def _toml(value: Any) -> str:
    """Return a value as TOML, which equals JSON except for tables and texts of several lines."""
    if isinstance(value, dict):
        pairs = (f"{_key(key)} = {_toml(item)}" for key, item in value.items())
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str) and "\n" in value:
        lines = (_toml(line)[1:-1] for line in value.split("\n"))
        return '"""\n' + "\n".join(lines) + '"""'
    return as_text(value)


def _key(name: str) -> str:
    return name if BARE.fullmatch(name) else _toml(name)
