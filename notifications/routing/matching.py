"""Which routes an alert takes, and with which other alerts it is grouped. Pure."""

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
"""Longer than any quiet hours last, because some time of each week is none."""


class RoutedAlert(Struct, frozen=True, kw_only=True):
    """What routes look at."""

    rule: str
    level: Level
    category: Category
    component: str
    labels: Mapping[str, str] = {}


def routes_of(routes: Iterable[AnyRoute], alert: RoutedAlert, at: datetime) -> list[AnyRoute]:
    """Return the routes that an alert takes, of enabled ones in their order."""
    found: list[AnyRoute] = []
    for route in routes:
        if matches(route.matcher, alert, at, zone_of(route.tz)):
            found.append(route)
            if not route.continue_:
                break
    return found


def matches(matcher: RouteMatcher, alert: RoutedAlert, at: datetime, zone: ZoneInfo) -> bool:
    """Return whether an alert has everything that is given, and the moment is within the hours."""
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
    """Return whether a level is as severe as another, or more."""
    return LEVELS.index(level) >= LEVELS.index(lowest)


def group_labels(route: Route, alert: RoutedAlert) -> dict[str, str]:
    """Return what the alerts of a group have in common; what an alert lacks is left out."""
    fields = {name: str(getattr(alert, name)) for name in OWN_FIELDS}
    # A field of the alert comes before a label of the same name.
    known = {**alert.labels, **fields}
    if EACH in route.group_by:
        return known
    return {name: known[name] for name in route.group_by if name in known}


def quiet_until(hours: Hours, at: datetime, zone: ZoneInfo) -> datetime | None:
    """Return when quiet hours end that a moment lies in; None when it lies in none."""
    return active_until(hours, at, zone, QUIET_MAX)


def _is_one(wanted: str | Sequence[str] | None, value: str) -> bool:
    return wanted is None or value in several(wanted)
