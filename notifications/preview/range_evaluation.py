"""Evaluates an escalation policy over past alerts and compares it with the stored policy."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from msgspec import Struct

from db import queries
from db.queries import Connection
from model.errors import InvalidError, NotFoundError
from model.times import whole_seconds
from notifications.contacts import contact_store
from notifications.oncall import schedule_store
from notifications.oncall.escalation import Policy
from notifications.oncall.schedule import Schedule
from notifications.oncall.schedule_store import ScheduleTerms
from notifications.oncall.wall_clock import zone_of
from notifications.oncall.woken import (
    Night,
    Notified,
    PersonCount,
    Transition,
    Unreached,
    Woken,
    as_if_always,
    woken,
)
from notifications.routing import policy_store, route_store
from notifications.routing.matching import RoutedAlert, matches
from notifications.routing.route_store import StoredRoute

_QUERIES = queries.load(__file__)
ALERTS = _QUERIES["alerts"]
TRANSITIONS = _QUERIES["transitions"]

ALERTS_MAX = 5000
"""Each alert may have hundreds of steps, so this bounds the work of one evaluation."""
LISTED_MAX = 1000


class RangeEvaluation(Struct, frozen=True, kw_only=True):
    """The input of a range evaluation: a policy, a range of time and optional schedules."""

    policy: Policy
    start: datetime
    end: datetime
    route: str | None
    """Only alerts that match this route are evaluated. None: all alerts."""
    schedules: Sequence[ScheduleTerms]
    """They replace the stored schedules of the same names for the whole range."""
    night: Night


class RangeEvaluationResult(Struct, frozen=True, kw_only=True):
    """The people whom a policy would have notified, most often woken at night first."""

    policy: str
    start: datetime
    end: datetime
    alerts: int
    people: Sequence[PersonCount]
    present: Sequence[PersonCount] | None
    """The same counts for the stored policy and schedules. Null: no stored policy has this name."""
    notified: Sequence[Notified]
    """The first 1,000 notifications."""
    notified_total: int
    unreached: Sequence[Unreached]
    """The first 1,000 steps whose schedules had nobody on call."""
    unreached_total: int


class _Alert(RoutedAlert, frozen=True, kw_only=True):
    id: int
    opened_at: datetime


async def evaluate(connection: Connection, wanted: RangeEvaluation) -> RangeEvaluationResult:
    """Return the people whom a policy would have notified, beside the stored policy.

    The computation runs in a thread, because it may take longer than 10 ms. Raises InvalidError
    if the range has more than ALERTS_MAX alerts, and NotFoundError if the route does not exist.
    """
    ids = await _alerts(connection, wanted)
    cursor = await connection.execute(TRANSITIONS, {"ids": ids, "end": wanted.end})
    transitions: Sequence[Transition] = await cursor.fetchall()
    found = await schedule_store.load_all(connection, wanted.start, wanted.end)
    stored = {schedule.name: schedule for _, schedule in found}
    zones = {one.name: one.tz for one in await contact_store.read_all(connection)}
    now = await policy_store.read(connection, wanted.policy.name)
    run = partial(_run, transitions, wanted, zones)
    changed = await asyncio.to_thread(run, wanted.policy, stored | _changed_schedules(wanted))
    present = await asyncio.to_thread(run, now.policy(), stored) if now else None
    return RangeEvaluationResult(
        policy=wanted.policy.name,
        start=wanted.start,
        end=wanted.end,
        alerts=len(ids),
        people=changed.people,
        present=present.people if present else None,
        notified=changed.notified[:LISTED_MAX],
        notified_total=len(changed.notified),
        unreached=changed.unreached[:LISTED_MAX],
        unreached_total=len(changed.unreached),
    )


async def _alerts(connection: Connection, wanted: RangeEvaluation) -> list[int]:
    route = await _route(connection, wanted.route)
    found = await queries.rows(
        connection, _Alert, ALERTS, start=wanted.start, end=wanted.end, limit=ALERTS_MAX + 1
    )
    if len(found) > ALERTS_MAX:
        raise InvalidError(
            f"start and end: there are more than {ALERTS_MAX} alerts in this range; "
            "choose a shorter one"
        )
    return [one.id for one in found if _takes(route, one)]


async def _route(connection: Connection, name: str | None) -> StoredRoute | None:
    if name is None:
        return None
    route = await route_store.read(connection, name)
    if route is None:
        raise NotFoundError(f"there is no route {name[:100]!r}")
    return route


def _takes(route: StoredRoute | None, alert: _Alert) -> bool:
    return route is None or matches(route.matcher, alert, alert.opened_at, zone_of(route.tz))


def _changed_schedules(wanted: RangeEvaluation) -> dict[str, Schedule]:
    names = ScheduleTerms.__struct_fields__
    made = [Schedule(**{name: getattr(one, name) for name in names}) for one in wanted.schedules]
    return {one.name: as_if_always(one, wanted.start) for one in made}


def _run(
    transitions: Sequence[Transition],
    wanted: RangeEvaluation,
    zones: Mapping[str, str],
    policy: Policy,
    schedules: Mapping[str, Schedule],
) -> Woken:
    return woken(
        transitions,
        policy,
        schedules,
        zones,
        start=wanted.start,
        end=wanted.end,
        ack_expires_s=whole_seconds(policy.acknowledgement_expires),
        night=wanted.night,
    )
