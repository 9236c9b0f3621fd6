"""What a rule would have done in the past: the very evaluation, from minute to minute."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from itertools import groupby, zip_longest

import msgspec
import psycopg
from msgspec import Struct, field

from db import cost, holds, late, replay, rules
from db.holds import Told
from db.late import Gap, Late
from db.queries import Connection
from db.replay import Reach, Span, Turn
from db.rules import Rule
from vigia.model import InvalidError, Level, utc_now

RANGE_MAX = timedelta(days=31)
MINUTE = timedelta(minutes=1)
CELLS_MAX = 20_000
"""Things times minutes in one statement: the embedded engine serves nobody else meanwhile."""
MINUTES_MAX = 720
ROWS_TOGETHER_MAX, ROWS_MAX = 500_000, 500_000_000
"""What one statement reads, about a second; and all of them, which is minutes."""
ALERTS_MAX = 10_000
STRAYS_TOLD_MAX = 10
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

    `messages` are the steps that people would hear of, `held` those that would be held back. Before
    `partial_from` not all that the rule looks at is kept any more.
    """

    alerts: list[Firing] = field(default_factory=list)
    firing_s: float = 0.0
    messages: int = 0
    held: int = 0
    partial_from: datetime | None = None


class Present(Outcome, frozen=True, kw_only=True):
    """What the saved rule makes of it; `error` says why it cannot be evaluated."""

    error: str | None = None


class Trial(Outcome, frozen=True, kw_only=True):
    """The outcome of a rule, each step of it, and the outcome of the present one of its name.

    `late` are the first of `late_total` samples that these rules see here, and would not have seen
    at their minute; `not_evaluated` the first of `not_evaluated_total` spans that are left out, as
    nobody looked at them.
    """

    events: list[Told]
    present: Present | None
    start: datetime
    end: datetime
    late: list[Late]
    late_total: int
    not_evaluated: list[Gap]
    not_evaluated_total: int


class _Tried(Struct, frozen=True):
    """A rule, the rules that read what it looks at, and what of it can be seen."""

    rule: Rule
    readers: list[Rule]
    reach: Reach

    @property
    def replays(self) -> int:
        return len(self.readers) + (self.rule.kind == "composite") if self.rule.enabled else 0


