"""Sends groups that are due, many groups in each small transaction."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct, field

from db.queries import Connection
from notifications.oncall.wall_clock import zone_of
from notifications.outbox.pacing import GROUP_ALERTS_MAX
from notifications.routing import group_store, route_store
from notifications.routing.group_store import DueGroup, GroupMessage, StoredMember, Times
from notifications.routing.groups import Flush, flush, next_flush, timing_of
from notifications.routing.matching import quiet_until
from notifications.routing.route_store import StoredRoute

GROUPS_TOGETHER = 100
FIRST, OTHER = 2, 3
"""Priorities of deliveries. Alerts that are new to their recipients are sent before others."""


class _Outcome(Struct):
    """The rows to write for a batch of groups, collected so that each kind needs one statement."""

    messages: list[GroupMessage] = field(default_factory=list)
    changes: list[tuple[int, StoredMember]] = field(default_factory=list)
    sent: list[StoredMember] = field(default_factory=list)
    passed: list[StoredMember] = field(default_factory=list)
    left: list[StoredMember] = field(default_factory=list)
    times: list[Times] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)


async def flush_due(connection: Connection, now: datetime) -> int:
    """Send a batch of due groups and return how many there were.

    It opens its own transaction. The number of statements is constant, however many groups and
    alerts there are.
    """
    async with connection.transaction():
        due = await group_store.due(connection, now, GROUPS_TOGETHER)
        if due:
            routes = {route.id: route for route in await route_store.read_all(connection)}
            await _flush(connection, due, routes, now)
    return len(due)


async def flush_route(connection: Connection, route: str, now: datetime) -> None:
    """Send the waiting messages of a route's groups at once, then delete the groups.

    It runs in the transaction that disables or deletes the route. Channels that were notified of an
    alert are still notified that it resolved, because that needs no group.
    """
    groups = await group_store.of_route(connection, route)
    if groups:
        routes = {one.id: one for one in await route_store.read_all(connection)}
        await _flush(connection, groups, routes, now, is_quiet_ignored=True)
        await group_store.end(connection, [group.id for group in groups])


async def _flush(
    connection: Connection,
    groups: Sequence[DueGroup],
    routes: Mapping[int, StoredRoute],
    now: datetime,
    *,
    is_quiet_ignored: bool = False,
) -> None:
    of_group = defaultdict(list)
    for member in await group_store.members(connection, [group.id for group in groups]):
        of_group[member.group_id].append(member)
    outcome = _Outcome()
    for group in groups:
        route = routes[group.route_id]
        quiet = quiet_until(route.quiet_hours, now, zone_of(route.tz))
        if quiet is not None and not is_quiet_ignored:
            _wait(outcome, group, quiet)
        else:
            _decide(outcome, group, of_group[group.id], route, now)
    await _write(connection, outcome, now)


def _wait(outcome: _Outcome, group: DueGroup, until: datetime) -> None:
    times = Times(group_id=group.id, next_at=until, sent_at=group.sent_at, messages=group.messages)
    outcome.times.append(times)


def _decide(
    outcome: _Outcome,
    group: DueGroup,
    members: Sequence[StoredMember],
    route: StoredRoute,
    now: datetime,
) -> None:
    timing, known = timing_of(route), {member.alert_id: member for member in members}
    decided = flush(members, timing, group.sent_at, now)
    messages = _messages(outcome, group, decided, known)
    outcome.messages += messages
    outcome.sent += [known[alert_id] for alert_id in decided.changed]
    outcome.passed += [known[alert_id] for alert_id in decided.passed]
    outcome.left += [known[alert_id] for alert_id in decided.left]
    if len(decided.left) == len(members):
        outcome.ended.append(group.id)
        return
    sent_at = now if messages else group.sent_at
    times = Times(
        group_id=group.id,
        next_at=next_flush(timing, group.first_at, sent_at, now),
        sent_at=sent_at,
        messages=group.messages + len(messages),
    )
    outcome.times.append(times)


def _messages(
    outcome: _Outcome, group: DueGroup, decided: Flush, known: Mapping[int, StoredMember]
) -> list[GroupMessage]:
    """Return the messages of a group: one, unless it exceeds GROUP_ALERTS_MAX alerts.

    Changed alerts come first. Other firing alerts only fill the last message.
    """
    listed = [*decided.changed, *decided.firing]
    if decided.changed:
        rest = -len(decided.changed) % GROUP_ALERTS_MAX
        listed = listed[: len(decided.changed) + rest]
    messages: list[GroupMessage] = []
    for first in range(0, len(listed), GROUP_ALERTS_MAX):
        alert_ids = listed[first : first + GROUP_ALERTS_MAX]
        message = _message(group, alert_ids, decided, known, group.messages + len(messages) + 1)
        messages.append(message)
        outcome.changes += [
            (message.number, known[alert_id])
            for alert_id in alert_ids[: max(len(decided.changed) - first, 0)]
        ]
    return messages


def _message(
    group: DueGroup,
    alert_ids: Sequence[int],
    decided: Flush,
    known: Mapping[int, StoredMember],
    number: int,
) -> GroupMessage:
    is_repeated = not decided.changed
    event = "group" if len(alert_ids) > 1 else "reminder" if is_repeated else None
    is_new = any(not known[alert_id].is_sent for alert_id in alert_ids)
    return GroupMessage(
        group_id=group.id,
        number=number,
        route_id=group.route_id,
        event=event,
        priority=FIRST if is_new else OTHER,
        alert_ids=alert_ids,
        is_repeated=is_repeated,
    )


async def _write(connection: Connection, outcome: _Outcome, now: datetime) -> None:
    if outcome.messages:
        await group_store.send(connection, now, outcome.messages, outcome.changes)
    if outcome.sent or outcome.passed:
        await group_store.mark(connection, outcome.sent, outcome.passed)
    if outcome.left:
        await group_store.leave(connection, outcome.left)
    if outcome.times:
        await group_store.set_times(connection, outcome.times)
    if outcome.ended:
        await group_store.end(connection, outcome.ended)
