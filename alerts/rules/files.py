"""Reads and writes files of rules: TOML with one `[[rule]]` table for each rule."""

import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from alerts.rules.model import Rule
from model.errors import InvalidError
from model.toml import table
from model.validation.words import explain


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
    return "\n".join(table("rule", rule) for rule in rules) or "rule = []\n"


def _read(tables: Sequence[object]) -> tuple[list[Rule], list[str]]:
    rules, faults = [], []
    for number, one in enumerate(tables, 1):
        try:
            rules.append(msgspec.convert(one, Rule))
        except msgspec.ValidationError as error:
            name = one.get("name") if isinstance(one, dict) else None
            faults.append(f"{name or f'rule {number}'}: {explain(error, Rule, one)}")
    return rules, faults


def _circles(rules: Sequence[Rule]) -> Iterator[str]:
    """Yield a message for each composite that references a composite."""
    composites = {rule.name: rule for rule in rules if rule.kind == "composite"}
    for rule in composites.values():
        members = [*rule.all_of, *rule.any_of, *rule.none_of]
        for name in filter(composites.__contains__, members):
            yield f"{rule.name}: it references {name}, but a composite may not contain a composite"