class _Past(Struct, frozen=True):
    """What rules are tried on; `advance` is told how many minutes more are done."""

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
) -> Trial:
    """Evaluate a rule at every whole minute of a range. Raises InvalidError if it cannot be.

    `advance` is called with each part of the whole, which is 1, that is done.
    """
    first, last = _minutes(start, end)
    async with connect() as connection:
        now = now or utc_now()
        draft = await _tried(connection, msgspec.structs.replace(rule, enabled=True), now)
        saved = [
            await _tried(connection, s.rule, now) for s in await rules.read(connection, rule.name)
        ]
        readers = [reader for tried in (draft, *saved) for reader in tried.readers]
        latecomers, late_total = await late.of_rules(connection, readers, first, last)
        gaps, gaps_total = await late.gaps(connection, first, last)
    minutes = sum(tried.replays for tried in (draft, *saved)) * ((last - first) // MINUTE + 1)
    past = _Past(connect, thresholds, first, last, lambda done: advance(done / minutes))
    told, outcome = await _outcome(past, draft)
    present = [await _present(past, tried) for tried in saved]
    return Trial(
        **msgspec.structs.asdict(outcome),
        events=told,
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


async def _tried(connection: Connection, rule: Rule, now: datetime) -> _Tried:
    readers = [rule] if rule.kind != "composite" else await _members(connection, rule)
    return _Tried(rule, readers, await replay.reach_of(connection, readers, now))


async def _members(connection: Connection, rule: Rule) -> list[Rule]:
    """Return the rules that a composite names and that are on."""
    names = {*rule.all_of, *rule.any_of, *rule.none_of}
    found = await rules.named(connection, names - {rule.name})
    strays = names - {member.name for member in found if member.kind != "composite"}
    if strays:
        told = ", ".join(sorted(strays)[:STRAYS_TOLD_MAX])
        raise InvalidError(f"a composite names rules that are there, and no composites: not {told}")
    return [member for member in found if member.enabled]


async def _outcome(past: _Past, tried: _Tried) -> tuple[list[Told], Outcome]:
    if not tried.rule.enabled:
        return [], Outcome()
    spans = await _spans(past, tried) if tried.rule.kind == "composite" else None
    turns, states = await _replay(past, tried.rule, tried.reach.things, spans)
    told = [_told(turn) for turn in turns]
    async with past.connect() as connection:
        held = await holds.count_held(connection, tried.rule, told)
    alerts = _alerts(turns, states)
    kept_from = tried.reach.kept_from
    return told, Outcome(
        alerts=alerts,
        firing_s=sum(((a.resolved_at or past.last) - a.opened_at).total_seconds() for a in alerts),
        messages=len(told) - held,
        held=held,
        partial_from=kept_from if kept_from is not None and kept_from > past.first else None,
    )


async def _present(past: _Past, tried: _Tried) -> Present:
    """Return the outcome of the saved rule; that it fails is in the way of no better one."""
    try:
        _, outcome = await _outcome(past, tried)
    except InvalidError as error:
        return Present(error=str(error))
    return Present(**msgspec.structs.asdict(outcome))


async def _spans(past: _Past, tried: _Tried) -> list[Span]:
    """Evaluate the rules that a composite names, and return when they fire."""
    spans: list[Span] = []
    for member in tried.readers:
        turns, _ = await _replay(past, member, tried.reach.things)
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
    past: _Past, rule: Rule, things: int, spans: list[Span] | None = None
) -> tuple[list[Turn], list[Turn]]:
    """Evaluate in pieces, each from where the one before it ended; return steps and last states."""
    async with past.connect() as connection:
        rows = await cost.rows_of(connection, rule, past.last)
    if rows * ((past.last - past.first) // MINUTE) > ROWS_MAX:
        raise InvalidError(f"the trial would read over {ROWS_MAX:,} rows: ask for less time")
    minutes = min(MINUTES_MAX, CELLS_MAX // max(things, 1), ROWS_TOGETHER_MAX // max(rows, 1))
    states: list[Turn] = []
    turns: list[Turn] = []
    at = past.first
    while at <= past.last and len(turns) <= ALERTS_MAX:
        until = min(at + (max(minutes, 1) - 1) * MINUTE, past.last)
        found = await _piece(past, rule, at, until, states, spans)
        turns += [turn for turn in found if turn.step is not None]
        # Of minutes that were never evaluated there is nothing: all stands as it stood.
        states = [turn for turn in found if turn.at == found[-1].at] or states
        past.advance((until - at) // MINUTE + 1)
        at = until + MINUTE
    if len(turns) > ALERTS_MAX:
        raise InvalidError(f"the rule would have taken over {ALERTS_MAX} steps; ask for less time")
    return turns, states


async def _piece(
    past: _Past,
    rule: Rule,
    at: datetime,
    until: datetime,
    states: list[Turn],
    spans: list[Span] | None,
) -> list[Turn]:
    try:
        async with past.connect() as connection:
            return await replay.run(connection, [rule], past.thresholds, at, until, states, spans)
    except (psycopg.DataError, psycopg.errors.ProgramLimitExceeded) as error:
        raise InvalidError(
            f"rule {rule.name!r} cannot be evaluated between {at:{SHOWN}} and {until:{SHOWN}} UTC: "
            f"{error.diag.message_primary or error}; live it would be in the state error there"
        ) from None


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


def _alerts(turns: list[Turn], states: list[Turn]) -> list[Firing]:
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
    return sorted(alerts, key=lambda alert: (alert.opened_at, alert.component))


def _firing(turn: Turn, opened_at: datetime, rank: int, *, resolved_at: datetime | None) -> Firing:
    return Firing(
        opened_at=opened_at,
        resolved_at=resolved_at,
        level=LEVELS[rank - 1],
        component=turn.component,
        labels=turn.labels,
        peak=turn.peak,
    )
