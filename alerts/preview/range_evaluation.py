"""The SQL statement that evaluates rules, stored or not, over past minutes without writing."""

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
    """The state of an instance after one minute of a range, and its transition in that minute."""

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
    """How many instances rules cover, and from when on all inputs are kept (None: all are)."""

    instances: int
    kept_from: datetime | None


class Span(Struct, frozen=True):
    """The time for which a rule fired at one level; without `until` it still fires."""

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
    """Evaluate rules at each minute from `start` to `end`, both included, without writing.

    Minutes of evaluation gaps are left out. Returns each transition, and each instance at the last
    minute, from which the next call can continue (`states`). If `spans` is given, the rules are
    composites, and the spans say when other rules fired.
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
    """Return a rule as a row of `alert_rules` with the given id."""
    return {"id": number, **columns(rule)}


async def reach_of(connection: Connection, rules: Sequence[Rule], now: datetime) -> Reach:
    """Return how many series rules cover, and from when on their inputs are kept."""
    drafts = Jsonb([columns(rule) for rule in rules])
    [found] = await queries.rows(connection, Reach, REACH_OF_PAST, rules=drafts, now=now)
    return found


def _carried(state: EvaluatedInstance) -> dict[str, Any]:
    row = {name: getattr(state, name) for name in state.__struct_fields__}
    return {**row, "last_at": state.at}
