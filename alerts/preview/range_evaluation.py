"""The evaluation of the past: rules that need not be saved, minute after minute, unwritten."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from psycopg.types.json import Jsonb

from alerts.evaluation.statement import GRACE_S, MINUTE, TOLERANCE_S, statements
from alerts.rules.model import Rule, columns
from db import queries
from db.queries import Connection

_QUERIES = queries.load(__file__)
EVALUATE_RANGE, EVALUATE_RANGE_OF_COMPOSITES = statements(_QUERIES["evaluate_range"], "draft")
REACH_OF_PAST = _QUERIES["reach_of_past"]


class EvaluatedInstance(Struct, frozen=True):
    """An instance after one minute of a range."""

    rule_id: int
    component: str
    labels: dict[str, str]
    at: datetime
    value: float | None
    is_known: bool
    phase: str
    since: datetime | None
    clear_since: datetime | None
    missing_since: datetime | None
    value_rank: int
    floor_rank: int
    raised_at: datetime | None
    acknowledged: bool
    opens: list[datetime]
    is_flapping: bool
    rank: int
    transition: str | None
    reason: str
    peak: float | None


class Reach(Struct, frozen=True):
    """How many instances rules cover, and since when they can be evaluated; None: always."""

    instances: int
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
    states: Sequence[EvaluatedInstance] = (),
    spans: Sequence[Span] | None = None,
) -> list[EvaluatedInstance]:
    """Evaluate rules at each minute from `start` to `end`, both included; nothing is written.

    Minutes that were never evaluated live are left out. Returns each transition, and each
    instance at the last minute: the states to go on from. With `spans`, when other rules fired, the
    rules are composites.
    """
    known = [state for state in states if state.is_known]
    return await queries.rows(
        connection,
        EvaluatedInstance,
        EVALUATE_RANGE if spans is None else EVALUATE_RANGE_OF_COMPOSITES,
        start=start,
        end=end,
        minutes=(end - start) // MINUTE,
        swept_from=None,
        shard=0,
        shards=1,
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


def _carried(state: EvaluatedInstance) -> dict[str, Any]:
    row = {name: getattr(state, name) for name in state.__struct_fields__}
    return {**row, "last_at": state.at}
