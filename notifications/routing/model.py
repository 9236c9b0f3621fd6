"""Routes: which alerts are sent to which channels or policy, how they are grouped, and when."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Struct, field

from model.matching import Several, Value, check_values
from model.series import Category
from model.severity import Level
from model.text import Name, NonEmptyText, Text, TextLabels
from model.times import DAY_S, HOUR_S, MINUTE_S, WholeDuration, whole_seconds
from notifications.oncall.rotation import ActiveHours, leave_no_time
from notifications.oncall.wall_clock import ZoneName, zone_of

ROUTES_MAX = 200
CHANNELS_MAX = 20
GROUP_BY_MAX = 20
HOURS_MAX = 20
GROUP_WAIT_S = range(HOUR_S + 1)
GROUP_INTERVAL_S = range(10, DAY_S + 1)
REPEAT_S = range(MINUTE_S, 7 * DAY_S + 1)
EACH = "..."
"""In `group_by`: each alert is a group of its own."""
LEVEL = "level"

Hours = Annotated[Sequence[ActiveHours], Meta(max_length=HOURS_MAX)]


class RouteMatcher(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The conditions of a route. An alert must meet all that are given.

    A list matches if it contains the alert's value, as in a silence. `min_level` and `hours` are
    further conditions.
    """

    rule: Value | Annotated[list[Value], Several] | None = None
    component: Value | Annotated[list[Value], Several] | None = None
    category: Category | Annotated[list[Category], Several] | None = None
    level: Level | Annotated[list[Level], Several] | None = None
    labels: TextLabels = field(default_factory=dict)
    min_level: Level | None = None
    hours: Hours = ()
    """In the time zone of the route, when the alert is routed. Empty: always."""

    def __post_init__(self) -> None:
        """Refuse control characters, and freeze the hours so that the struct is immutable."""
        msgspec.structs.force_setattr(self, "hours", tuple(self.hours))
        check_values(self, "rule", "component")


class Route(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where matching alerts are sent: to channels in groups, to an escalation policy, or to both.

    An alert takes the first enabled route that matches. If that route has `continue`, the alert
    also takes the next one that matches.
    """

    name: Name
    title: Text = ""
    matcher: RouteMatcher = field(default_factory=RouteMatcher)
    continue_: bool = field(default=False, name="continue")
    channels: Annotated[Sequence[Name], Meta(max_length=CHANNELS_MAX)] = ()
    policy: Name | None = None
    group_by: Annotated[Sequence[NonEmptyText], Meta(max_length=GROUP_BY_MAX)] = ()
    """`rule`, `component`, `category` and names of labels.

    Empty: all alerts of the route are one group. `...`: each alert is a group of its own.
    """
    group_wait: WholeDuration = "30s"
    """How long the first message of a group waits for other alerts."""
    group_interval: WholeDuration = "5m"
    """The shortest time between two messages of a group."""
    repeat: WholeDuration = "4h"
    """The time after which an unchanged group is sent again. 0: never."""
    quiet_hours: Hours = ()
    """In the time zone of the route. Messages wait until the quiet hours end."""
    tz: ZoneName = "UTC"
    enabled: bool = True

    def __post_init__(self) -> None:
        """Refuse a route without a destination, and impossible times."""
        for name in ("channels", "group_by", "quiet_hours"):
            msgspec.structs.force_setattr(self, name, tuple(getattr(self, name)))
        if not self.channels and self.policy is None:
            raise ValueError("channels or policy must say where the alerts go")
        _check_unique("channels", self.channels)
        _check_unique("group_by", self.group_by)
        if LEVEL in self.group_by:
            raise ValueError("group_by cannot have level, because it changes while an alert fires")
        if EACH in self.group_by and len(self.group_by) > 1:
            raise ValueError('group_by must be ["..."] alone, or names')
        _check_times(self)
        zone_of(self.tz)
        if self.quiet_hours and leave_no_time(self.quiet_hours):
            raise ValueError("quiet_hours must leave some time in which messages are sent")


def _check_unique(field_name: str, names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        raise ValueError(f"{field_name} must not name anything twice")


def _check_times(route: Route) -> None:
    if whole_seconds(route.group_wait) not in GROUP_WAIT_S:
        raise ValueError("group_wait must be from 0s to 1h")
    if whole_seconds(route.group_interval) not in GROUP_INTERVAL_S:
        raise ValueError("group_interval must be from 10s to 1d")
    repeat_s = whole_seconds(route.repeat)
    if repeat_s and repeat_s not in REPEAT_S:
        raise ValueError("repeat must be 0s, or from 1m to 7d")
