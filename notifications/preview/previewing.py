"""Previews an alert: the routes that it takes and the messages that follow.

It only reads. It calls the same functions as routing, grouping and escalation, so its result is
what would happen.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from msgspec import Struct

from db import queries
from db.queries import Connection
from model.severity import Level
from model.times import duration_text, whole_seconds
from notifications import channel_store
from notifications.oncall.escalation import Policy
from notifications.oncall.wall_clock import zone_of
from notifications.preview.model import Preview, PreviewedMessage, TakenRoute
from notifications.preview.steps import Escalated, escalate
from notifications.registry import type_of
from notifications.routing import escalation_store, policy_store, route_store
from notifications.routing.group_store import Place, key_of
from notifications.routing.groups import first_flush, following_tick, timing_of
from notifications.routing.matching import (
    RoutedAlert,
    group_labels,
    is_at_least,
    quiet_until,
    routes_of,
)
from notifications.routing.reach import Reach, read_reach
from notifications.routing.route_store import StoredRoute

_QUERIES = queries.load(__file__)
GROUPS = _QUERIES["groups"]
AHEAD = timedelta(days=1)
"""Steps of policies are listed for this time ahead."""
LISTED_MAX = 1000


class _Group(Struct, frozen=True):
    route_id: int
    key: str
    first_at: datetime
    next_at: datetime | None


async def preview(
    connection: Connection,
    alert: RoutedAlert,
    opened_at: datetime,
    now: datetime,
    suppressed_by: Sequence[str] = (),
) -> Preview:
    """Return what happens with an alert that is routed now, if nothing else changes."""
    routes = await route_store.read_enabled(connection)
    answer = partial(_answer, alert, now, suppressed_by)
    if not routes:
        return answer(messages=await _unrouted(connection, alert, now))
    taken = routes_of(routes, alert, now)
    wanted = [name for route in taken for name in route.channels]
    enabled = await escalation_store.channels(connection, wanted)
    shown = await _taken(connection, taken, alert, opened_at, now, enabled)
    escalated = await _escalated(connection, taken, shown, alert, now)
    messages = [*_grouped(shown), *(one for each in escalated for one in each.messages)]
    return answer(routes=shown, messages=messages, escalated=escalated)


def _answer(
    alert: RoutedAlert,
    now: datetime,
    suppressed_by: Sequence[str],
    *,
    messages: Sequence[PreviewedMessage],
    routes: Sequence[TakenRoute] | None = None,
    escalated: Sequence[Escalated] = (),
) -> Preview:
    steps = sorted((one for each in escalated for one in each.steps), key=lambda step: step.at)
    is_short = len(steps) <= LISTED_MAX and len(messages) <= LISTED_MAX
    return Preview(
        at=now,
        until=now + AHEAD,
        level=alert.level,
        suppressed_by=suppressed_by,
        has_routes=routes is not None,
        routes=routes or (),
        steps=steps[:LISTED_MAX],
        messages=sorted(messages, key=lambda message: message.at)[:LISTED_MAX],
        is_complete=is_short and not any(each.goes_on for each in escalated),
    )


async def _unrouted(
    connection: Connection, alert: RoutedAlert, now: datetime
) -> list[PreviewedMessage]:
    """Return the messages without routes: one to each enabled channel that takes the level."""
    return [
        PreviewedMessage(at=now, route=None, channel=channel.name)
        for channel in reversed(await channel_store.read_all(connection))
        if channel.enabled
        and not type_of(channel.type).follows_bus
        and is_at_least(alert.level, channel.min_level)
    ]


async def _taken(
    connection: Connection,
    routes: Sequence[StoredRoute],
    alert: RoutedAlert,
    opened_at: datetime,
    now: datetime,
    enabled: dict[str, int],
) -> list[TakenRoute]:
    labels = {route.id: group_labels(route, alert) for route in routes}
    places = {route.id: Place(route.id, key_of(labels[route.id])) for route in routes}
    found = await queries.rows(
        connection, _Group, GROUPS, route_ids=list(places), keys=[p.key for p in places.values()]
    )
    groups = {group.route_id: group for group in found}
    return [
        TakenRoute(
            name=route.name,
            position=route.position,
            channels=route.channels,
            disabled=[name for name in route.channels if name not in enabled],
            group=labels[route.id] if route.channels else None,
            is_group_open=route.id in groups,
            sent_at=_sent_at(route, groups.get(route.id), opened_at, now),
            repeated_after=duration_text(whole_seconds(route.repeat) if route.channels else 0),
            policy=route.policy,
            quiet_until=quiet_until(route.quiet_hours, now, zone_of(route.tz)),
        )
        for route in routes
    ]


def _sent_at(
    route: StoredRoute, group: _Group | None, opened_at: datetime, now: datetime
) -> datetime | None:
    """Return when a route sends the alert: the next time of its group outside the quiet hours."""
    if not route.channels:
        return None
    timing = timing_of(route)
    if group is None:
        at = first_flush(timing, opened_at, now)
    else:
        tick = following_tick(timing, group.first_at, now)
        at = max(min(tick, group.next_at or tick), now)
    return quiet_until(route.quiet_hours, at, zone_of(route.tz)) or at


def _grouped(taken: Sequence[TakenRoute]) -> list[PreviewedMessage]:
    """Return the messages of groups.

    A channel of two routes gets the alert once, at the earlier time.
    """
    messages: dict[str, PreviewedMessage] = {}
    timed = [(route.sent_at, route) for route in taken if route.sent_at is not None]
    for at, route in sorted(timed, key=lambda one: one[0]):
        for channel in route.channels:
            if channel not in route.disabled:
                messages.setdefault(
                    channel, PreviewedMessage(at=at, route=route.name, channel=channel)
                )
    return list(messages.values())


async def _escalated(
    connection: Connection,
    routes: Sequence[StoredRoute],
    shown: Sequence[TakenRoute],
    alert: RoutedAlert,
    now: datetime,
) -> list[Escalated]:
    """Return the steps of the policies.

    An alert runs each policy once, for the first route with it.
    """
    stored = {one.name: one.policy() for one in await policy_store.read_all(connection)}
    begun: dict[str, tuple[str, Policy, datetime]] = {}
    for route, taken in zip(routes, shown, strict=True):
        if route.policy in stored:
            begins_at = taken.quiet_until or now
            begun.setdefault(route.policy, (route.name, stored[route.policy], begins_at))
    if not begun:
        return []
    policies, until = [policy for _, policy, _ in begun.values()], now + AHEAD
    reach = await read_reach(connection, policies, now, until)
    run = partial(_escalate, list(begun.values()), alert.level, until, reach)
    return await asyncio.to_thread(run)


def _escalate(
    begun: Sequence[tuple[str, Policy, datetime]], level: Level, until: datetime, reach: Reach
) -> list[Escalated]:
    return [
        escalate(route, policy, level, begins_at, until, reach)
        for route, policy, begins_at in begun
    ]
