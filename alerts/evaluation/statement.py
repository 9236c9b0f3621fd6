"""The SQL statement that evaluates every rule at one minute.

`evaluate` takes these steps in the caller's transaction:

1. Lock the evaluation clock. If this minute or a later one is evaluated, raise PassedError.
2. Bring `rule_series` and `rule_inputs` up to date.
3. Publish the minute in the sequence `alert_minute`, from which writers learn what is late.
4. Set the planner and the time limit for this transaction.
5. Run the statement for rules over data. After the last shard, run it for composites too.
6. After the last shard, record gaps and move the clock.

alerts/preview/range_evaluation.py runs the same parts over the past. statement.composed.sql shows
the statements with all parts filled in.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from psycopg.types.json import Jsonb

from alerts.clock import Clock, PassedError, lock
from alerts.evaluation import rule_series
from db import queries
from db.queries import Connection
from model.limits import REMOVAL_GRACE

_QUERIES = queries.load(__file__)
_PARTS = queries.load_parts(__file__)
_AGGREGATES = queries.load_parts(__file__, "window_aggregates")
_STATE_MACHINE = queries.load_parts(__file__, "state_machine")
_COMPOSITE = queries.load_parts(__file__, "composite")
BEGIN = _QUERIES["begin"]
SKIP = _QUERIES["skip"]
REWIND = _QUERIES["rewind"]
TICK = _QUERIES["tick"]
PLAN_FOR_MANY = _QUERIES["plan_for_many"]
SOURCES = {mode: _PARTS[f"{mode}.source"] for mode in ("live", "probe", "draft")}


def _instants(rows: str) -> queries.Query:
    """Return the join that lists the instants at which a row counts, for `minutes` or `samples`."""
    slots = ("minute", "time")
    return queries.fill(
        _AGGREGATES["instants"], **{slot: _AGGREGATES[f"{rows}.{slot}"] for slot in slots}
    )


def _of_minutes(which: str) -> queries.Query:
    """Return the query of the 1m tier for the `basic` or the `extended` aggregates."""
    slots = ("aggregates", "columns", "source")
    return queries.fill(
        _AGGREGATES["of_minutes"],
        instants=_instants("minutes"),
        **{slot: _AGGREGATES[f"{which}.{slot}"] for slot in slots},
    )


def statements(query: queries.Query, mode: str) -> tuple[queries.Query, queries.Query]:
    """Return the statement for rules over data, and the statement for composites.

    `mode` selects the rules: `live` all stored ones, `probe` some stored ones, `draft` given ones.
    """
    of_data, of_rules = (
        queries.fill(
            query,
            rules=_PARTS["rules"],
            readings=_PARTS[looks],
            covered=_PARTS["covered"],
            looked_at=_PARTS[f"{'live' if mode == 'live' else 'draft'}.looked_at"],
            rule_series=rule_series.of(SOURCES[mode]),
            **rule_series.INPUTS,
            window_aggregates=_AGGREGATES["window_aggregates"],
            basic_aggregates=_of_minutes("basic_aggregates"),
            extended_aggregates=_of_minutes("extended_aggregates"),
            instants=_instants("samples"),
            breaches=_PARTS["breaches"],
            composed=_COMPOSITE["composed"],
            evaluated=_STATE_MACHINE["evaluated"],
            moving=_PARTS["moving"],
            evaluates=_STATE_MACHINE[
                "probe.evaluates" if mode == "probe" else f"{looks}.evaluates"
            ],
            transition=_STATE_MACHINE["transition"],
            source=SOURCES[mode],
            error=_PARTS[f"{mode}.error"],
            wanted=_PARTS[f"{'live' if mode == 'live' else 'draft'}.wanted"],
            present=_PARTS[f"{'live' if mode == 'live' else 'draft'}.present"],
            spans=_COMPOSITE[f"{'draft' if mode == 'draft' else 'live'}.spans"],
            known=_COMPOSITE[f"{'draft' if mode == 'draft' else 'live'}.known"],
        )
        for looks in ("of_data", "of_rules")
    )
    return of_data, of_rules


EVALUATE, EVALUATE_COMPOSITES = statements(_QUERIES["evaluate"], "live")
PROBE, PROBE_COMPOSITES = statements(_QUERIES["probe"], "probe")

MINUTE = timedelta(minutes=1)
SWEEP = timedelta(minutes=10)
"""Inputs that reach back no further are read in one scan over all series."""
TIMEOUT_MS = 10_000
TOLERANCE_S = 3600
"""After a longer evaluation gap, the timers of pending and clear instances restart."""
GRACE_S = 600
"""After a shorter gap, a pending instance waits at least this long before it fires."""


class Shard(Struct, frozen=True):
    """One of `count` equal parts of all instances."""

    number: int = 0
    count: int = 1

    @property
    def is_last(self) -> bool:
        return self.number == self.count - 1


class TooManyError(Exception):
    """Too many instances change for one transaction: evaluate in shards. Nothing was changed."""

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} changes at once")
        self.count = count


class Transition(Struct, frozen=True):
    """A transition of an alert that an evaluation stored."""

    alert_id: int
    transition: str


class _Taken(Struct, frozen=True):
    """A transition. If there were too many, `transition` is null and `alert_id` is their number."""

    alert_id: int
    transition: str | None


async def evaluate(
    connection: Connection,
    at: datetime,
    thresholds: Mapping[str, object],
    shard: Shard = Shard(),  # noqa: B008 (it is frozen)
    *,
    at_most: int | None = None,
    tolerance_s: float = TOLERANCE_S,
    grace_s: float = GRACE_S,
    timeout_ms: int = TIMEOUT_MS,
) -> list[Transition]:
    """Evaluate every rule over the windows that end at a whole minute; return the transitions.

    Runs in the caller's transaction. The lock of the clock and the planner settings last until its
    end. Raises TooManyError if more than `at_most` instances would change, PassedError if this
    minute or a later one was evaluated, psycopg.Error if a rule cannot be evaluated.
    """
    clock = await lock(connection)
    if clock.is_past(at):
        raise PassedError
    await rule_series.cover(connection)
    await queries.run(connection, BEGIN, at=at)
    given = await _plan(connection, at, thresholds, clock, timeout_ms, tolerance_s, grace_s)
    transitions = await _transitions(connection, EVALUATE, shard, at_most, given)
    if shard.is_last:
        if clock.has_composites:
            transitions += await _transitions(connection, EVALUATE_COMPOSITES, Shard(), None, given)
        await _tick(connection, clock.evaluated_at, at)
    return transitions


async def _plan(
    connection: Connection,
    at: datetime,
    thresholds: Mapping[str, object],
    clock: Clock,
    timeout_ms: int,
    tolerance_s: float = TOLERANCE_S,
    grace_s: float = GRACE_S,
) -> dict[str, object]:
    """Set planner and time limit of the transaction; return the parameters of one minute."""
    await queries.run(connection, PLAN_FOR_MANY, timeout_ms=timeout_ms)
    return {
        "start": at,
        "end": at,
        "last_at": clock.evaluated_at,
        "minutes": 0,
        "swept_from": at - SWEEP,
        "removal_grace": REMOVAL_GRACE,
        "thresholds": Jsonb(dict(thresholds)),
        "tolerance_s": tolerance_s,
        "grace_s": grace_s,
    }


async def _tick(connection: Connection, since: datetime | None, at: datetime) -> None:
    """Move the clock, and record the minutes in between as an evaluation gap."""
    if since is not None and at - since > MINUTE:
        await queries.run(connection, SKIP, since=since, at=at)
    if since is not None and at < since:
        await queries.run(connection, REWIND, at=at)
    await queries.run(connection, TICK, at=at)


async def _transitions(
    connection: Connection,
    statement: queries.Query,
    shard: Shard,
    at_most: int | None,
    given: Mapping[str, object],
) -> list[Transition]:
    taken = await queries.rows(
        connection,
        _Taken,
        statement,
        shard=shard.number,
        shards=shard.count,
        at_most=at_most,
        **given,
    )
    if taken and taken[-1].transition is None:
        raise TooManyError(taken[-1].alert_id)
    return [Transition(one.alert_id, one.transition or "") for one in taken]


async def probe(
    connection: Connection,
    at: datetime,
    thresholds: Mapping[str, object],
    rule_ids: Sequence[int],
    timeout_ms: int,
) -> None:
    """Evaluate some rules over data and discard the result. Raises psycopg.Error if that fails."""
    given = await _plan(connection, at, thresholds, await lock(connection), timeout_ms)
    await _run_probe(connection, PROBE, rule_ids, given)


async def probe_composites(
    connection: Connection,
    at: datetime,
    thresholds: Mapping[str, object],
    rule_ids: Sequence[int],
    timeout_ms: int,
) -> None:
    """Evaluate some composites and discard the result. Raises psycopg.Error if that fails.

    Composites read the states of other rules, so these are evaluated first, and stored. The caller
    must roll the transaction back.
    """
    clock = await lock(connection)
    given = await _plan(connection, at, thresholds, clock, TIMEOUT_MS)
    await _transitions(connection, EVALUATE, Shard(), None, given)
    given = await _plan(connection, at, thresholds, clock, timeout_ms)
    await _run_probe(connection, PROBE_COMPOSITES, rule_ids, given)


async def _run_probe(
    connection: Connection,
    statement: queries.Query,
    rule_ids: Sequence[int],
    given: Mapping[str, object],
) -> None:
    ids = list(rule_ids)
    await queries.run(connection, statement, rule_ids=ids, shard=0, shards=1, at_most=None, **given)
