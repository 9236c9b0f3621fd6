"""Quarantine of rules that cannot be evaluated.

A quarantined rule keeps the reason, raises one alert `rule-error`, and is tried again after five
minutes.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime

import psycopg
from msgspec import Struct

from alerts.evaluation import cost, rule_series, statement
from alerts.evaluation.statement import Transition
from db import queries
from db.queries import Connection
from db.unfit import UNFIT
from model.text import clean

_QUERIES = queries.load(__file__)
FAIL = _QUERIES["fail"]
RECOVER = _QUERIES["recover"]
TO_RETRY = _QUERIES["to_retry"]
TRIED = _QUERIES["tried"]
CANDIDATES = _QUERIES["candidates"]
SYNC_RULE_ERRORS = _QUERIES["sync_rule_errors"]

RULE_FAULTS = (
    psycopg.DataError,
    psycopg.InternalError,
    psycopg.ProgrammingError,
    psycopg.errors.QueryCanceled,
    psycopg.errors.ProgramLimitExceeded,
)
"""Database errors that a rule or its data may cause."""
RETRIED_MAX = 20
COST_MINUTES = 5
"""Every so many minutes the cost of all rules is estimated again."""


class Limits(Struct, frozen=True):
    """Time limits of evaluation and probes. The embedded engine cannot interrupt a statement."""

    evaluation_ms: int = statement.TIMEOUT_MS
    probe_ms: int = 2_000
    """Limit of one probe, of a single rule or of several."""
    together_ms: int = 5_000
    """Limit of all rules together with those to release: half of `evaluation_ms`, for reserve."""
    search_s: float = 20.0
    retry_s: float = 5.0


LIMITS = Limits()


class Candidate(Struct, frozen=True):
    """A rule that may be the cause of a failed evaluation."""

    rule_id: int
    is_composite: bool


async def fail(connection: Connection, rule_ids: Sequence[int], reason: str, at: datetime) -> None:
    """Quarantine rules with a reason: they enter the state `error`."""
    await queries.run(connection, FAIL, rule_ids=list(rule_ids), reason=clean(reason), at=at)


async def recover(connection: Connection, rule_ids: Sequence[int]) -> None:
    """Release rules from the quarantine."""
    await queries.run(connection, RECOVER, rule_ids=list(rule_ids))


async def sync_rule_errors(connection: Connection, at: datetime) -> list[Transition]:
    """Open one alert for each rule in the state `error`; resolve it when the rule leaves it."""
    return await queries.rows(connection, Transition, SYNC_RULE_ERRORS, at=at)


async def quarantine_costly(connection: Connection, at: datetime) -> None:
    """Quarantine the rules that would read too many rows, before they delay all others.

    Runs if there are new rules or series, and else every COST_MINUTES, because series may have
    become denser.
    """
    if at.minute % COST_MINUTES and not await rule_series.is_stale(connection):
        return
    alike: dict[str, list[int]] = {}
    for rule_id, reason in (await cost.too_costly(connection, at)).items():
        alike.setdefault(reason, []).append(rule_id)
    for reason, rule_ids in alike.items():
        await fail(connection, rule_ids, reason, at)


class Probe(Struct):
    """Evaluates rules at one minute in transactions that are rolled back; counts them."""

    connection: Connection
    at: datetime
    thresholds: Mapping[str, object]
    count: int = 0

    async def fault(
        self, rule_ids: Sequence[int], timeout_ms: int, *, composites: bool = False
    ) -> psycopg.Error | None:
        """Return the error that evaluating these rules together raises, or None."""
        self.count += 1
        judge = statement.probe_composites if composites else statement.probe
        try:
            async with self.connection.transaction(force_rollback=True):
                await judge(self.connection, self.at, self.thresholds, rule_ids, timeout_ms)
        except UNFIT:
            raise
        except RULE_FAULTS as error:
            return error
        return None


def reason_of(fault: psycopg.Error) -> str:
    return fault.diag.message_primary or str(fault)


async def retry(
    connection: Connection,
    at: datetime,
    thresholds: Mapping[str, object],
    limits: Limits = LIMITS,
) -> None:
    """Release quarantined rules that can be evaluated again, within `limits.retry_s`.

    1. Probe each rule that is due by itself. Rules that are still too costly are not probed.
    2. Release composites that pass at once.
    3. Release the others only if they can be evaluated together with all rules that are not
       quarantined. Otherwise drop the costlier half of them and try again.
    """
    ends = time.monotonic() + limits.retry_s
    due = await queries.rows(connection, Candidate, TO_RETRY, at=at, limit=RETRIED_MAX)
    hopeless = await cost.too_costly(connection, at) if due else {}
    probe = Probe(connection, at, thresholds)
    well: list[int] = []
    for one in due:
        if time.monotonic() >= ends:
            break
        await queries.run(connection, TRIED, rule_id=one.rule_id, at=at)
        if one.rule_id in hopeless:
            continue
        fault = await probe.fault([one.rule_id], limits.probe_ms, composites=one.is_composite)
        if fault is None and one.is_composite:
            await recover(connection, [one.rule_id])
        elif fault is None:
            well.append(one.rule_id)
    await _recover_together(probe, well, limits)


async def _recover_together(probe: Probe, well: Sequence[int], limits: Limits) -> None:
    """Release the rules, or the cheaper part of them, that fit the time limit with all others.

    Without this check, rules that are too slow only together would be released and quarantined
    again and again.
    """
    if not well:
        return
    others, costs = await candidates(probe.connection, probe.at)
    well = sorted(well, key=lambda rule_id: costs.get(rule_id, 0))
    alone = [one.rule_id for one in others if not one.is_composite]
    while well and await probe.fault([*alone, *well], limits.together_ms):
        well = well[: len(well) // 2]
    await recover(probe.connection, well)


async def candidates(
    connection: Connection, at: datetime
) -> tuple[list[Candidate], Mapping[int, int]]:
    """Return the rules that are evaluated, and the estimated rows that each of them reads."""
    found = await queries.rows(connection, Candidate, CANDIDATES)
    return found, await cost.rows_by_rule(connection, at)
