"""Finds the place of a validation error: its name, the type that is wanted, and the given value."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import UNSET, Struct, inspect

PLACE = re.compile(r" - at `(?P<path>[^`]*)`(?: in `(?P<owner>[^`]*)`)?$")
STEP = re.compile(r"\.(?P<field>[^.\[\]]+)|\[(?P<index>\d+)\]|(?P<some>\[\.\.\.\])")
Step = str | int


class Spot(Struct, frozen=True):
    """The place of an error. `type` is None and `value` is UNSET where they are not known."""

    name: str = ""
    type: inspect.Type | None = None
    value: Any = UNSET

    @property
    def types(self) -> Sequence[inspect.Type]:
        """The types that are allowed here, without null."""
        kind = self.type
        kinds = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
        plain = [_plain(one) for one in kinds if one is not None]
        return [one for one in plain if not isinstance(one, inspect.NoneType)]


class Source(Struct, frozen=True):
    """The value that was converted, and to which type."""

    kind: Any
    value: Any
    strict: bool

    def error_of(self, value: Any) -> str:
        """Return the text of the error for another value; empty if it is valid."""
        try:
            msgspec.convert(value, self.kind, strict=self.strict, str_keys=not self.strict)
        except ValueError as error:
            return str(error)
        return ""


def split(text: str) -> tuple[str, str, bool]:
    """Return an error's text, its path, and whether it is about a name of the object there."""
    place = PLACE.search(text)
    if place is None:
        return text, "", False
    is_key = place["owner"] is not None
    path = place["owner"] if is_key else place["path"]
    return text[: place.start()], path.removeprefix("$"), is_key


def find(text: str, path: str, *, is_key: bool, root: str, source: Source | None) -> Spot:
    """Return the place of an error whose whole text is `text`. `root` names the whole value."""
    kind = None if source is None else type_info(source.kind)
    spot = Spot(root, kind, UNSET if source is None else source.value)
    taken: list[Step] = []
    for step in STEP.finditer(path):
        key = _key(step, spot, taken, text, source)
        spot = _into(spot, key)
        if key is not None:
            taken.append(key)
    return _name_in(spot, taken, text, source) if is_key else spot


@lru_cache(256)
def _type_info(kind: Any) -> inspect.Type:
    return inspect.type_info(kind)


def type_info(kind: Any) -> inspect.Type | None:
    """Return what msgspec knows of a type, or None for a type that it does not support."""
    try:
        return _type_info(kind)
    except TypeError:
        return None


def _key(
    step: re.Match[str], spot: Spot, taken: Sequence[Step], text: str, source: Source | None
) -> Step | None:
    """Return the field, index or name of a step; None for a name that cannot be found."""
    if step["field"] is not None:
        return step["field"]
    if step["index"] is not None:
        return int(step["index"])
    return _name_at_fault(spot, taken, text, source)


def _name_in(spot: Spot, taken: Sequence[Step], text: str, source: Source | None) -> Spot:
    """Return the place of an error about a name of the object at `spot`."""
    kinds = [one.key_type for one in spot.types if isinstance(one, inspect.DictType)]
    name = _name_at_fault(spot, taken, text, source)
    where = f"a name in {spot.name}" if spot.name else "a name"
    return Spot(where, kinds[0] if kinds else None, UNSET if name is None else name)


def _name_at_fault(
    spot: Spot, taken: Sequence[Step], text: str, source: Source | None
) -> str | None:
    """Return the first name of the object whose value causes the error, or None.

    The error itself does not tell it: parts of the object are converted again, each half as long
    as the one before, so that a large object costs only a few conversions.
    """
    if source is None or not isinstance(spot.value, Mapping):
        return None
    names = list(spot.value)

    def is_among(some: Sequence[Any]) -> bool:
        part = {name: spot.value[name] for name in some}
        return source.error_of(_replaced(source.value, taken, part)) == text

    while len(names) > 1:
        half = names[: len(names) // 2]
        names = half if is_among(half) else names[len(half) :]
    return str(names[0]) if names and is_among(names) else None


def _replaced(root: Any, path: Sequence[Any], value: Any) -> Any:
    """Return a copy of a document with another value at a path."""
    if not path:
        return value
    inner = _replaced(root[path[0]], path[1:], value)
    if isinstance(root, Mapping):
        return {**root, path[0]: inner}
    return [*root[: path[0]], inner, *root[path[0] + 1 :]]


def _into(spot: Spot, key: Step | None) -> Spot:
    """Return the place one step below."""
    kinds = [found for one in spot.types if (found := _below(one, key, spot.value)) is not None]
    tags = [
        one.tag
        for one in spot.types
        if isinstance(one, inspect.StructType) and key is not None and one.tag_field == key
    ]
    kind = inspect.LiteralType(tuple(tags)) if tags else next(iter(kinds), None)
    return Spot(_joined(spot.name, key), kind, _value_below(spot.value, key))


def _joined(name: str, key: Step | None) -> str:
    if key is None:
        return name
    if isinstance(key, int):
        return f"{name}[{key}]"
    return f"{name}.{key}" if name else str(key)


def _value_below(value: Any, key: Step | None) -> Any:
    if isinstance(value, Mapping):
        return value.get(key, UNSET)
    if isinstance(value, Sequence) and isinstance(key, int) and key < len(value):
        return value[key]
    return UNSET


def _below(kind: inspect.Type, key: Step | None, value: Any) -> inspect.Type | None:
    """Return the type of a field, an item or a named value."""
    if isinstance(kind, inspect.StructType):
        if not _is_tagged(kind, value, key):
            return None
        fields = (one.type for one in kind.fields if one.encode_name == key)
        return next(fields, None)
    if isinstance(kind, inspect.DictType):
        return kind.value_type
    if isinstance(kind, inspect.TupleType):
        return kind.item_types[key] if isinstance(key, int) else None
    return getattr(kind, "item_type", None)


def _is_tagged(kind: inspect.StructType, value: Any, key: Step | None) -> bool:
    """Return whether a value selects this type of a union, in which each type has a tag."""
    if kind.tag_field is None or not isinstance(value, Mapping) or key == kind.tag_field:
        return True
    return bool(value.get(kind.tag_field) == kind.tag)


def _plain(kind: inspect.Type) -> inspect.Type:
    return kind.type if isinstance(kind, inspect.Metadata) else kind
