"""The fields of each type of channel: names, labels and hints, read from the type itself.

A type's own settings say theirs by `Meta(title=…, description=…)`, so that each stands once.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any

from msgspec import Struct, inspect, structs

from notifications.delivery import ChannelType
from notifications.registry import TYPES


class FieldKind(StrEnum):
    """How a field is entered."""

    TEXT = "text"
    WRITE_ONLY = "write_only"
    """It is never given back."""
    NUMBER = "number"
    SWITCH = "switch"
    LIST = "list"
    """One a line."""


class FormField(Struct, frozen=True, kw_only=True):
    """One field: `url`, `secret`, or one of the settings."""

    name: str
    is_setting: bool
    label: str
    hint: str
    example: str
    kind: FieldKind
    is_required: bool


class TypeForm(Struct, frozen=True, kw_only=True):
    """A type of channel, and what is to be entered for it."""

    type: str
    title: str
    about: str
    fields: Sequence[FormField]


def forms() -> list[TypeForm]:
    """Return the form of each type, by title."""
    return sorted(map(form_of, TYPES.values()), key=lambda form: form.title.lower())


def form_of(kind: ChannelType) -> TypeForm:
    """Return what is to be entered for a type."""
    fields = [*_address(kind), *_settings(kind), *_credential(kind)]
    return TypeForm(type=kind.name, title=kind.title, about=kind.about, fields=fields)


def _address(kind: ChannelType) -> Iterator[FormField]:
    hint = f"Leave it empty for {kind.url_default}." if kind.url_default else kind.url_hint
    yield FormField(
        name="url",
        is_setting=False,
        label=kind.url_label,
        hint=hint,
        example=kind.url_example,
        kind=FieldKind.TEXT,
        is_required=not kind.url_default,
    )


def _credential(kind: ChannelType) -> Iterator[FormField]:
    if kind.credential:
        yield FormField(
            name="secret",
            is_setting=False,
            label=kind.credential_label,
            hint=f"{kind.credential[0].upper()}{kind.credential[1:]}.",
            example="",
            kind=FieldKind.WRITE_ONLY,
            is_required=kind.needs_secret,
        )


def _settings(kind: ChannelType) -> Iterator[FormField]:
    for field in structs.fields(kind.settings):
        said, of = _unwrapped(inspect.type_info(field.type))
        yield FormField(
            name=field.encode_name,
            is_setting=True,
            label=said.get("title", field.encode_name),
            hint=said.get("description", ""),
            example=next(iter(said.get("examples", [])), ""),
            kind=_kind(of),
            is_required=field.required,
        )


def _unwrapped(of: inspect.Type) -> tuple[dict[str, Any], inspect.Type]:
    if isinstance(of, inspect.Metadata):
        said, inner = _unwrapped(of.type)
        return {**said, **(of.extra_json_schema or {})}, inner
    return {}, of


def _kind(of: inspect.Type) -> FieldKind:
    if isinstance(of, inspect.UnionType):
        kinds = [one for one in of.types if not isinstance(one, inspect.NoneType)]
        # A text takes a number as well.
        return FieldKind.TEXT if len(kinds) > 1 else _kind(kinds[0])
    if isinstance(of, inspect.BoolType):
        return FieldKind.SWITCH
    if isinstance(of, inspect.IntType):
        return FieldKind.NUMBER
    is_list = isinstance(of, inspect.VarTupleType | inspect.ListType)
    return FieldKind.LIST if is_list else FieldKind.TEXT
