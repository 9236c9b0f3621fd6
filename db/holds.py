"""What keeps people from being told of an alert: silences, planned work, what it stands on."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct, field
from psycopg.types.json import Jsonb

from db import queries
from db.evaluation import Step
from db.queries import Connection
from db.rules import Text
from vigia.model import Category, Level

_QUERIES = queries.load("holds")
SETTLE = _QUERIES["settle"]

Several = Meta(min_length=1, max_length=100)


class Matcher(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which alerts: those that have everything that is given, and of a list one of its values."""

    rule: Text | Annotated[list[Text], Several] | None = None
    component: Text | Annotated[list[Text], Several] | None = None
    category: Category | Annotated[list[Category], Several] | None = None
    level: Level | Annotated[list[Level], Several] | None = None
    labels: Annotated[dict[Text, Text], Meta(max_length=30)] = field(default_factory=dict)


async def settle(
    connection: Connection,
    at: datetime,
    ancestors: Mapping[str, Sequence[str]],
    actor: str = "auto",
    at_most: int | None = None,
) -> list[Step]:
    """Hold back what should be at an instant and release the rest; return what changed.

    `ancestors` says for each component on what it stands. Of more than `at_most` changes the first
    are made. In a transaction that holds the clock.
    """
    stands_on = {component: list(parents) for component, parents in ancestors.items()}
    return await queries.rows(
        connection, Step, SETTLE, at=at, ancestors=Jsonb(stands_on), actor=actor, at_most=at_most
    )
