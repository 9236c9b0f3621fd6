"""What msgspec says of a wrong value becomes plain English, without types and patterns."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta, Struct

from model.text import (
    PATTERN_WORDS,
    Address,
    LabelName,
    Lines,
    MetricName,
    Name,
    TargetName,
    Text,
)
from model.times import WholeDuration
from model.validation.words import explain, fault, not_one_of


class Inner(Struct, forbid_unknown_fields=True):
    name: Name = "a"
    items: Annotated[list[int], Meta(min_length=1, max_length=2)] = []
    count: Annotated[int, Meta(ge=1, le=3)] = 1
    share: Annotated[float, Meta(gt=0)] = 1.0
    at: datetime | None = None
    kind: Literal["x", "y"] = "x"
    labels: dict[LabelName, Annotated[str, Meta(max_length=1)]] = {}
    code: Annotated[str, Meta(pattern="^[0-9]+$")] = "1"
    id: Annotated[Any, Meta(description="Read-only: accepted and ignored.")] = None

    def __post_init__(self) -> None:
        if self.count == 2:
            raise ValueError("count must not be 2")


class Outer(Struct):
    one: Inner
    more: list[Inner] = []


class Wrapped(Struct, forbid_unknown_fields=True):
    value: Any
    previous: Any = None


class Dog(Struct, tag="dog", forbid_unknown_fields=True):
    name: str


class Cat(Struct, tag="cat", forbid_unknown_fields=True):
    lives: int


FIELDS = "name, items, count, share, at, kind, labels, code"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, "'one' is missing"),
        ({"one": []}, "one: must be an object, not a list"),
        (
            {"one": {}, "more": [{"nmae": 1}]},
            f"more[0]: 'nmae' is not a known field; did you mean 'name'? The fields are {FIELDS}",
        ),
        ({"one": {"zzz": 1}}, f"one: 'zzz' is not a known field; the fields are {FIELDS}"),
        ({"one": {"items": []}}, "one.items: must have at least 1 item"),
        ({"one": {"items": [1, 2, 3]}}, "one.items: must have at most 2 items"),
        ({"one": {"count": 4}}, "one.count: must be from 1 to 3, not 4"),
        ({"one": {"count": 1.5}}, "one.count: must be a whole number from 1 to 3, not 1.5"),
        ({"one": {"count": "a"}}, "one.count: must be a whole number from 1 to 3, not 'a'"),
        ({"one": {"count": 2}}, "one: count must not be 2"),
        ({"one": {"share": 0}}, "one.share: must be more than 0, not 0"),
        ({"one": {"at": "noon"}}, "one.at: must be a time such as 2026-01-31T12:00:00Z"),
        ({"one": {"kind": "z"}}, "one.kind: 'z' is not one of x, y"),
        ({"one": {"kind": 5}}, "one.kind: must be one of x, y, not 5"),
        ({"one": {"labels": {"a": 1}}}, "one.labels.a: must be a text, not a whole number"),
        (
            {"one": {"labels": {"ok": "x", "b": "xy", "c": "xyz"}}},
            "one.labels.b: must have at most 1 character",
        ),
        ({"one": {"code": "a"}}, "one.code: has a form that is not allowed"),
    ],
)
def test_an_error_says_what_is_wrong_where_and_what_is_allowed(value: Any, expected: str) -> None:
    assert fault(value, Outer) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"one"', "the JSON is incomplete"),
        ("nope", "the JSON is not valid near byte 4"),
        ('{"a":1,}', "the JSON is not valid near byte 7: remove the comma after the last field"),
    ],
)
def test_a_text_that_is_not_json_is_told_where(text: str, expected: str) -> None:
    with pytest.raises(msgspec.DecodeError) as caught:
        msgspec.json.decode(text)

    assert explain(caught.value) == expected


def test_an_error_of_a_decoded_text_is_in_plain_english_without_its_value() -> None:
    with pytest.raises(msgspec.DecodeError) as caught:
        msgspec.json.decode('{"one": {"count": 4, "labels": {}}}', type=Outer)

    assert explain(caught.value) == "one.count: must be at most 3"
    assert explain(caught.value, Outer) == "one.count: must be from 1 to 3"


@pytest.mark.parametrize(
    ("kind", "value", "meant"),
    [
        (Text, "a\x00", None),
        (Lines, "a\x00", None),
        (Name, "my rule", "my-rule"),
        (Name, "-", None),
        (MetricName, "server cpu", "server_cpu"),
        (MetricName, "1", None),
        (TargetName, "My site", "my-site"),
        (Address, "example.com", None),
        (LabelName, "my-label", "my_label"),
        (WholeDuration, "5x", None),
    ],
)
def test_a_text_of_another_form_is_told_which_form_it_needs(
    kind: Any, value: str, meant: str | None
) -> None:
    words = fault(value, kind)

    assert words.startswith("must ")
    assert words.endswith(f"; did you mean {meant!r}?" if meant else words[-1])
    assert meant is not None or "did you mean" not in words
    assert "regex" not in words
    assert meant is None or not fault(meant, kind)


def test_a_name_in_an_object_is_told_apart_from_its_value() -> None:
    words = fault({"one": {"labels": {"good": "x", "my-label": "x"}}}, Outer)

    assert words.startswith("a name in one.labels: must have 1 to ")
    assert words.endswith("did you mean 'my_label'?")


def test_a_value_without_its_object_is_told_where_it_goes() -> None:
    words = fault({"collect_s": 3}, Wrapped)

    assert words == (
        "'collect_s' is not a known field; the value goes into 'value': write {\"value\": …}"
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"type": "dgo"}, "type: 'dgo' is not one of dog, cat; did you mean 'dog'?"),
        ({"type": "cat", "lives": "x"}, "lives: must be a whole number, not a text"),
        (
            {"type": "cat", "live": 1},
            "'live' is not a known field; did you mean 'lives'? The fields are lives",
        ),
    ],
)
def test_an_object_of_a_named_type_is_told_the_fields_of_that_type(
    value: Any, expected: str
) -> None:
    assert fault(value, Dog | Cat) == expected


def test_the_root_names_the_whole_value() -> None:
    assert fault([{"name": "my site"}], list[Inner], root="targets").startswith(
        "targets[0].name: must have 1 to 100 letters"
    )


def test_a_choice_lists_the_values_and_the_one_of_other_tools() -> None:
    assert not_one_of("mean", ["min", "avg"]) == (
        "'mean' is not one of min, avg; did you mean 'avg'?"
    )


def test_our_own_words_stay_as_they_are() -> None:
    assert explain(ValueError("levels must name at least one level")) == (
        "levels must name at least one level"
    )


def test_the_name_at_fault_in_a_large_object_is_found_at_once() -> None:
    labels = {f"l{number}": "x" for number in range(5000)} | {"bad": "xy"}

    assert fault({"one": {"labels": labels}}, Outer).startswith("one.labels.bad: ")


def test_every_pattern_has_words() -> None:
    assert all(words.startswith("must ") for words in PATTERN_WORDS.values())
