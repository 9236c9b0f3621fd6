"""The one evaluation: every rule at one minute, and the same over the past for a rule on trial."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct
from psycopg.types.json import Jsonb

from db import queries, targets
from db.queries import Connection
from db.rules import Rule, columns

_QUERIES = queries.load("evaluation")
_PARTS = queries.load_parts("evaluation")
_OBSERVED = queries.load_parts("observed")
_LIFE = queries.load_parts("life")
_COMPOSITE = queries.load_parts("composite")
LOCK = _QUERIES["lock"]
BEGIN = _QUERIES["begin"]
SKIP = _QUERIES["skip"]
REWIND = _QUERIES["rewind"]
TICK = _QUERIES["tick"]
REACH_OF_PAST = _QUERIES["reach_of_past"]
PLAN_FOR_MANY = _QUERIES["plan_for_many"]


SOURCES = {world: _PARTS[f"{world}.source"] for world in ("live", "probe", "draft")}


def _of_minutes(which: str) -> queries.Query:
    """Return what reads the 1m tier: of all its columns only those that are asked for."""
    slots = ("aggregates", "columns", "source")
    return queries.fill(
        _OBSERVED["of_minutes"], **{slot: _OBSERVED[f"{which}.{slot}"] for slot in slots}
    )


def _statements(query: queries.Query, world: str) -> tuple[queries.Query, queries.Query]:
    """Return what looks at the data, and what looks at other rules."""
    of_data, of_rules = (
        queries.fill(
            query,
            rules=_PARTS["rules"],
            readings=_PARTS[looks],
            covered=_PARTS["covered"],
            looked_at=_PARTS[f"{'live' if world == 'live' else 'draft'}.looked_at"],
            targets=targets.of(SOURCES[world]),
            observed=_OBSERVED["observed"],
            sums=_of_minutes("sums"),
            moments=_of_minutes("moments"),
            verdicts=_PARTS["verdicts"],
            composed=_COMPOSITE["composed"],
            judged=_LIFE["judged"],
            moving=_PARTS["moving"],
            judges=_LIFE["probe.judges" if world == "probe" else f"{looks}.judges"],
            step=_LIFE["step"],
            source=SOURCES[world],
            error=_PARTS[f"{world}.error"],
            wanted=_PARTS[f"{'live' if world == 'live' else 'draft'}.wanted"],
            present=_PARTS[f"{'live' if world == 'live' else 'draft'}.present"],
            spans=_COMPOSITE[f"{'draft' if world == 'draft' else 'live'}.spans"],
            known=_COMPOSITE[f"{'draft' if world == 'draft' else 'live'}.known"],
        )
        for looks in ("of_data", "of_rules")
    )
    return of_data, of_rules


EVALUATE, EVALUATE_COMPOSITES = _statements(_QUERIES["evaluate"], "live")
REPLAY, REPLAY_COMPOSITES = _statements(_QUERIES["replay"], "draft")
PROBE, PROBE_COMPOSITES = _statements(_QUERIES["probe"], "probe")

MINUTE = timedelta(minutes=1)
SWEEP = timedelta(minutes=10)
"""What needs no more of the past is read of all series at once."""
TIMEOUT_MS = 10_000
TOLERANCE_S = 3600
"""After a longer time in which nobody looked, what was pending or calm starts anew."""
GRACE_S = 600
"""After a shorter one, what is pending waits at least this long."""

CLOCK_WRONG = timedelta(hours=1)
"""A minute so long before the newest one is evaluated all the same."""


class Share(Struct, frozen=True):
    """One of so many equal parts of all that rules look at."""

    number: int = 0
    count: int = 1

    @property
    def is_last(self) -> bool:
        return self.number == self.count - 1


class TooManyError(Exception):
    """So much changes in this minute that it is to be evaluated in shares; nothing was changed."""

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} changes at once")
        self.count = count


class PassedError(Exception):
    """Another replica was faster, or the clock was set back a little; nothing was changed."""


class Step(Struct, frozen=True):
    """One step that an evaluation made an alert take."""

    alert_id: int
    step: str


class _Taken(Struct, frozen=True):
    """A step; without one, how many changes there are, which are too many."""

    alert_id: int
    step: str | None


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


class Clock(Struct, frozen=True):
    """The newest minute that was evaluated; and whether there are rules over rules."""

    evaluated_at: datetime | None
    has_composites: bool

    def is_past(self, at: datetime) -> bool:
        """Whether a minute is over; one of much longer ago says that the clock was wrong."""
        if self.evaluated_at is None:
            return False
        return timedelta(0) < self.evaluated_at - at < CLOCK_WRONG


class Span(Struct, frozen=True):
    """How long a rule fired at one level; without `until` it still does."""

    name: str
    component: str
    rank: int
    since: datetime
    until: datetime | None


async def lock(connection: Connection) -> Clock:
    """Let nobody else change alerts before this transaction ends; return the newest minute."""
    [clock] = await queries.rows(connection, Clock, LOCK)
    return clock


async def evaluate(
    connection: Connection,
    at: datetime,
    thresholds: Mapping[str, object],
    share: Share = Share(),  # noqa: B008 (it is frozen)
    *,
    at_most: int | None = None,
    tolerance_s: float = TOLERANCE_S,
    grace_s: float = GRACE_S,
    timeout_ms: int = TIMEOUT_MS,
) -> list[Step]:
    """Evaluate every rule over the windows that end at a whole minute; return the steps taken.

    In a transaction of the caller's: the clock is held, and the planner set, until its end. Of a
    minute in shares the last one judges composites and moves the clock. Raises TooManyError when
    more than `at_most` things would change, PassedError when a later minute was evaluated already.
    """
    clock = await lock(connection)
    if clock.is_past(at):
        raise PassedError
    await targets.cover(connection)
    await queries.run(connection, BEGIN, at=at)
    given = await _plan(connection, at, thresholds, clock, timeout_ms, tolerance_s, grace_s)
    steps = await _steps(connection, EVALUATE, share, at_most, given)
    if share.is_last:
        if clock.has_composites:
            steps += await _steps(connection, EVALUATE_COMPOSITES, Share(), None, given)
        await _tick(connection, clock.evaluated_at, at)
    return steps


async def _plan(
    connection: Connection,
    at: datetime,
    thresholds: Mapping[str, object],
    clock: Clock,
    timeout_ms: int,
    tolerance_s: float = TOLERANCE_S,
    grace_s: float = GRACE_S,
) -> dict[str, object]:
    """Set planner and time limit of the transaction; return what is asked of one minute."""
    await queries.run(connection, PLAN_FOR_MANY, timeout_ms=timeout_ms)
    return {
        "start": at,
        "end": at,
        "last_at": clock.evaluated_at,
        "minutes": 0,
        "swept_from": at - SWEEP,
        "thresholds": Jsonb(dict(thresholds)),
        "tolerance_s": tolerance_s,
        "grace_s": grace_s,
    }


async def _tick(connection: Connection, since: datetime | None, at: datetime) -> None:
    """Move the clock, and record the minutes that nobody will look at any more."""
    if since is not None and at - since > MINUTE:
        await queries.run(connection, SKIP, since=since, at=at)
    if since is not None and at < since:
        await queries.run(connection, REWIND, at=at)
    await queries.run(connection, TICK, at=at)


async def _steps(
    connection: Connection,
    statement: queries.Query,
    share: Share,
    at_most: int | None,
    given: Mapping[str, object],
) -> list[Step]:
    taken = await queries.rows(
        connection,
        _Taken,
        statement,
        share=share.number,
        shares=share.count,
        at_most=at_most,
        **given,
    )
    if taken and taken[-1].step is None:
        raise TooManyError(taken[-1].alert_id)
    return [Step(one.alert_id, one.step or "") for one in taken]


async def probe(
    connection: Connection,
    at: datetime,
    thresholds: Mapping[str, object],
    rule_ids: Sequence[int],
    timeout_ms: int,
) -> None:
    """Judge all that some rules look at; rules that cannot be evaluated raise psycopg.Error."""
    given = await _plan(connection, at, thresholds, await lock(connection), timeout_ms)
    await _run_probe(connection, PROBE, rule_ids, given)


async def probe_composites(
    connection: Connection,
    at: datetime,
    thresholds: Mapping[str, object],
    rule_ids: Sequence[int],
    timeout_ms: int,
) -> None:
    """Judge composites by what the others say at this minute, which is to be undone afterwards."""
    clock = await lock(connection)
    given = await _plan(connection, at, thresholds, clock, TIMEOUT_MS)
    await _steps(connection, EVALUATE, Share(), None, given)
    given = await _plan(connection, at, thresholds, clock, timeout_ms)
    await _run_probe(connection, PROBE_COMPOSITES, rule_ids, given)


async def _run_probe(
    connection: Connection,
    statement: queries.Query,
    rule_ids: Sequence[int],
    given: Mapping[str, object],
) -> None:
    ids = list(rule_ids)
    await queries.run(connection, statement, rule_ids=ids, share=0, shares=1, at_most=None, **given)


async def replay(
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
