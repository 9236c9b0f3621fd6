"""Previews: what a rule would have done in the past, by the same evaluation, minute by minute.

`run` takes these steps:

1. Read the stored rule of the same name, the members of composites, and what is known of the range:
   late samples, evaluation gaps, and from when on all inputs are kept.
2. For a composite, evaluate its members over the range and note when each fires.
3. Evaluate the rule over the range in pieces. Each starts with the states at the end of the last.
4. Count the transitions that silences and maintenance windows would suppress.
5. Repeat 2 to 4 for the stored rule, so that both outcomes can be compared.
"""

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
"""Most instances times minutes in one statement: the embedded engine runs one at a time."""
MINUTES_MAX = 720
ROWS_TOGETHER_MAX, ROWS_MAX = 500_000, 500_000_000
"""Most rows that one statement reads (about a second), and a whole preview (some minutes)."""
ALERTS_MAX = 10_000
STRAYS_SHOWN_MAX = 10
LEVELS = list(Level)
SHOWN = "%Y-%m-%d %H:%M"

Connect = Callable[[], AbstractAsyncContextManager[Connection]]
Advance = Callable[[float], None]


class Firing(Struct, frozen=True):
    """An alert that would have opened; without `resolved_at` it is open at the end of the range."""

    opened_at: datetime
    resolved_at: datetime | None
    level: Level
    component: str
    labels: dict[str, str]
    peak: float | None


class Outcome(Struct, frozen=True, kw_only=True):
    """What a rule would have done in a time range.

    `messages` counts the transitions that notify people, `suppressed` those that do not. Before
    `partial_from` some inputs of the rule are no longer kept.
    """

    alerts: list[Firing] = field(default_factory=list)
    firing_s: float = 0.0
    messages: int = 0
    suppressed: int = 0
    partial_from: datetime | None = None


class Present(Outcome, frozen=True, kw_only=True):
    """The outcome of the stored rule; `error` says why it cannot be evaluated."""

    error: str | None = None


class Preview(Outcome, frozen=True, kw_only=True):
    """The outcome of a rule, its transitions, and the outcome of the stored rule of its name.

    `late` lists the first of `late_total` groups of samples that the preview reads, but that live
    evaluation could not read in time. `not_evaluated` lists the first of `not_evaluated_total`
    evaluation gaps, which the preview leaves out.
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
    """A rule, the rules that read data for it (itself, or a composite's members), and the reach."""

    rule: Rule
    readers: list[Rule]
    reach: Reach

    @property
    def evaluations(self) -> int:
        return len(self.readers) + (self.rule.kind == "composite") if self.rule.enabled else 0


class _Past(Struct, frozen=True):
    """The range to evaluate over; `advance` is called with the number of minutes just done."""

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
    """Evaluate a rule at every whole minute of a range.

    `advance` is called with the fraction of the work just done; the fractions add up to 1.
    Raises InvalidError if the range is invalid, if the preview would read too many rows, or if the
    rule cannot be evaluated.
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
        raise InvalidError("end must be after start, by at least 1 minute and at most 31 days")
    return first, last


async def _previewed(connection: Connection, rule: Rule, now: datetime) -> _PreviewedRule:
    readers = [rule] if rule.kind != "composite" else await _members(connection, rule)
    return _PreviewedRule(rule, readers, await range_evaluation.reach_of(connection, readers, now))


async def _members(connection: Connection, rule: Rule) -> list[Rule]:
    """Return the enabled rules that a composite references. Raises InvalidError for bad names."""
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
    """Return the outcome of the stored rule. If it fails, return the reason: the draft may work."""
    try:
        _, outcome = await _outcome(past, previewed)
    except InvalidError as error:
        return Present(error=str(error))
    return Present(**msgspec.structs.asdict(outcome))


async def _spans(past: _Past, previewed: _PreviewedRule) -> list[Span]:
    """Evaluate the rules that a composite references, and return when they fire."""
    spans: list[Span] = []
    for member in previewed.readers:
        transitions, _ = await _evaluate_range(past, member, previewed.reach.instances)
        spans += _spans_of(member.name, transitions)
    return spans


def _spans_of(name: str, transitions: list[EvaluatedInstance]) -> list[Span]:
    """Return the spans in which a rule fired for each instance, one for each level."""
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
        raise InvalidError(
            f"the preview would read more than {ROWS_MAX:,} rows; choose a shorter time range"
        )
    minutes = min(MINUTES_MAX, CELLS_MAX // max(instances, 1), ROWS_TOGETHER_MAX // max(rows, 1))
    states: list[EvaluatedInstance] = []
    transitions: list[EvaluatedInstance] = []
    at = past.first
    while at <= past.last and len(transitions) <= ALERTS_MAX:
        until = min(at + (max(minutes, 1) - 1) * MINUTE, past.last)
        found = await _piece(past, rule, at, until, states, spans)
        transitions += [evaluated for evaluated in found if evaluated.transition is not None]
        # A piece that lies within an evaluation gap returns nothing: the states stay.
        states = [evaluated for evaluated in found if evaluated.at == found[-1].at] or states
        past.advance((until - at) // MINUTE + 1)
        at = until + MINUTE
    if len(transitions) > ALERTS_MAX:
        raise InvalidError(
            f"the rule would cause more than {ALERTS_MAX:,} transitions; "
            "choose a shorter time range"
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
            f"{error.diag.message_primary or error}; live, it would be in the state error"
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
    """Combine the transitions of each instance into alerts with their most severe level."""
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
