"""The evaluation of the past: rules that need not be saved, minute after minute, unwritten."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from psycopg.types.json import Jsonb

from db import queries
from db.evaluation import GRACE_S, MINUTE, TOLERANCE_S, statements
from db.queries import Connection
from db.rules import Rule, columns

_QUERIES = queries.load("replay")
REPLAY, REPLAY_COMPOSITES = statements(_QUERIES["replay"], "draft")
REACH_OF_PAST = _QUERIES["reach_of_past"]


class Turn(Struct, frozen=True):
    """What one thing is after a minute that was replayed."""

    rule_id: int
    component: str
    labels: dict[str, str]
    at: datetime
    value: float | None
    is_known: bool
    phase: str
    since: datetime | None
    calm_since: datetime | None
    missing_since: datetime | None
    value_rank: int
    floor_rank: int
    raised_at: datetime | None
    acknowledged: bool
    opens: list[datetime]
    is_flapping: bool
    rank: int
    step: str | None
    reason: str
    peak: float | None


class Reach(Struct, frozen=True):
    """How many things rules cover, and since when they can be evaluated; None: always."""

    things: int
    kept_from: datetime | None


class Span(Struct, frozen=True):
    """How long a rule fired at one level; without `until` it still does."""

    name: str
    component: str
    rank: int
    since: datetime
    until: datetime | None


async def run(
    connection: Connection,
    rules: Sequence[Rule],
    thresholds: Mapping[str, object],
    start: datetime,
    end: datetime,
    states: Sequence[Turn] = (),
    spans: Sequence[Span] | None = None,
) -> list[Turn]:
    """Evaluate rules at each minute from `start` to `end`, both included; nothing is written.

    Minutes that were never evaluated live are left out. Returns each step, and how each thing
    stands at the last one: the states to go on from. With `spans`, when other rules fired, the
    rules are composites.
    """
    known = [state for state in states if state.is_known]
    return await queries.rows(
        connection,
        Turn,
        REPLAY if spans is None else REPLAY_COMPOSITES,
        start=start,
        end=end,
        minutes=(end - start) // MINUTE,
        swept_from=None,
        share=0,
        shares=1,
        rules=Jsonb([draft(number, rule) for number, rule in enumerate(rules)]),
        states=Jsonb([_carried(state) for state in known]),
        spans=Jsonb(spans),
        thresholds=Jsonb(dict(thresholds)),
        tolerance_s=TOLERANCE_S,
        grace_s=GRACE_S,
    )


def draft(number: int, rule: Rule) -> dict[str, Any]:
    """Return the row that a rule would be."""
    return {"id": number, **columns(rule)}


async def reach_of(connection: Connection, rules: Sequence[Rule], now: datetime) -> Reach:
    """Return what an evaluation of the past can see of some rules."""
    drafts = Jsonb([columns(rule) for rule in rules])
    [found] = await queries.rows(connection, Reach, REACH_OF_PAST, rules=drafts, now=now)
    return found


def _carried(state: Turn) -> dict[str, Any]:
    row = {name: getattr(state, name) for name in state.__struct_fields__}
    return {**row, "last_at": state.at}
