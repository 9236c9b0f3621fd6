"""Things as people keep them in a TOML file: without what has its default."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from model.text import as_text

BARE = re.compile(r"[A-Za-z0-9_-]+")


def document(thing: Struct) -> dict[str, Any]:
    """Return the fields of a thing that do not have their defaults, by the names people write."""
    return {
        field.encode_name: plain(getattr(thing, field.name))
        for field in msgspec.structs.fields(thing)
        if field.required or plain(getattr(thing, field.name)) != plain(_default(field))
    }


def table(kind: str, thing: Struct) -> str:
    """Return a thing as a table of an array, `[[kind]]`; its name comes first."""
    fields = sorted(document(thing).items(), key=lambda field: field[0] != "name")
    lines = (f"{name} = {_toml(value)}\n" for name, value in fields)
    return f"[[{kind}]]\n{''.join(lines)}"


def plain(value: Any) -> Any:
    """Return a value of plain types; things within it are without their defaults too."""
    if isinstance(value, Struct):
        return document(value)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value if value is msgspec.UNSET else msgspec.to_builtins(value)


def _default(field: msgspec.structs.FieldInfo) -> object:
    has_factory = field.default_factory is not msgspec.NODEFAULT
    return field.default_factory() if has_factory else field.default


def _toml(value: Any) -> str:
    """Return a value as TOML; but for long texts and tables it is written as in JSON."""
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
