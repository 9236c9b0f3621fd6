"""The one evaluation: every rule at one minute; db/replay.py has the same over the past."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from psycopg.types.json import Jsonb

from db import queries, targets
from db.queries import Connection

_QUERIES = queries.load("evaluation")
_PARTS = queries.load_parts("evaluation")
_OBSERVED = queries.load_parts("observed")
_LIFE = queries.load_parts("life")
_COMPOSITE = queries.load_parts("composite")
LOCK = _QUERIES["lock"]
READ_CLOCK = _QUERIES["read_clock"]
BEGIN = _QUERIES["begin"]
SKIP = _QUERIES["skip"]
REWIND = _QUERIES["rewind"]
TICK = _QUERIES["tick"]
PLAN_FOR_MANY = _QUERIES["plan_for_many"]
SOURCES = {world: _PARTS[f"{world}.source"] for world in ("live", "probe", "draft")}


def _of_minutes(which: str) -> queries.Query:
    """Return what reads the 1m tier: of all its columns only those that are asked for."""
    slots = ("aggregates", "columns", "source")
    return queries.fill(
        _OBSERVED["of_minutes"], **{slot: _OBSERVED[f"{which}.{slot}"] for slot in slots}
    )


def statements(query: queries.Query, world: str) -> tuple[queries.Query, queries.Query]:
    """Return a statement that looks at the data, and one that looks at other rules.

    Of a world: the rules that are there (live), those of them on probation, or drafts.
    """
    of_data, of_rules = (
        queries.fill(
            query,
            rules=_PARTS["rules"],
            readings=_PARTS[looks],
            covered=_PARTS["covered"],
            looked_at=_PARTS[f"{'live' if world == 'live' else 'draft'}.looked_at"],
            targets=targets.of(SOURCES[world]),
            **targets.NEEDS,
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


EVALUATE, EVALUATE_COMPOSITES = statements(_QUERIES["evaluate"], "live")
PROBE, PROBE_COMPOSITES = statements(_QUERIES["probe"], "probe")

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
AHEAD_MAX = timedelta(minutes=2)
"""A newest minute so far ahead of the database's clock was evaluated by a clock that was wrong."""


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


class Clock(Struct, frozen=True):
    """The newest minute that was evaluated; and whether there are rules over rules."""

    evaluated_at: datetime | None
    has_composites: bool
    now: datetime
    """By the database, which all replicas share."""

    def is_past(self, at: datetime) -> bool:
        """Whether a minute is over; not when the newest one is of a clock that was wrong."""
        if self.evaluated_at is None or self.evaluated_at > self.now + AHEAD_MAX:
            return False
        return timedelta(0) < self.evaluated_at - at < CLOCK_WRONG


async def lock(connection: Connection) -> Clock:
    """Let nobody else change alerts before this transaction ends; return the newest minute."""
    [clock] = await queries.rows(connection, Clock, LOCK)
    return clock


async def read_clock(connection: Connection) -> Clock:
    """Return the newest minute, and what time it is; holds nobody up."""
    [clock] = await queries.rows(connection, Clock, READ_CLOCK)
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
