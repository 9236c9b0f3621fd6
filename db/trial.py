"""What a rule would have done in the past: the very evaluation, from minute to minute."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from itertools import groupby, zip_longest

from msgspec import Struct

from db import cost, evaluation, late, rules
from db.evaluation import Span, Turn
from db.late import Gap, Late
from db.queries import Connection
from db.rules import Rule
from vigia.model import InvalidError, Level

RANGE_MAX = timedelta(days=31)
MINUTE = timedelta(minutes=1)
CELLS_MAX = 20_000
"""Things times minutes in one statement: the embedded engine serves nobody else meanwhile."""
MINUTES_MIN, MINUTES_MAX = 10, 720
ROWS_TOGETHER_MAX, ROWS_MAX = 500_000, 500_000_000
"""What one statement reads, about a second; and all of them, which is minutes."""
ALERTS_MAX = 10_000
LEVELS = list(Level)

Connect = Callable[[], AbstractAsyncContextManager[Connection]]


class Told(Struct, frozen=True):
    """One step that an alert would have taken; of the last one, `level` is that it ended with."""

    time: datetime
    type: str
    level: Level
    component: str
    labels: dict[str, str]
    value: float | None
    comment: str


class Firing(Struct, frozen=True):
    """One alert that there would have been; open at the end without `resolved_at`."""

    opened_at: datetime
    resolved_at: datetime | None
    level: Level
    component: str
    labels: dict[str, str]
    peak: float | None


class Outcome(Struct, frozen=True):
    """What a rule makes of a range of time; `messages` are the steps people would hear of."""

    alerts: list[Firing]
    firing_s: float
    messages: int


class Trial(Struct, frozen=True):
    """The outcome of a rule, and of the present one of its name beside it.

    Before `partial_from` samples are no longer kept as densely as a rule needs them. `late` are the
    first of `late_total` samples that the rule sees here, and would not have seen at their minute;
    `not_evaluated` the first of `not_evaluated_total` spans left out, as nobody looked at them.
    """

    alerts: list[Firing]
    firing_s: float
    messages: int
    events: list[Told]
    present: Outcome | None
    start: datetime
    end: datetime
    partial_from: datetime | None
    late: list[Late]
    late_total: int
    not_evaluated: list[Gap]
    not_evaluated_total: int


async def run(
    connect: Connect,
    rule: Rule,
    thresholds: Mapping[str, object],
    start: datetime,
    end: datetime,
) -> Trial:
    """Evaluate a rule at every whole minute of a range. Raises InvalidError if it cannot be."""
    first, last = _minutes(start, end)
    async with connect() as connection:
        saved = await rules.read(connection, rule.name)
        reach = await evaluation.reach_of(connection, rule)
        looked_at = await _members(connection, rule) if rule.kind == "composite" else [rule]
        latecomers, late_total = await late.of_rules(connection, looked_at, first, last)
        gaps, gaps_total = await late.gaps(connection, first, last)
    told, outcome = await _outcome(connect, rule, thresholds, first, last)
    present = None
    if saved:
        _, present = await _outcome(connect, saved[0].rule, thresholds, first, last)
    is_partial = reach.kept_from is not None and reach.kept_from > first
    return Trial(
        alerts=outcome.alerts,
        firing_s=outcome.firing_s,
        messages=outcome.messages,
        events=told,
        present=present,
        start=first,
        end=last,
        partial_from=reach.kept_from if is_partial else None,
        late=latecomers,
        late_total=late_total,
        not_evaluated=gaps,
        not_evaluated_total=gaps_total,
    )


def _minutes(start: datetime, end: datetime) -> tuple[datetime, datetime]:
    first = start.replace(second=0, microsecond=0)
    first += MINUTE if first < start else timedelta()
    last = end.replace(second=0, microsecond=0)
    if not timedelta() <= last - first <= RANGE_MAX:
        raise InvalidError("start must be before end, by a minute to 31 days")
    return first, last


async def _outcome(
    connect: Connect, rule: Rule, thresholds: Mapping[str, object], first: datetime, last: datetime
) -> tuple[list[Told], Outcome]:
    spans = None
    if rule.kind == "composite":
        spans = await _spans(connect, rule, thresholds, first, last)
    turns, states = await _replay(connect, rule, thresholds, first, last, spans)
    return [_told(turn) for turn in turns], _summed(turns, states, last)


async def _members(connection: Connection, rule: Rule) -> list[Rule]:
    return await rules.named(connection, {*rule.all_of, *rule.any_of, *rule.none_of})


async def _spans(
    connect: Connect, rule: Rule, thresholds: Mapping[str, object], first: datetime, last: datetime
) -> list[Span]:
    """Evaluate the rules that a composite names, and return when they fire."""
    async with connect() as connection:
        named = await _members(connection, rule)
    spans: list[Span] = []
    for member in named:
        turns, _ = await _replay(connect, member, thresholds, first, last)
        spans += _spans_of(member.name, turns)
    return spans


def _spans_of(name: str, turns: list[Turn]) -> list[Span]:
    """Return how long a rule fired about each thing, at each level."""
    spans: list[Span] = []
    for _, group in groupby(sorted(turns, key=_thing), key=_thing):
        steps = list(group)
        spans += [
            Span(name, turn.component, turn.rank, turn.at, after.at if after else None)
            for turn, after in zip_longest(steps, steps[1:])
            if turn.step != "resolved"
        ]
    return spans


async def _replay(
    connect: Connect,
    rule: Rule,
    thresholds: Mapping[str, object],
    first: datetime,
    last: datetime,
    spans: list[Span] | None = None,
) -> tuple[list[Turn], list[Turn]]:
    """Evaluate in pieces, each from where the one before it ended; return steps and last states."""
    async with connect() as connection:
        things = (await evaluation.reach_of(connection, rule)).things
        rows = await cost.rows_of(connection, rule)
    if rows * ((last - first) // MINUTE) > ROWS_MAX:
        raise InvalidError(f"the trial would read over {ROWS_MAX:,} rows: ask for less time")
    minutes = max(MINUTES_MIN, min(MINUTES_MAX, CELLS_MAX // max(things, 1)))
    minutes = max(1, min(minutes, ROWS_TOGETHER_MAX // max(rows, 1)))
    states: list[Turn] = []
    turns: list[Turn] = []
    at = first
    while at <= last and len(turns) <= ALERTS_MAX:
        until = min(at + (minutes - 1) * MINUTE, last)
        async with connect() as connection:
            found = await evaluation.replay(
                connection, [rule], thresholds, at, until, states, spans
            )
        turns += [turn for turn in found if turn.step is not None]
        # Of minutes that were never evaluated there is nothing: all stands as it stood.
        states = [turn for turn in found if turn.at == found[-1].at] or states
        at = until + MINUTE
    if len(turns) > ALERTS_MAX:
        raise InvalidError(f"the rule would have taken over {ALERTS_MAX} steps; ask for less time")
    return turns, states


def _thing(turn: Turn) -> tuple[str, tuple[tuple[str, str], ...]]:
    return turn.component, tuple(sorted(turn.labels.items()))


def _told(turn: Turn) -> Told:
    return Told(
        time=turn.at,
        type=turn.step or "",
        level=LEVELS[turn.rank - 1],
        component=turn.component,
        labels=turn.labels,
        value=turn.value,
        comment=turn.reason,
    )


def _summed(turns: list[Turn], states: list[Turn], last: datetime) -> Outcome:
    """Put the steps of each thing together to alerts, at the loudest level they had."""
    began: dict[tuple[str, tuple[tuple[str, str], ...]], tuple[datetime, int]] = {}
    alerts: list[Firing] = []
    for turn in turns:
        key = _thing(turn)
        opened_at, rank = began.get(key, (turn.at, 0))
        began[key] = (opened_at, max(rank, turn.rank))
        if turn.step == "resolved":
            alerts.append(_firing(turn, *began.pop(key), resolved_at=turn.at))
    for turn in states:
        key = _thing(turn)
        if key in began:
            alerts.append(_firing(turn, *began.pop(key), resolved_at=None))
    alerts.sort(key=lambda alert: (alert.opened_at, alert.component))
    seconds = sum(((a.resolved_at or last) - a.opened_at).total_seconds() for a in alerts)
    return Outcome(alerts=alerts, firing_s=seconds, messages=len(turns))


def _firing(turn: Turn, opened_at: datetime, rank: int, *, resolved_at: datetime | None) -> Firing:
    return Firing(
        opened_at=opened_at,
        resolved_at=resolved_at,
        level=LEVELS[rank - 1],
        component=turn.component,
        labels=turn.labels,
        peak=turn.peak,
    )
