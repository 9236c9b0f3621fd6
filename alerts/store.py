"""Stores, changes and reads alerts and their audit."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct

from alerts.clock import lock
from db import queries
from db.queries import Connection
from model.series import Category
from model.severity import Level

_QUERIES = queries.load(__file__)
_PARTS = queries.load_parts(__file__)
OPEN_TEST = _QUERIES["open_test"]
LOG_TRANSITION = _QUERIES["log_transition"]
RESOLVE = queries.fill(_QUERIES["resolve"], cleared=_PARTS["cleared"])
RESOLVE_OF_RULES, RESOLVE_OF_COMPONENTS, RESOLVE_OF_HOST, RESOLVE_OF_SENDER = (
    queries.fill(_QUERIES["resolve_all"], which=_PARTS[which], cleared=_PARTS["cleared"])
    for which in ("of_rules", "of_components", "of_host", "of_sender")
)
ACKNOWLEDGE = _QUERIES["acknowledge"]
EXPIRE_ACKNOWLEDGEMENT = _QUERIES["expire_acknowledgement"]
REOPEN = _QUERIES["reopen"]
READ = _QUERIES["read"]
TRANSITIONS = _QUERIES["transitions"]
ACTIVE = _QUERIES["active"]
PAST = _QUERIES["past"]
DROP_OLD = _QUERIES["drop_old"]

ID_MAX = 2**63 - 1
DROPPED_TOGETHER = 1000

State = Literal["firing", "acknowledged", "resolved"]
TOGETHER_MAX = 200
"""Most alerts in one message, so that an alert storm never makes one too large for a client."""


class Logged(Struct, frozen=True):
    """One row of an alert's audit."""

    time: datetime
    type: str
    level: Level
    value: float | None
    threshold: float | None
    actor: str
    comment: str


class Alert(Struct, frozen=True):
    """An alert as the API, the live stream and the bus show it."""

    id: int
    rule: str
    level: Level
    category: Category
    component: str
    labels: dict[str, str]
    title: str
    message: str
    value: float | None
    threshold: float | None
    state: str
    opened_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    resolved_at: datetime | None
    resolved_by: str | None
    suppressed_by: list[str]
    """Causes that suppress its notifications, such as `silence:3`; a resolved one keeps them."""
    is_flapping: bool
    """Whether it opened as one of many openings within the `flap_window` of its rule."""
    metric: str | None = None
    """The metric of the series that it is about; its newest value is the present one."""
    runbook: str | None = None
    """The runbook of its rule."""


class Filter(Struct, frozen=True, kw_only=True):
    """Filters of a list of alerts; `before` is the cursor: only lower ids are returned."""

    level: Level | None = None
    category: Category | None = None
    component: str | None = None
    rule: str | None = None
    state: State | None = None
    suppressed: bool | None = None
    before: int = ID_MAX


def alert_events(changed: Sequence[Alert]) -> list[tuple[str, object]]:
    """Return the bus events for changed alerts: open ones in groups, resolved ones one by one."""
    is_open = [alert for alert in changed if alert.resolved_at is None]
    together: list[tuple[str, object]] = [
        ("alerts", {"snapshot": False, "alerts": is_open[first : first + TOGETHER_MAX]})
        for first in range(0, len(is_open), TOGETHER_MAX)
    ]
    return [*together, *(("alert_resolved", one) for one in changed if one.resolved_at is not None)]


async def open_test(
    connection: Connection,
    time: datetime,
    level: Level,
    category: Category,
    component: str,
    title: str,
    message: str,
) -> int:
    """Open a test alert, which no evaluation resolves, and return its id."""
    alert_id: int = await queries.value(
        connection,
        OPEN_TEST,
        time=time,
        level=level.value,
        category=category.value,
        component=component,
        title=title,
        message=message,
    )
    return alert_id


async def log_transition(
    connection: Connection, alert_id: int, time: datetime, kind: str, actor: str, comment: str = ""
) -> None:
    """Write one audit row of an alert, with its present level and value."""
    await queries.run(
        connection,
        LOG_TRANSITION,
        alert_id=alert_id,
        time=time,
        type=kind,
        actor=actor,
        comment=comment,
    )


async def resolve(connection: Connection, alert_id: int, time: datetime, actor: str) -> bool:
    """Resolve an alert; return False if it was not open."""
    return await _act(connection, RESOLVE, alert_id, time, actor)


