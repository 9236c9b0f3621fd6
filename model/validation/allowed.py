"""Says what is allowed at the place of an error: kinds, limits, choices and fields."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import UNSET, inspect

from model.validation.spot import Spot

KINDS = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
    "datetime": "a time",
    "date": "a day",
}
LISTED_MAX = 40
SHOWN_CHARS = 60


def kind(name: str) -> str:
    """Return the words for a kind of value that msgspec names."""
    return KINDS.get(name, f"a {name}")


def shown(value: Any) -> str:
    """Return a value for a message: a number or a short text as it is, otherwise its kind."""
    if value is UNSET:
        return ""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        # Python refuses to write very large whole numbers.
        is_large = isinstance(value, int) and value.bit_length() > SHOWN_CHARS
        return "a very large number" if is_large else repr(value)
    if isinstance(value, str):
        return repr(value if len(value) <= SHOWN_CHARS else value[:SHOWN_CHARS] + "…")
    return "an object" if isinstance(value, Mapping) else "a list"


def listed(names: Sequence[str]) -> str:
    """Return names with commas; of very many only the first."""
    rest = len(names) - LISTED_MAX
    more = f" and {rest} more" if rest > 0 else ""
    return ", ".join(names[:LISTED_MAX]) + more


def choices(spot: Spot) -> list[str]:
    """Return the values that are allowed; empty if the type does not list them."""
    found: list[str] = []
    for one in spot.types:
        if isinstance(one, inspect.EnumType):
            found += [str(member.value) for member in one.cls]
        elif isinstance(one, inspect.LiteralType):
            found += [str(value) for value in one.values if value is not None]
        else:
            return []
    return found


def limits(spot: Spot) -> str:
    """Return the limits of a number, such as `from 1 to 3`; empty if there are none."""
    for one in spot.types:
        if isinstance(one, inspect.IntType | inspect.FloatType):
            return _limits(one)
    return ""


def _limits(one: inspect.IntType | inspect.FloatType) -> str:
    if one.ge is not None and one.le is not None:
        return f"from {_number(one.ge)} to {_number(one.le)}"
    bounds = {"at least": one.ge, "more than": one.gt, "at most": one.le, "less than": one.lt}
    return " and ".join(
        f"{word} {_number(limit)}" for word, limit in bounds.items() if limit is not None
    )


def _number(value: float) -> str:
    return str(int(value)) if abs(value) < 1e15 and value == int(value) else f"{value:g}"  # noqa: PLR2004 (whole numbers a double holds exactly)


def fields(spot: Spot) -> list[str]:
    """Return the fields of an object that have a meaning, in their order."""
    return [
        field.encode_name
        for one in spot.types
        if isinstance(one, inspect.StructType) and _fits(one, spot.value)
        for field in one.fields
        if not _is_read_only(field.type)
    ]


def field_choices(spot: Spot, name: str) -> str:
    """Return `; it is one of a, b` for a missing field with few allowed values."""
    for one in spot.types:
        if isinstance(one, inspect.StructType) and _fits(one, spot.value):
            for field in one.fields:
                found = choices(Spot(type=field.type)) if field.encode_name == name else []
                if found:
                    return f"; it is one of {listed(found)}"
    return ""


def wrapped(spot: Spot) -> str:
    """Return what to write where a value was given in place of the object that holds it."""
    for one in spot.types:
        if not isinstance(one, inspect.StructType) or not isinstance(spot.value, Mapping):
            continue
        needed = [field for field in one.fields if field.required]
        if len(needed) == 1 and isinstance(needed[0].type, inspect.AnyType):
            name = needed[0].encode_name
            if name not in spot.value:
                return f'; the value goes into {name!r}: write {{"{name}": …}}'
    return ""


def _is_read_only(field: inspect.Type) -> bool:
    """Return whether a field is accepted and ignored, so that nobody has to know it."""
    schema = field.extra_json_schema if isinstance(field, inspect.Metadata) else None
    return str((schema or {}).get("description", "")).startswith("Read-only")


def _fits(one: inspect.StructType, value: Any) -> bool:
    if one.tag_field is None or not isinstance(value, Mapping):
        return True
    return bool(value.get(one.tag_field, one.tag) == one.tag)
