"""Alerts: what people do to them, and reading them back."""

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
RESOLVE_OF_RULES, RESOLVE_OF_COMPONENTS = (
    queries.fill(_QUERIES["resolve_all"], which=_PARTS[which], cleared=_PARTS["cleared"])
    for which in ("of_rules", "of_components")
)
ACKNOWLEDGE = _QUERIES["acknowledge"]
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
"""Alerts in one message: a storm must not become one that no client can take."""


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
    """An alert as everybody sees it: in answers, on the live stream, in the bus."""

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
    """What suppresses its notifications, such as `silence:3`; of a resolved one, what did."""
    is_flapping: bool
    """Whether it opened because its rule flaps."""


class Filter(Struct, frozen=True, kw_only=True):
    """What a list is limited to; `before` is the cursor: ids below it."""

    level: Level | None = None
    category: Category | None = None
    component: str | None = None
    rule: str | None = None
    state: State | None = None
    suppressed: bool | None = None
    before: int = ID_MAX


def alert_events(changed: Sequence[Alert]) -> list[tuple[str, object]]:
    """Return the events that announce alerts: the open ones together, each resolved one alone."""
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
    """Write one row of an alert's audit, with its level and value as they are now."""
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
    """Resolve an alert; False when it was not open."""
    return await _act(connection, RESOLVE, alert_id, time, actor)


async def resolve_of_rules(
    connection: Connection, rules: Sequence[str], time: datetime, actor: str
) -> list[int]:
    """Resolve what rules that are about to go have raised, with the audit; return the ids."""
    return await _resolve_all(
        connection, RESOLVE_OF_RULES, rules, time, actor, "the rule was deleted"
    )


async def resolve_of_components(
    connection: Connection, components: Sequence[str], time: datetime, actor: str
) -> list[int]:
    """Resolve the alerts of components that nobody watches, with the audit; return the ids."""
    return await _resolve_all(
        connection, RESOLVE_OF_COMPONENTS, components, time, actor, "no longer watched"
    )


async def acknowledge(connection: Connection, alert_id: int, time: datetime, actor: str) -> bool:
    """Acknowledge an alert; False when it was not firing."""
    return await _act(connection, ACKNOWLEDGE, alert_id, time, actor)


async def reopen(connection: Connection, alert_id: int, time: datetime, actor: str) -> bool:
    """Let a resolved alert fire again; False when it cannot."""
    return await _act(connection, REOPEN, alert_id, time, actor)


async def read(connection: Connection, ids: Sequence[int]) -> list[Alert]:
    """Return the alerts with these ids, as far as they exist, in their order."""
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
    """Delete what was resolved before a time, some at a time."""
    while await queries.run(connection, DROP_OLD, before=before, limit=DROPPED_TOGETHER):
        pass


async def active(connection: Connection, wanted: Filter, limit: int) -> list[Alert]:
    """Return open alerts, newest first."""
    return await queries.rows(connection, Alert, ACTIVE, **_parameters(wanted), limit=limit)


async def past(
    connection: Connection, wanted: Filter, start: datetime, end: datetime, limit: int
) -> list[Alert]:
    """Return alerts that were open at some time of a range, newest first."""
    return await queries.rows(
        connection, Alert, PAST, **_parameters(wanted), start=start, end=end, limit=limit
    )


async def _act(
    connection: Connection, query: queries.Query, alert_id: int, time: datetime, actor: str
) -> bool:
    """Do something to one alert while nobody else changes any; False when its state forbids it."""
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
    """In one statement, however many they are: nobody changes alerts meanwhile."""
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
