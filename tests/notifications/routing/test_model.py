"""A route that could not work is refused, with what to write instead."""

from typing import Any

import msgspec
import pytest

from notifications.oncall.rotation import ActiveHours
from notifications.routing.model import Route

GOOD: dict[str, Any] = {"name": "r", "channels": ["ops"]}
REFUSED = {
    "nowhere": ({"channels": []}, "channels or policy must say where the alerts go"),
    "a channel twice": ({"channels": ["a", "a"]}, "channels must not name anything twice"),
    "level in group_by": ({"group_by": ["rule", "level"]}, "group_by cannot have level"),
    "each and others": ({"group_by": ["...", "rule"]}, r'group_by must be \["..."\] alone'),
    "long wait": ({"group_wait": "61m"}, "group_wait must be from 0s to 1h"),
    "short interval": ({"group_interval": "9s"}, "group_interval must be from 10s to 1d"),
    "short repeat": ({"repeat": "59s"}, "repeat must be 0s, or from 1m to 7d"),
    "zone": ({"tz": "Mars/Base"}, "write one such as Europe/Lisbon"),
    "always quiet": ({"quiet_hours": [{}]}, "quiet_hours must leave some time"),
    "quiet day and night": (
        {"quiet_hours": [{"start": "07:00", "end": "19:00"}, {"start": "19:00", "end": "07:00"}]},
        "quiet_hours must leave some time",
    ),
    "an unknown field": ({"matcher": {"severity": "critical"}}, "unknown field `severity`"),
    "a control character": ({"matcher": {"rule": ["a\n"]}}, "rule must not have control"),
    "no such level": ({"matcher": {"min_level": "loud"}}, "Invalid enum value 'loud'"),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "message"), REFUSED.values(), ids=REFUSED)
def test_a_route_that_cannot_work_is_refused(fields: dict[str, Any], message: str) -> None:
    assert msgspec.convert(GOOD, Route).repeat == "4h"
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert(GOOD | fields, Route)


def test_a_route_is_written_and_read_as_json() -> None:
    route = msgspec.convert(
        GOOD
        | {
            "continue": True,
            "matcher": {
                "level": ["warning", "critical"],
                "labels": {"host": "web-1"},
                "hours": [{"weekdays": ["sat", "sun"]}],
            },
            "quiet_hours": [{"start": "22:00", "end": "07:00"}],
        },
        Route,
    )

    assert route.continue_
    assert route.matcher.hours == (ActiveHours(weekdays=("sat", "sun")),)
    assert msgspec.json.decode(msgspec.json.encode(route), type=Route) == route
