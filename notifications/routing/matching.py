"""Decides which routes an alert takes and which group it joins. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from msgspec import Struct

from model.matching import several
from model.series import Category
from model.severity import Level
from notifications.oncall.rotation import active_until, activity
from notifications.oncall.wall_clock import zone_of
from notifications.routing.model import EACH, Hours, Route, RouteMatcher

LEVELS = tuple(Level)
AnyRoute = TypeVar("AnyRoute", bound=Route)
OWN_FIELDS = ("rule", "component", "category")
QUIET_MAX = timedelta(days=15)
"""Longer than any quiet hours: they leave some time of each week."""


class RoutedAlert(Struct, frozen=True, kw_only=True):
    """The fields of an alert that routes compare."""

    rule: str
    level: Level
    category: Category
    component: str
    labels: Mapping[str, str] = {}


def routes_of(routes: Iterable[AnyRoute], alert: RoutedAlert, at: datetime) -> list[AnyRoute]:
    """Return the routes that an alert takes. `routes` are the enabled routes in order."""
    found: list[AnyRoute] = []
    for route in routes:
        if matches(route.matcher, alert, at, zone_of(route.tz)):
            found.append(route)
            if not route.continue_:
                break
    return found


def matches(matcher: RouteMatcher, alert: RoutedAlert, at: datetime, zone: ZoneInfo) -> bool:
    """Return whether an alert meets all conditions of a matcher at a time."""
    return (
        _is_one(matcher.rule, alert.rule)
        and _is_one(matcher.component, alert.component)
        and _is_one(matcher.category, alert.category)
        and _is_one(matcher.level, alert.level)
        and (matcher.min_level is None or is_at_least(alert.level, matcher.min_level))
        and matcher.labels.items() <= alert.labels.items()
        and activity(matcher.hours, at, zone)[0]
    )


def is_at_least(level: Level, lowest: Level) -> bool:
    """Return whether a level is at least as severe as another."""
    return LEVELS.index(level) >= LEVELS.index(lowest)


def group_labels(route: Route, alert: RoutedAlert) -> dict[str, str]:
    """Return the labels that all alerts of a group share, without those that the alert lacks."""
    fields = {name: str(getattr(alert, name)) for name in OWN_FIELDS}
    # A field of the alert takes precedence over a label of the same name.
    known = {**alert.labels, **fields}
    if EACH in route.group_by:
        return known
    return {name: known[name] for name in route.group_by if name in known}


def quiet_until(hours: Hours, at: datetime, zone: ZoneInfo) -> datetime | None:
    """Return the end of the quiet hours at a time. None: there are none at that time."""
    return active_until(hours, at, zone, QUIET_MAX)


def _is_one(wanted: str | Sequence[str] | None, value: str) -> bool:
    return wanted is None or value in several(wanted)
