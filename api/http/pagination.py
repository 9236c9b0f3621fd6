"""Lists: a page of items, and a cursor to the next one."""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

from litestar.params import QueryParameter
from msgspec import Struct

from alerts.store import ID_MAX
from model.errors import InvalidError

LIMIT = 100
LIMIT_MAX = 1000

Item = TypeVar("Item")

Limit = Annotated[
    int, QueryParameter(ge=1, le=LIMIT_MAX, description="How many items at most in this answer.")
]
Cursor = Annotated[
    str | None,
    QueryParameter(description="The `cursor` of the answer before; without it, from the start."),
]


class Page(Struct, Generic[Item], frozen=True):
    """Some items; `cursor` is null behind the last of them."""

    items: list[Item]
    cursor: str | None


def page(found: Sequence[Item], limit: int, number: Callable[[Item], int]) -> Page[Item]:
    """Return the first `limit` items; one more was asked for, to tell whether it is all."""
    items = list(found[:limit])
    return Page(items, str(number(items[-1])) if len(found) > limit else None)


def position(cursor: str | None, start: int) -> int:
    """Return the number a cursor stands for."""
    if cursor is None:
        return start
    if not re.fullmatch(r"[0-9]{1,19}", cursor) or int(cursor) > ID_MAX:
        raise InvalidError("cursor must be that of an earlier answer, unchanged")
    return int(cursor)
