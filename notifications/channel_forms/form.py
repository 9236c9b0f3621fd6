"""Builds the form of each channel type: field names, labels and hints.

Labels and hints come from the type's own settings, `Meta(title=…, description=…)`, so that each is
written once.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any

from msgspec import Struct, inspect, structs

from notifications.delivery import ChannelType
from notifications.registry import TYPES


class FieldKind(StrEnum):
    """The kind of input of a field."""

    TEXT = "text"
    WRITE_ONLY = "write_only"
    """No answer contains the value."""
    NUMBER = "number"
    SWITCH = "switch"
    LIST = "list"
    """One item per line."""


class FormField(Struct, frozen=True, kw_only=True):
    """One field: `url`, `secret`, or a setting."""

    name: str
    is_setting: bool
    label: str
    hint: str
    example: str
    kind: FieldKind
    is_required: bool


class TypeForm(Struct, frozen=True, kw_only=True):
    """A channel type and the fields of its channels."""

    type: str
    title: str
    about: str
    fields: Sequence[FormField]


def forms() -> list[TypeForm]:
    """Return the forms of all types, sorted by title."""
    return sorted(map(form_of, TYPES.values()), key=lambda form: form.title.lower())


def form_of(kind: ChannelType) -> TypeForm:
    """Return the form of a type."""
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
        described, of = _unwrapped(inspect.type_info(field.type))
        yield FormField(
            name=field.encode_name,
            is_setting=True,
            label=described.get("title", field.encode_name),
            hint=described.get("description", ""),
            example=next(iter(described.get("examples", [])), ""),
            kind=_kind(of),
            is_required=field.required,
        )


def _unwrapped(of: inspect.Type) -> tuple[dict[str, Any], inspect.Type]:
    if isinstance(of, inspect.Metadata):
        described, inner = _unwrapped(of.type)
        return {**described, **(of.extra_json_schema or {})}, inner
    return {}, of


def _kind(of: inspect.Type) -> FieldKind:
    if isinstance(of, inspect.UnionType):
        kinds = [one for one in of.types if not isinstance(one, inspect.NoneType)]
        # A field that takes text or a number is entered as text.
        return FieldKind.TEXT if len(kinds) > 1 else _kind(kinds[0])
    if isinstance(of, inspect.BoolType):
        return FieldKind.SWITCH
    if isinstance(of, inspect.IntType):
        return FieldKind.NUMBER
    is_list = isinstance(of, inspect.VarTupleType | inspect.ListType)
    return FieldKind.LIST if is_list else FieldKind.TEXT
