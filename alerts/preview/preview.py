"""What a rule would have done in the past: the very evaluation, from minute to minute."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from itertools import groupby, zip_longest

import msgspec
import psycopg
from msgspec import Struct, field

from alerts.evaluation import cost
from alerts.preview import coverage, range_evaluation
from alerts.preview.coverage import Gap, Late
from alerts.preview.range_evaluation import EvaluatedInstance, Reach, Span
from alerts.rules import store as rules
from alerts.rules.model import Rule
from alerts.suppression import suppress
from alerts.suppression.suppress import PreviewedTransition
from db.queries import Connection
from model.errors import InvalidError
from model.severity import Level
from model.times import utc_now

RANGE_MAX = timedelta(days=31)
MINUTE = timedelta(minutes=1)
CELLS_MAX = 20_000
"""Instances times minutes in one statement: the embedded engine serves nobody else meanwhile."""
MINUTES_MAX = 720
ROWS_TOGETHER_MAX, ROWS_MAX = 500_000, 500_000_000
"""What one statement reads, about a second; and all of them, which is minutes."""
ALERTS_MAX = 10_000
STRAYS_SHOWN_MAX = 10
LEVELS = list(Level)
SHOWN = "%Y-%m-%d %H:%M"

Connect = Callable[[], AbstractAsyncContextManager[Connection]]
Advance = Callable[[float], None]


class Firing(Struct, frozen=True):
    """One alert that there would have been; open at the end without `resolved_at`."""

    opened_at: datetime
    resolved_at: datetime | None
    level: Level
    component: str
    labels: dict[str, str]
    peak: float | None


class Outcome(Struct, frozen=True, kw_only=True):
    """What a rule makes of a range of time.

    `messages` are the transitions that people would hear of, `suppressed` those that they would
    not. Before `partial_from` not all that the rule looks at is kept any more.
    """

    alerts: list[Firing] = field(default_factory=list)
    firing_s: float = 0.0
    messages: int = 0
    suppressed: int = 0
    partial_from: datetime | None = None


class Present(Outcome, frozen=True, kw_only=True):
    """What the saved rule makes of it; `error` says why it cannot be evaluated."""

    error: str | None = None


class Preview(Outcome, frozen=True, kw_only=True):
    """The outcome of a rule, each transition, and the outcome of the present one of its name.

    `late` are the first of `late_total` samples that these rules see here, and would not have seen
    at their minute; `not_evaluated` the first of `not_evaluated_total` spans that are left out, as
    nobody looked at them.
    """

    events: list[PreviewedTransition]
    present: Present | None
    start: datetime
    end: datetime
    late: list[Late]
    late_total: int
    not_evaluated: list[Gap]
    not_evaluated_total: int


class _PreviewedRule(Struct, frozen=True):
    """A rule, the rules that read what it looks at, and what of it can be seen."""

    rule: Rule
    readers: list[Rule]
    reach: Reach

    @property
    def evaluations(self) -> int:
        return len(self.readers) + (self.rule.kind == "composite") if self.rule.enabled else 0


class _Past(Struct, frozen=True):
    """What rules are evaluated over; `advance` is told how many minutes more are done."""

    connect: Connect
    thresholds: Mapping[str, object]
    first: datetime
    last: datetime
    advance: Advance


async def run(
    connect: Connect,
    rule: Rule,
    thresholds: Mapping[str, object],
    start: datetime,
    end: datetime,
    *,
    now: datetime | None = None,
    advance: Advance = lambda _: None,
) -> Preview:
    """Evaluate a rule at every whole minute of a range. Raises InvalidError if it cannot be.

    `advance` is called with each part of the whole, which is 1, that is done.
    """
    first, last = _minutes(start, end)
    async with connect() as connection:
        now = now or utc_now()
        draft = await _previewed(connection, msgspec.structs.replace(rule, enabled=True), now)
        saved = [
            await _previewed(connection, s.rule, now)
            for s in await rules.read(connection, rule.name)
        ]
        readers = [reader for previewed in (draft, *saved) for reader in previewed.readers]
        latecomers, late_total = await coverage.of_rules(connection, readers, first, last)
        gaps, gaps_total = await coverage.gaps(connection, first, last)
    minutes = sum(previewed.evaluations for previewed in (draft, *saved)) * (
        (last - first) // MINUTE + 1
    )
    past = _Past(connect, thresholds, first, last, lambda done: advance(done / minutes))
    events, outcome = await _outcome(past, draft)
    present = [await _present(past, previewed) for previewed in saved]
    return Preview(
        **msgspec.structs.asdict(outcome),
        events=events,
        present=present[0] if present else None,
        start=first,
        end=last,
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


async def _previewed(connection: Connection, rule: Rule, now: datetime) -> _PreviewedRule:
    readers = [rule] if rule.kind != "composite" else await _members(connection, rule)
    return _PreviewedRule(rule, readers, await range_evaluation.reach_of(connection, readers, now))


async def _members(connection: Connection, rule: Rule) -> list[Rule]:
    """Return the rules that a composite names and that are on."""
    names = {*rule.all_of, *rule.any_of, *rule.none_of}
    found = await rules.named(connection, names - {rule.name})
    strays = names - {member.name for member in found if member.kind != "composite"}
    if strays:
        shown = ", ".join(sorted(strays)[:STRAYS_SHOWN_MAX])
        raise InvalidError(
            f"a composite may reference only existing, non-composite rules; it references {shown}"
        )
    return [member for member in found if member.enabled]


async def _outcome(
    past: _Past, previewed: _PreviewedRule
) -> tuple[list[PreviewedTransition], Outcome]:
    if not previewed.rule.enabled:
        return [], Outcome()
    spans = await _spans(past, previewed) if previewed.rule.kind == "composite" else None
    transitions, states = await _evaluate_range(
        past, previewed.rule, previewed.reach.instances, spans
    )
    events = [_previewed_transition(evaluated) for evaluated in transitions]
    async with past.connect() as connection:
        suppressed = await suppress.count_suppressed(connection, previewed.rule, events)
    alerts = _alerts(transitions, states)
    kept_from = previewed.reach.kept_from
    return events, Outcome(
        alerts=alerts,
        firing_s=sum(((a.resolved_at or past.last) - a.opened_at).total_seconds() for a in alerts),
        messages=len(events) - suppressed,
        suppressed=suppressed,
        partial_from=kept_from if kept_from is not None and kept_from > past.first else None,
    )


async def _present(past: _Past, previewed: _PreviewedRule) -> Present:
    """Return the outcome of the saved rule; that it fails is in the way of no better one."""
    try:
        _, outcome = await _outcome(past, previewed)
    except InvalidError as error:
        return Present(error=str(error))
    return Present(**msgspec.structs.asdict(outcome))


async def _spans(past: _Past, previewed: _PreviewedRule) -> list[Span]:
    """Evaluate the rules that a composite names, and return when they fire."""
    spans: list[Span] = []
    for member in previewed.readers:
        transitions, _ = await _evaluate_range(past, member, previewed.reach.instances)
        spans += _spans_of(member.name, transitions)
    return spans


def _spans_of(name: str, transitions: list[EvaluatedInstance]) -> list[Span]:
    """Return how long a rule fired about each instance, at each level."""
    spans: list[Span] = []
    for _, group in groupby(sorted(transitions, key=_instance_of), key=_instance_of):
        steps = list(group)
        spans += [
            Span(
                name, evaluated.component, evaluated.rank, evaluated.at, after.at if after else None
            )
            for evaluated, after in zip_longest(steps, steps[1:])
            if evaluated.transition != "resolved"
        ]
    return spans


async def _evaluate_range(
    past: _Past, rule: Rule, instances: int, spans: list[Span] | None = None
) -> tuple[list[EvaluatedInstance], list[EvaluatedInstance]]:
    """Evaluate in pieces, each from the end of the one before; return transitions and states."""
    async with past.connect() as connection:
        rows = await cost.rows_of(connection, rule, past.last)
    if rows * ((past.last - past.first) // MINUTE) > ROWS_MAX:
        raise InvalidError(f"the preview would read over {ROWS_MAX:,} rows: ask for less time")
    minutes = min(MINUTES_MAX, CELLS_MAX // max(instances, 1), ROWS_TOGETHER_MAX // max(rows, 1))
    states: list[EvaluatedInstance] = []
    transitions: list[EvaluatedInstance] = []
    at = past.first
    while at <= past.last and len(transitions) <= ALERTS_MAX:
        until = min(at + (max(minutes, 1) - 1) * MINUTE, past.last)
        found = await _piece(past, rule, at, until, states, spans)
        transitions += [evaluated for evaluated in found if evaluated.transition is not None]
        # Of minutes that were never evaluated there is nothing: all stands as it stood.
        states = [evaluated for evaluated in found if evaluated.at == found[-1].at] or states
        past.advance((until - at) // MINUTE + 1)
        at = until + MINUTE
    if len(transitions) > ALERTS_MAX:
        raise InvalidError(
            f"the rule would have taken over {ALERTS_MAX} transitions; ask for less time"
        )
    return transitions, states


async def _piece(
    past: _Past,
    rule: Rule,
    at: datetime,
    until: datetime,
    states: list[EvaluatedInstance],
    spans: list[Span] | None,
) -> list[EvaluatedInstance]:
    try:
        async with past.connect() as connection:
            return await range_evaluation.run(
                connection, [rule], past.thresholds, at, until, states, spans
            )
    except (psycopg.DataError, psycopg.errors.ProgramLimitExceeded) as error:
        raise InvalidError(
            f"rule {rule.name!r} cannot be evaluated between {at:{SHOWN}} and {until:{SHOWN}} UTC: "
            f"{error.diag.message_primary or error}; live it would be in the state error there"
        ) from None


def _instance_of(evaluated: EvaluatedInstance) -> tuple[str, tuple[tuple[str, str], ...]]:
    return evaluated.component, tuple(sorted(evaluated.labels.items()))


def _previewed_transition(evaluated: EvaluatedInstance) -> PreviewedTransition:
    return PreviewedTransition(
        time=evaluated.at,
        type=evaluated.transition or "",
        level=LEVELS[evaluated.rank - 1],
        component=evaluated.component,
        labels=evaluated.labels,
        value=evaluated.value,
        comment=evaluated.reason,
    )


def _alerts(transitions: list[EvaluatedInstance], states: list[EvaluatedInstance]) -> list[Firing]:
    """Put the transitions of each instance together to alerts, at their most severe level."""
    began: dict[tuple[str, tuple[tuple[str, str], ...]], tuple[datetime, int]] = {}
    alerts: list[Firing] = []
    for evaluated in transitions:
        key = _instance_of(evaluated)
        opened_at, rank = began.get(key, (evaluated.at, 0))
        began[key] = (opened_at, max(rank, evaluated.rank))
        if evaluated.transition == "resolved":
            alerts.append(_firing(evaluated, *began.pop(key), resolved_at=evaluated.at))
    for evaluated in states:
        key = _instance_of(evaluated)
        if key in began:
            alerts.append(_firing(evaluated, *began.pop(key), resolved_at=None))
    return sorted(alerts, key=lambda alert: (alert.opened_at, alert.component))


def _firing(
    evaluated: EvaluatedInstance, opened_at: datetime, rank: int, *, resolved_at: datetime | None
) -> Firing:
    return Firing(
        opened_at=opened_at,
        resolved_at=resolved_at,
        level=LEVELS[rank - 1],
        component=evaluated.component,
        labels=evaluated.labels,
        peak=evaluated.peak,
    )
