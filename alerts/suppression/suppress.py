"""Suppression: silences, maintenance windows and dependencies keep alerts from notifying people."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

from msgspec import Struct, field
from psycopg.types.json import Jsonb

from alerts.announcing import OnTransitions, announce
from alerts.evaluation.statement import Transition
from alerts.rules.model import Rule
from db import queries
from db.queries import Connection
from model.matching import Several, Value, check_values
from model.series import Category
from model.severity import Level
from model.text import TextLabels

_QUERIES = queries.load(__file__)
_PARTS = queries.load_parts(__file__)
APPLY_SUPPRESSION = queries.fill(_QUERIES["apply_suppression"], matches=_PARTS["matches"])
COUNT_SUPPRESSED = queries.fill(_QUERIES["count_suppressed"], matches=_PARTS["matches"])

TRANSITIONS_TOGETHER_MAX = 1000


class Matcher(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Matches alerts that have every given field; for a list, any one of its values."""

    rule: Value | Annotated[list[Value], Several] | None = None
    component: Value | Annotated[list[Value], Several] | None = None
    category: Category | Annotated[list[Category], Several] | None = None
    level: Level | Annotated[list[Level], Several] | None = None
    labels: TextLabels = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse values that act on a terminal."""
        check_values(self, "rule", "component")


class PreviewedTransition(Struct, frozen=True):
    """A transition that an alert would have; for `resolved`, `level` is the last one it had."""

    time: datetime
    type: str
    level: Level
    component: str
    labels: dict[str, str]
    value: float | None
    comment: str


async def count_suppressed(
    connection: Connection, rule: Rule, transitions: Sequence[PreviewedTransition]
) -> int:
    """Return how many transitions of a rule, oldest first, would have been suppressed.

    Considers the silences and maintenance windows that are stored now, but not dependencies.
    """
    suppressed = 0
    for number in range(0, len(transitions), TRANSITIONS_TOGETHER_MAX):
        some = transitions[number : number + TRANSITIONS_TOGETHER_MAX]
        suppressed += await queries.value(
            connection,
            COUNT_SUPPRESSED,
            start=some[0].time,
            end=some[-1].time,
            rule=rule.name,
            category=rule.category,
            metric=rule.metric,
            transitions=Jsonb(some),
        )
    return suppressed


async def apply_suppression(
    connection: Connection,
    at: datetime,
    dependencies: Mapping[str, Sequence[str]],
    actor: str = "auto",
    at_most: int | None = None,
) -> list[Transition]:
    """Suppress the alerts that something suppresses at a time, unsuppress others; return changes.

    `dependencies` lists the components that each component depends on. Applies the first `at_most`
    changes. Runs in a transaction that holds the evaluation clock.
    """
    needed = {component: list(parents) for component, parents in dependencies.items()}
    return await queries.rows(
        connection,
        Transition,
        APPLY_SUPPRESSION,
        at=at,
        dependencies=Jsonb(needed),
        actor=actor,
        at_most=at_most,
    )


async def apply_and_announce(
    connection: Connection,
    at: datetime,
    dependencies: Mapping[str, Sequence[str]],
    actor: str,
    on_transitions: Sequence[OnTransitions],
    ids: Sequence[int] = (),
) -> None:
    """Apply suppression, then announce the changed alerts and the alerts with the given ids.

    Runs in a transaction that holds the evaluation clock.
    """
    transitions = await apply_suppression(connection, at, dependencies, actor)
    changed = [*ids, *(transition.alert_id for transition in transitions)]
    if changed:
        await announce(connection, at, on_transitions, alert_ids=changed)
