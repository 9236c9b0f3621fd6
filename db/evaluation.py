"""The one evaluation: every rule at one minute, and the same over the past for a rule on trial."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from msgspec import Struct
from psycopg.types.json import Jsonb

from db import queries
from db.queries import Connection
from db.rules import Rule, columns

_QUERIES = queries.load("evaluation")
_PARTS = queries.load_parts("evaluation")
_LIFE = queries.load_parts("life")
_with_parts = partial(
    queries.fill,
    rules=_PARTS["rules"],
    covered=_PARTS["covered"],
    observed=_PARTS["observed"],
    verdicts=_PARTS["verdicts"],
    judged=_LIFE["judged"],
    step=_LIFE["step"],
)
LOCK = _QUERIES["lock"]
REACH_OF_PAST = _QUERIES["reach_of_past"]
PLAN_FOR_MANY = _QUERIES["plan_for_many"]
EVALUATE = _with_parts(
    _QUERIES["evaluate"], source=_PARTS["live.source"], wanted=_PARTS["live.wanted"]
)
REPLAY = _with_parts(
    _QUERIES["replay"], source=_PARTS["draft.source"], wanted=_PARTS["draft.wanted"]
)

MINUTE = timedelta(minutes=1)
TOLERANCE_S = 3600
"""After a longer time in which nobody looked, what was pending or calm starts anew."""
GRACE_S = 600
"""After a shorter one, what is pending waits at least this long."""


class Step(Struct, frozen=True):
    """One step that an evaluation made an alert take."""

    alert_id: int
    step: str


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
    """How many things a rule covers, and since when it can be evaluated; None: always."""

    things: int
    kept_from: datetime | None


async def lock(connection: Connection) -> datetime | None:
    """Let nobody else change alerts before this transaction ends; return the newest minute."""
    newest: datetime | None = await queries.value(connection, LOCK)
    return newest


async def evaluate(
    connection: Connection,
    at: datetime,
    thresholds: Mapping[str, object],
    *,
    tolerance_s: float = TOLERANCE_S,
    grace_s: float = GRACE_S,
) -> list[Step]:
    """Evaluate every rule over the windows that end at a whole minute; return the steps taken.

    In a transaction of the caller's: the clock is held, and the planner set, until its end.
    """
    await lock(connection)
    await queries.run(connection, PLAN_FOR_MANY)
    return await queries.rows(
        connection,
        Step,
        EVALUATE,
        start=at,
        end=at,
        minutes=0,
        sweep=True,
        thresholds=Jsonb(dict(thresholds)),
        tolerance_s=tolerance_s,
        grace_s=grace_s,
    )


async def replay(
    connection: Connection,
    rules: Sequence[Rule],
    thresholds: Mapping[str, object],
    start: datetime,
    end: datetime,
    states: Sequence[Turn] = (),
) -> list[Turn]:
    """Evaluate rules at each minute from `start` to `end`, both included; nothing is written.

    Returns each step, and how each thing stands at the end: the states to go on from.
    """
    known = [state for state in states if state.is_known]
    return await queries.rows(
        connection,
        Turn,
        REPLAY,
        start=start,
        end=end,
        minutes=(end - start) // MINUTE,
        sweep=False,
        rules=Jsonb([_draft(number, rule) for number, rule in enumerate(rules)]),
        states=Jsonb([_carried(state) for state in known]),
        thresholds=Jsonb(dict(thresholds)),
        tolerance_s=TOLERANCE_S,
        grace_s=GRACE_S,
    )


async def reach_of(connection: Connection, rule: Rule) -> Reach:
    """Return what an evaluation of the past can see of a rule."""
    [found] = await queries.rows(
        connection,
        Reach,
        REACH_OF_PAST,
        metric=rule.metric,
        component=rule.component,
        labels=Jsonb(rule.labels),
    )
    return found


def _draft(number: int, rule: Rule) -> dict[str, Any]:
    return {"id": number, **columns(rule), "enabled": True}


def _carried(state: Turn) -> dict[str, Any]:
    row = {name: getattr(state, name) for name in state.__struct_fields__}
    return {**row, "last_at": state.at}
