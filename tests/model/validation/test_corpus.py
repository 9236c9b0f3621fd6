"""No value that msgspec refuses leads to a message in words of a library."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from alerts.rules.model import Rule
from alerts.suppression.maintenance import Plan
from config.model import Config
from model.validation.words import explain, fault
from notifications.files.document import TYPES
from tests.model.validation.corpus import OLD_MESSAGES, kinds_in


class Dog(Struct, tag="dog", forbid_unknown_fields=True):
    name: str


class Cat(Struct, tag="cat", forbid_unknown_fields=True):
    lives: Annotated[int, Meta(ge=1, le=9)]


class Everything(Struct, forbid_unknown_fields=True):
    """Every kind of type that msgspec converts to."""

    whole: Annotated[int, Meta(ge=1, multiple_of=2)] = 2
    share: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    flag: bool = True
    text: Annotated[str, Meta(min_length=1, max_length=3)] = "a"
    raw: bytes = b""
    moment: Annotated[datetime, Meta(tz=True)] | None = None
    local: Annotated[datetime, Meta(tz=False)] | None = None
    day: date | None = None
    clock: time | None = None
    lasts: timedelta | None = None
    price: Decimal = Decimal(1)
    mark: UUID | None = None
    pair: tuple[int, str] = (1, "a")
    many: Annotated[list[int], Meta(min_length=1, max_length=2)] = []
    names: set[int] = set()
    by_name: Annotated[dict[Literal["a", "b"], dict[str, int]], Meta(max_length=1)] = {}
    pet: Dog | Cat | None = None
    code: Literal[1, 2, "x"] = 1


KINDS = [Everything, Rule, Plan, *Config.__annotations__.values(), *TYPES.values()]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
NAMES = st.sampled_from(
    sorted({name for kind in (Everything, Rule) for name in kind.__struct_fields__})
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            NAMES | st.sampled_from(["type", "lives", "a", "name"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@pytest.mark.parametrize("message", OLD_MESSAGES)
def test_the_messages_of_the_first_version_are_words_of_libraries(message: str) -> None:
    assert kinds_in(message)


@given(kind=st.sampled_from(KINDS), value=JSON, strict=st.booleans())
def test_no_fault_of_a_value_is_told_in_words_of_a_library(
    kind: Any, value: Any, strict: bool
) -> None:
    given_texts = repr(value)
    words = fault(value, kind, strict=strict)

    found = kinds_in(words)
    assert not found or kinds_in(given_texts), words


@given(field=st.sampled_from(Everything.__struct_fields__), value=JSON, strict=st.booleans())
def test_no_fault_of_a_field_is_told_in_words_of_a_library(
    field: str, value: Any, strict: bool
) -> None:
    words = fault({field: value}, Everything, strict=strict)

    assert not kinds_in(words) or kinds_in(repr(value)), words
    # The first word is the field at fault, or nothing is wrong with it.
    assert not words or field in words


@given(st.binary(max_size=20) | JSON.map(msgspec.json.encode).map(lambda text: text[:-1]))
def test_no_text_that_is_not_json_is_answered_in_words_of_a_library(text: bytes) -> None:
    assert not kinds_in(_words_about(text))


def _words_about(text: bytes) -> str:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return explain(error)
    return ""
