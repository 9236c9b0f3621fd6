"""Range evaluation on stored alerts: whom a policy would have woken, beside the stored policy."""

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
"""A policy may have hundreds of steps for each."""
LISTED_MAX = 1000


class Trial(Struct, frozen=True, kw_only=True):
    """What is tried: a policy, on alerts of a range, with schedules that may be changed."""

    policy: Policy
    start: datetime
    end: datetime
    route: str | None
    """Only alerts that match this route; None: all."""
    schedules: Sequence[ScheduleTerms]
    """They count instead of the stored ones, as if they had always been so."""
    night: Night


class Evaluated(Struct, frozen=True, kw_only=True):
    """Whom a policy would have notified; those who would have been woken most come first."""

    policy: str
    start: datetime
    end: datetime
    alerts: int
    people: Sequence[PersonCount]
    present: Sequence[PersonCount] | None
    """What the stored policy and schedules would have done; null: no policy has this name."""
    notified: Sequence[Notified]
    """The first 1,000."""
    notified_total: int
    unreached: Sequence[Unreached]
    """Steps for which schedules had nobody on call; the first 1,000."""
    unreached_total: int


class _Alert(RoutedAlert, frozen=True, kw_only=True):
    id: int
    opened_at: datetime


async def evaluate(connection: Connection, trial: Trial) -> Evaluated:
    """Try a policy on the past. Raises InvalidError for too many alerts, and NotFoundError."""
    ids = await _alerts(connection, trial)
    cursor = await connection.execute(TRANSITIONS, {"ids": ids, "end": trial.end})
    transitions: Sequence[Transition] = await cursor.fetchall()
    found = await schedule_store.load_all(connection, trial.start, trial.end)
    stored = {schedule.name: schedule for _, schedule in found}
    zones = {one.name: one.tz for one in await contact_store.read_all(connection)}
    now = await policy_store.read(connection, trial.policy.name)
    run = partial(_run, transitions, trial, zones)
    wanted = await asyncio.to_thread(run, trial.policy, stored | _tried(trial))
    present = await asyncio.to_thread(run, now.policy(), stored) if now else None
    return Evaluated(
        policy=trial.policy.name,
        start=trial.start,
        end=trial.end,
        alerts=len(ids),
        people=wanted.people,
        present=present.people if present else None,
        notified=wanted.notified[:LISTED_MAX],
        notified_total=len(wanted.notified),
        unreached=wanted.unreached[:LISTED_MAX],
        unreached_total=len(wanted.unreached),
    )


async def _alerts(connection: Connection, trial: Trial) -> list[int]:
    route = await _route(connection, trial.route)
    found = await queries.rows(
        connection, _Alert, ALERTS, start=trial.start, end=trial.end, limit=ALERTS_MAX + 1
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


def _tried(trial: Trial) -> dict[str, Schedule]:
    names = ScheduleTerms.__struct_fields__
    made = [Schedule(**{name: getattr(one, name) for name in names}) for one in trial.schedules]
    return {one.name: as_if_always(one, trial.start) for one in made}


def _run(
    transitions: Sequence[Transition],
    trial: Trial,
    zones: Mapping[str, str],
    policy: Policy,
    schedules: Mapping[str, Schedule],
) -> Woken:
    return woken(
        transitions,
        policy,
        schedules,
        zones,
        start=trial.start,
        end=trial.end,
        ack_expires_s=whole_seconds(policy.acknowledgement_expires),
        night=trial.night,
    )
