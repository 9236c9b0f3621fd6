"""Routes transitions of alerts to groups and escalations, or to every channel without routes."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from db.queries import Connection
from notifications.oncall.wall_clock import zone_of
from notifications.outbox import enqueue as outbox
from notifications.outbox.enqueue import Announced
from notifications.routing import escalation_store, group_store, policy_store, route_store
from notifications.routing.escalation_store import NewEscalation
from notifications.routing.group_store import NewGroup, OpenGroup, Place, key_of
from notifications.routing.groups import first_flush, following_tick, timing_of
from notifications.routing.matching import RoutedAlert, group_labels, quiet_until, routes_of
from notifications.routing.route_store import StoredRoute

ROUTED = frozenset({"opened", "reopened", "unsuppressed", "escalated"})
"""Transitions after which an alert is routed, because it may have new recipients."""


class _Taken(Struct, frozen=True):
    """A route that an alert takes because of a transition, and the group that the alert joins."""

    announced: Announced
    route: StoredRoute
    labels: dict[str, str]
    place: Place


async def enqueue(connection: Connection, now: datetime, transition_ids: Sequence[int]) -> int:
    """Write the notifications that transitions of alerts cause; return the deliveries due at once.

    It runs in the transaction of the transitions, so that either both are stored or neither is.
    A transition is announced once. Enqueuing it again raises an error.

    1. Each transition that people are notified of becomes one notification.
    2. Acknowledgements are stored with running escalations. Escalations of resolved and
       suppressed alerts stop.
    3. If routes are enabled, alerts join the groups of the routes that they take, and start their
       policies. The planner sends both when they are due.
    4. Addresses that already have a delivery about an alert, but no group with it, get the
       transition at once. Without routes, so does every channel that takes the alert's level.
    """
    if not transition_ids:
        return 0
    announced = await outbox.announce(connection, transition_ids)
    routes = await route_store.read_enabled(connection)
    await escalation_store.follow(connection, transition_ids, now)
    if routes and announced:
        taken = _taken(announced, routes, now)
        await _group(connection, announced, taken, {route.id: route for route in routes}, now)
        await _escalate(connection, taken, now)
    return await outbox.deliver(connection, transition_ids, now, is_routed=bool(routes))


def _taken(
    announced: Sequence[Announced], routes: Sequence[StoredRoute], now: datetime
) -> list[_Taken]:
    taken = []
    for one in announced:
        if one.type not in ROUTED or one.is_suppressed:
            continue
        alert = RoutedAlert(
            rule=one.rule,
            level=one.level,
            category=one.category,
            component=one.component,
            labels=one.labels,
        )
        for route in routes_of(routes, alert, now):
            labels = group_labels(route, alert)
            taken.append(_Taken(one, route, labels, Place(route.id, key_of(labels))))
    return taken


async def _group(
    connection: Connection,
    announced: Sequence[Announced],
    taken: Sequence[_Taken],
    routes: dict[int, StoredRoute],
    now: datetime,
) -> None:
    """Add alerts to groups, and schedule the groups in which something has changed."""
    joining = [one for one in taken if one.route.channels]
    alert_ids = sorted({one.alert_id for one in announced})
    locked = await group_store.lock(connection, alert_ids, [one.place for one in joining])
    groups = {group.place: group.id for group in locked}
    if begun := _begun([one for one in joining if one.place not in groups], now):
        groups |= {group.place: group.id for group in await group_store.begin(connection, begun)}
    if joining:
        members = [
            (groups[one.place], one.announced.alert_id, one.announced.notification_id)
            for one in joining
        ]
        await group_store.join(connection, members)
    if locked:
        await group_store.wake(connection, _times(locked, routes, now))


def _begun(joining: Sequence[_Taken], now: datetime) -> list[NewGroup]:
    """Return the groups to create.

    A group is first sent at the earliest time of any of its alerts.
    """
    begun: dict[Place, NewGroup] = {}
    for one in joining:
        first_at = first_flush(timing_of(one.route), one.announced.opened_at, now)
        if one.place not in begun or first_at < begun[one.place].first_at:
            begun[one.place] = NewGroup(place=one.place, labels=one.labels, first_at=first_at)
    return list(begun.values())


def _times(
    groups: Sequence[OpenGroup], routes: dict[int, StoredRoute], now: datetime
) -> dict[int, datetime]:
    times = {}
    for group in groups:
        if route := routes.get(group.route_id):
            tick = following_tick(timing_of(route), group.first_at, now)
            times[group.id] = min(tick, group.next_at or tick)
    return times


async def _escalate(connection: Connection, taken: Sequence[_Taken], now: datetime) -> None:
    """Start the escalations of policies. Quiet hours of a route delay the start."""
    wanted = [one for one in taken if one.route.policy is not None]
    if not wanted:
        return
    policies = {stored.name: stored.policy() for stored in await policy_store.read_all(connection)}
    await escalation_store.begin(
        connection,
        [
            NewEscalation(
                alert_id=one.announced.alert_id,
                transition_id=one.announced.transition_id,
                route=one.route.name,
                policy=policies[one.route.policy],
                started_at=quiet_until(one.route.quiet_hours, now, zone_of(one.route.tz)) or now,
            )
            for one in wanted
            if one.route.policy is not None
        ],
    )