async def resolve_of_rules(
    connection: Connection, rules: Sequence[str], time: datetime, actor: str
) -> list[int]:
    """Resolve the open alerts of rules that are about to be deleted, with audit; return the ids."""
    return await _resolve_all(
        connection, RESOLVE_OF_RULES, rules, time, actor, "the rule was deleted"
    )


async def resolve_of_components(
    connection: Connection, components: Sequence[str], time: datetime, actor: str
) -> list[int]:
    """Resolve the open alerts of removed components, with audit; return the ids."""
    return await _resolve_all(
        connection, RESOLVE_OF_COMPONENTS, components, time, actor, "no longer watched"
    )


async def resolve_of_hosts(
    connection: Connection, name: str, kinds: Sequence[str], time: datetime, actor: str
) -> list[int]:
    """Resolve the open alerts of a removed host, with audit; return the ids.

    `kinds` has `host` if it is a value of the label, and `component` if it sends without it.
    """
    ids: list[int] = []
    for kind, query in (("host", RESOLVE_OF_HOST), ("component", RESOLVE_OF_SENDER)):
        if kind in kinds:
            comment = "the host was removed"
            ids += await _resolve_all(connection, query, [name], time, actor, comment)
    return ids


async def acknowledge(connection: Connection, alert_id: int, time: datetime, actor: str) -> bool:
    """Acknowledge an alert; return False if it was not firing."""
    return await _act(connection, ACKNOWLEDGE, alert_id, time, actor)


async def expire_acknowledgement(
    connection: Connection, alert_id: int, time: datetime, actor: str
) -> bool:
    """Make an acknowledged alert a firing one again; False: it is not acknowledged."""
    return await _act(connection, EXPIRE_ACKNOWLEDGEMENT, alert_id, time, actor)


async def reopen(connection: Connection, alert_id: int, time: datetime, actor: str) -> bool:
    """Reopen a resolved alert as firing; return False if its state or its rule forbids it."""
    return await _act(connection, REOPEN, alert_id, time, actor)


async def read(connection: Connection, ids: Sequence[int]) -> list[Alert]:
    """Return the alerts with these ids, ordered by id. Ids that do not exist are left out."""
    return await queries.rows(connection, Alert, READ, ids=list(ids))


async def transitions(connection: Connection, alert_id: int) -> list[Logged]:
    """Return an alert's audit, oldest first."""
    return (await transitions_of(connection, [alert_id]))[alert_id]


async def transitions_of(connection: Connection, ids: Sequence[int]) -> dict[int, list[Logged]]:
    """Return the audit of each of some alerts, oldest first."""
    found: dict[int, list[Logged]] = {alert_id: [] for alert_id in ids}
    for row in await queries.rows(connection, dict[str, Any], TRANSITIONS, ids=list(ids)):
        found[row.pop("alert_id")].append(msgspec.convert(row, Logged))
    return found


async def drop_old(connection: Connection, before: datetime) -> None:
    """Delete the alerts that were resolved before a time, in small batches."""
    while await queries.run(connection, DROP_OLD, before=before, limit=DROPPED_TOGETHER):
        pass


async def active(connection: Connection, wanted: Filter, limit: int) -> list[Alert]:
    """Return open alerts, newest first."""
    return await queries.rows(connection, Alert, ACTIVE, **_parameters(wanted), limit=limit)


async def past(
    connection: Connection, wanted: Filter, start: datetime, end: datetime, limit: int
) -> list[Alert]:
    """Return alerts that were open at any time within a range, newest first."""
    return await queries.rows(
        connection, Alert, PAST, **_parameters(wanted), start=start, end=end, limit=limit
    )


async def _act(
    connection: Connection, query: queries.Query, alert_id: int, time: datetime, actor: str
) -> bool:
    """Change one alert while the clock is locked; return False if its state forbids it."""
    await lock(connection)
    return bool(await queries.value(connection, query, alert_id=alert_id, time=time, actor=actor))


async def _resolve_all(
    connection: Connection,
    query: queries.Query,
    names: Sequence[str],
    time: datetime,
    actor: str,
    comment: str,
) -> list[int]:
    """Resolve alerts in one statement while the clock is locked; return their ids."""
    await lock(connection)
    ids: list[int] | None = await queries.value(
        connection, query, names=list(names), time=time, actor=actor, comment=comment
    )
    return ids or []


def _parameters(wanted: Filter) -> dict[str, object]:
    return {
        "level": wanted.level,
        "category": wanted.category,
        "component": wanted.component,
        "rule": wanted.rule,
        "state": wanted.state,
        "suppressed": wanted.suppressed,
        "before": wanted.before,
    }
