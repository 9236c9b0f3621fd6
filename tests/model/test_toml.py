"""Things in a TOML file: their names first, and nothing that has its default."""

import tomllib
from datetime import datetime

from msgspec import UNSET, Struct, UnsetType

from model.toml import document, plain, table


class Inner(Struct, frozen=True):
    wide: int = 0
    at: datetime | None = None


class Thing(Struct, frozen=True):
    tags: tuple[str, ...] = ()
    name: str = "x"
    inner: Inner = Inner()
    secret: str | UnsetType = UNSET


def test_what_has_its_default_is_left_out_also_within() -> None:
    thing = Thing(tags=("a",), inner=Inner(wide=1))

    assert document(thing) == {"tags": ["a"], "inner": {"wide": 1}}
    assert document(Thing()) == {}


def test_an_empty_list_is_the_same_as_an_empty_tuple() -> None:
    assert plain([]) == plain(())


def test_the_name_comes_first() -> None:
    text = table("thing", Thing(tags=("a", "b"), name="n"))

    assert text == '[[thing]]\nname = "n"\ntags = ["a", "b"]\n'
    assert tomllib.loads(text) == {"thing": [{"name": "n", "tags": ["a", "b"]}]}
