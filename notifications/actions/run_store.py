"""Stores runs of actions and their results."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from msgspec import Struct

from db import queries
from db.queries import Connection
from model.series import Category
from model.severity import Level

_QUERIES = queries.load(__file__)
OPENED = _QUERIES["opened"]
REQUEST = _QUERIES["request"]
TAKE_BACK = _QUERIES["take_back"]
CLAIM = _QUERIES["claim"]
FINISH = _QUERIES["finish"]
TRY_AGAIN = _QUERIES["try_again"]
READ = _QUERIES["read"]

ID_MAX = 2**63 - 1


class RunState(StrEnum):
    """The state of a run."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    """Final, after several tries."""
    SKIPPED = "skipped"
    """It was too late, or its action was deleted."""


class OpenedAlert(Struct, frozen=True, kw_only=True):
    """A transition that may start actions, and its alert."""

    transition_id: int
    alert_id: int
    level: Level
    category: Category
    component: str
    rule: str
    labels: dict[str, str]


class DueRun(Struct, frozen=True, kw_only=True):
    """A run that this process has leased."""

    id: int
    action: str
    kind: str
    alert_id: int
    transition_id: int
    requested_at: datetime
    attempts: int


class ActionRun(Struct, frozen=True, kw_only=True):
    """A run in an answer of the API."""

    id: int
    action: str
    kind: str
    alert_id: int
    alert: str
    requested_at: datetime
    run_at: datetime
    state: RunState
    attempts: int
    finished_at: datetime | None
    result: str


async def opened(connection: Connection, transition_ids: Sequence[int]) -> list[OpenedAlert]:
    """Return the alerts that opened or became more severe."""
    return await queries.rows(connection, OpenedAlert, OPENED, ids=list(transition_ids))


async def request(
    connection: Connection,
    action: str,
    kind: str,
    started_by: Sequence[OpenedAlert],
    now: datetime,
    run_at: datetime,
    since: datetime,
) -> int:
    """Write runs of an action, unless it was started after `since`. Return their number."""
    return await queries.run(
        connection,
        REQUEST,
        action=action,
        kind=kind,
        alert_ids=[one.alert_id for one in started_by],
        transition_ids=[one.transition_id for one in started_by],
        now=now,
        run_at=run_at,
        since=since,
    )


async def take_back(connection: Connection, kind: str, lease: UUID) -> None:
    """Return the runs of a dead process to the queue."""
    await queries.run(connection, TAKE_BACK, of_kind=kind, lease=lease)


async def claim(
    connection: Connection, kind: str, now: datetime, lease: UUID, lease_until: datetime
) -> DueRun | None:
    """Lease a due run. No other process gets it until the lease ends."""
    return await queries.first(
        connection, DueRun, CLAIM, of_kind=kind, now=now, lease=lease, lease_until=lease_until
    )


async def finish(
    connection: Connection, run: DueRun, now: datetime, state: RunState, result: str
) -> None:
    """Store the result of a run."""
    await queries.run(connection, FINISH, id=run.id, now=now, state=state, result=result)


async def try_again(connection: Connection, run: DueRun, run_at: datetime, result: str) -> None:
    """Store why a try failed, and the time of the next try."""
    await queries.run(connection, TRY_AGAIN, id=run.id, run_at=run_at, result=result)


async def read_all(connection: Connection, before: int, limit: int) -> list[ActionRun]:
    """Return runs with a number below `before`, newest first."""
    return await queries.rows(connection, ActionRun, READ, before=before, limit=limit)
