"""What keeps people from being told of an alert: silences, planned work, what it stands on."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct, field
from psycopg.types.json import Jsonb

from db import queries
from db.evaluation import Step
from db.queries import Connection
from db.rules import Rule
from vigia.model import Category, Level, Text

_QUERIES = queries.load("holds")
_PARTS = queries.load_parts("holds")
SETTLE = queries.fill(_QUERIES["settle"], matches=_PARTS["matches"])
COUNT_HELD = queries.fill(_QUERIES["count_held"], matches=_PARTS["matches"])

STEPS_TOGETHER_MAX = 1000

Several = Meta(min_length=1, max_length=100)


class Matcher(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which alerts: those that have everything that is given, and of a list one of its values."""

    rule: Text | Annotated[list[Text], Several] | None = None
    component: Text | Annotated[list[Text], Several] | None = None
    category: Category | Annotated[list[Category], Several] | None = None
    level: Level | Annotated[list[Level], Several] | None = None
    labels: Annotated[dict[Text, Text], Meta(max_length=30)] = field(default_factory=dict)


class Told(Struct, frozen=True):
    """One step that an alert would have taken; of the last one, `level` is that it ended with."""

    time: datetime
    type: str
    level: Level
    component: str
    labels: dict[str, str]
    value: float | None
    comment: str


async def count_held(connection: Connection, rule: Rule, steps: Sequence[Told]) -> int:
    """Return how many of a rule's steps, in their order, would have been held back.

    By silences and maintenance windows as they are known now; not by what a component stands on.
    """
    held = 0
    for number in range(0, len(steps), STEPS_TOGETHER_MAX):
        some = steps[number : number + STEPS_TOGETHER_MAX]
        held += await queries.value(
            connection,
            COUNT_HELD,
            start=some[0].time,
            end=some[-1].time,
            rule=rule.name,
            category=rule.category,
            metric=rule.metric,
            steps=Jsonb(some),
        )
    return held


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
