"""What msgspec says of a wrong value becomes plain English, without types and patterns."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta, Struct

from model.text import Address, LabelName, Lines, MetricName, Name, TargetName, Text
from model.validation import explain


class Inner(Struct, forbid_unknown_fields=True):
    name: Name = "a"
    items: Annotated[list[int], Meta(min_length=1, max_length=2)] = []
    count: Annotated[int, Meta(ge=1, le=3)] = 1
    share: Annotated[float, Meta(gt=0)] = 1.0
    at: datetime | None = None
    kind: Literal["x", "y"] = "x"
    labels: dict[LabelName, Annotated[str, Meta(max_length=1)]] = {}
    code: Annotated[str, Meta(pattern="^[0-9]+$")] = "1"

    def __post_init__(self) -> None:
        if self.count == 2:
            raise ValueError("count must not be 2")


class Outer(Struct):
    one: Inner
    more: list[Inner] = []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", "'one' is missing"),
        ('{"one": []}', "one: must be an object, not a list"),
        ('{"one": {}, "more": [{"nmae": 1}]}', "more[0]: 'nmae' is not a known field"),
        ('{"one": {"items": []}}', "one.items: must have at least 1 item"),
        ('{"one": {"items": [1, 2, 3]}}', "one.items: must have at most 2 items"),
        ('{"one": {"count": 4}}', "one.count: must be at most 3"),
        ('{"one": {"count": 1.5}}', "one.count: must be a whole number, not a number"),
        ('{"one": {"count": 2}}', "one: count must not be 2"),
        ('{"one": {"share": 0}}', "one.share: must be more than 0"),
        ('{"one": {"at": "noon"}}', "one.at: must be a time such as 2026-01-31T12:00:00Z"),
        ('{"one": {"kind": "z"}}', "one.kind: 'z' is not one of the allowed values"),
        ('{"one": {"labels": {"a": 1}}}', "one.labels: must be a text, not a whole number"),
        ('{"one": {"labels": {"a": "xy"}}}', "one.labels: must have at most 1 character"),
        ('{"one": {"code": "a"}}', "one.code: has a form that is not allowed"),
        ('{"one"', "the JSON is incomplete"),
        ("nope", "the JSON is not valid near byte 4"),
    ],
)
def test_an_error_says_what_is_wrong_where(text: str, expected: str) -> None:
    with pytest.raises(msgspec.DecodeError) as caught:
        msgspec.json.decode(text, type=Outer)

    assert explain(caught.value) == expected


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Text, "a\x00"),
        (Lines, "a\x00"),
        (Name, "-"),
        (MetricName, "1"),
        (TargetName, "A"),
        (Address, "example.com"),
        (LabelName, "1"),
    ],
)
def test_a_text_of_another_form_is_told_which_form_it_needs(kind: Any, value: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(value, kind)

    words = explain(caught.value)
    assert words.startswith("must ")
    assert "regex" not in words


def test_a_name_in_an_object_is_told_apart_from_its_value() -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert({"one": {"labels": {"1": "x"}}}, Outer)

    assert explain(caught.value).startswith("a name in one.labels: must have 1 to ")


def test_our_own_words_stay_as_they_are() -> None:
    assert explain(ValueError("levels must name at least one level")) == (
        "levels must name at least one level"
    )
