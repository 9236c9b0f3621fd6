"""Rules that cannot be evaluated: found, set aside with the reason, told once, and tried again."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import psycopg

from db import cost, evaluation, queries
from db.evaluation import Step
from db.queries import Connection

_QUERIES = queries.load("faults")
FAIL = _QUERIES["fail"]
RECOVER = _QUERIES["recover"]
TO_RETRY = _QUERIES["to_retry"]
EVERY_ID = _QUERIES["every_id"]
SETTLE = _QUERIES["settle"]

RULE_FAULTS = (
    psycopg.DataError,
    psycopg.InternalError,
    psycopg.ProgrammingError,
    psycopg.errors.QueryCanceled,
    psycopg.errors.ProgramLimitExceeded,
)
"""What a rule or its data may be the cause of."""
RETRIED_MAX = 20


async def fail(connection: Connection, rule_id: int, reason: str, at: datetime) -> None:
    """Set a rule aside: from now on it is in the state `error`."""
    await queries.run(connection, FAIL, rule_id=rule_id, reason=reason, at=at)


async def recover(connection: Connection, rule_ids: Sequence[int]) -> None:
    """Let rules be evaluated again."""
    await queries.run(connection, RECOVER, rule_ids=list(rule_ids))


async def settle(connection: Connection, at: datetime) -> list[Step]:
    """Open an alert for each rule that has come into the state `error`, resolve those of others."""
    return await queries.rows(connection, Step, SETTLE, at=at)


async def set_aside_costly(connection: Connection, at: datetime) -> None:
    """Set aside the rules for which there is no time, before they hold up all others."""
    for rule_id, reason in (await cost.too_costly(connection)).items():
        await fail(connection, rule_id, reason, at)


async def set_aside(
    connection: Connection, at: datetime, thresholds: Mapping[str, object]
) -> dict[int, str]:
    """Find the rules that an evaluation fails of, by halves, and set them aside."""
    ids: list[int] = await queries.value(connection, EVERY_ID) or []
    found = await _culprits(connection, at, thresholds, ids)
    for rule_id, reason in found.items():
        await fail(connection, rule_id, reason, at)
    return found


async def retry(connection: Connection, at: datetime, thresholds: Mapping[str, object]) -> None:
    """Try again some of those that were set aside."""
    due: list[int] = await queries.value(connection, TO_RETRY, at=at, limit=RETRIED_MAX) or []
    hopeless = await cost.too_costly(connection) if due else {}
    for one in due:
        if one not in hopeless and await _fault(connection, at, thresholds, [one]) is None:
            await recover(connection, [one])


async def _culprits(
    connection: Connection, at: datetime, thresholds: Mapping[str, object], ids: Sequence[int]
) -> dict[int, str]:
    reason = await _fault(connection, at, thresholds, ids) if ids else None
    if reason is None:
        return {}
    if len(ids) == 1:
        return {ids[0]: reason}
    middle = len(ids) // 2
    found = await _culprits(connection, at, thresholds, ids[:middle])
    return found | await _culprits(connection, at, thresholds, ids[middle:])


async def _fault(
    connection: Connection, at: datetime, thresholds: Mapping[str, object], ids: Sequence[int]
) -> str | None:
    """Return why some rules cannot be evaluated together, or None."""
    try:
        async with connection.transaction(force_rollback=True):
            await evaluation.probe(connection, at, thresholds, ids)
    except RULE_FAULTS as error:
        return error.diag.message_primary or str(error)
    return None
