"""Pagination of lists: a page of items, and a cursor to the next page."""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

from litestar.params import QueryParameter
from msgspec import Struct

from alerts.store import ID_MAX
from model.errors import InvalidError
from model.limits import PAGE_ITEMS, PAGE_ITEMS_MAX

LIMIT = PAGE_ITEMS

Item = TypeVar("Item")

Limit = Annotated[
    int,
    QueryParameter(ge=1, le=PAGE_ITEMS_MAX, description="Maximum number of items in the response."),
]
Cursor = Annotated[
    str | None,
    QueryParameter(description="The `cursor` of the previous page; leave it out for the first."),
]


class Page(Struct, Generic[Item], frozen=True):
    """A page of a list; `cursor` is null on the last page."""

    items: list[Item]
    cursor: str | None


def page(found: Sequence[Item], limit: int, number: Callable[[Item], int]) -> Page[Item]:
    """Return the first `limit` items as a page; the caller reads one more to detect the end."""
    items = list(found[:limit])
    return Page(items, str(number(items[-1])) if len(found) > limit else None)


def position(cursor: str | None, start: int) -> int:
    """Return the number in a cursor. Raises InvalidError if it is not one of ours."""
    if cursor is None:
        return start
    if not re.fullmatch(r"[0-9]{1,19}", cursor) or int(cursor) > ID_MAX:
        raise InvalidError("cursor is not valid; send the cursor of the previous page unchanged")
    return int(cursor)
