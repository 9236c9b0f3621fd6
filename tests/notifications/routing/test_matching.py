"""An alert takes the first route that matches, and more only where a route says so."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.severity import Level
from notifications.oncall.rotation import ActiveHours
from notifications.routing.matching import (
    RoutedAlert,
    group_labels,
    matches,
    quiet_until,
    routes_of,
)
from notifications.routing.model import Route, RouteMatcher

UTC_ZONE = ZoneInfo("UTC")
LISBON = ZoneInfo("Europe/Lisbon")
NOON = datetime(2026, 3, 27, 12, tzinfo=UTC)
"""A Friday."""


def alert(**fields: Any) -> RoutedAlert:
    wanted = {"rule": "cpu", "level": "critical", "category": "system", "component": "server"}
    return msgspec.convert(wanted | fields, RoutedAlert)


def route(name: str = "r", **fields: Any) -> Route:
    return msgspec.convert({"name": name, "channels": ["ops"]} | fields, Route)


# The matcher, and which alert matches and which does not.
MATCHERS: dict[str, tuple[dict[str, Any], dict[str, Any] | None, dict[str, Any] | None]] = {
    "everything": ({}, {}, None),
    "a rule": ({"rule": "cpu"}, {}, {"rule": "disk"}),
    "one of some rules": ({"rule": ["disk", "cpu"]}, {}, {"rule": "memory"}),
    "a component": ({"component": "server"}, {}, {"component": "database"}),
    "a category": ({"category": "system"}, {}, {"category": "trading"}),
    "one of some levels": ({"level": ["info", "critical"]}, {}, {"level": "warning"}),
    "a lowest level": ({"min_level": "critical"}, {"level": "emergency"}, {"level": "warning"}),
    "a label": ({"labels": {"host": "a"}}, {"labels": {"host": "a", "x": "y"}}, {}),
    "two labels": (
        {"labels": {"host": "a", "mount": "/"}},
        {"labels": {"host": "a", "mount": "/"}},
        {"labels": {"host": "a"}},
    ),
    "everything that is given": (
        {"rule": "cpu", "component": "server"}, {}, {"component": "database"},
    ),
    "hours of the day": ({"hours": [{"start": "09:00", "end": "17:00"}]}, {}, None),
    "another weekday": ({"hours": [{"weekdays": ["sat"]}]}, None, {}),
}  # fmt: skip


@pytest.mark.parametrize(("matcher", "good", "bad"), MATCHERS.values(), ids=MATCHERS)
def test_a_matcher_takes_what_has_everything_that_is_given(
    matcher: dict[str, Any], good: dict[str, Any] | None, bad: dict[str, Any] | None
) -> None:
    wanted = msgspec.convert(matcher, RouteMatcher)

    assert good is None or matches(wanted, alert(**good), NOON, UTC_ZONE)
    assert bad is None or not matches(wanted, alert(**bad), NOON, UTC_ZONE)


def test_hours_are_by_the_clock_of_the_route_s_zone() -> None:
    night = msgspec.convert({"hours": [{"start": "22:00", "end": "07:00"}]}, RouteMatcher)
    winter, summer = (
        datetime(2026, 3, 28, 6, 30, tzinfo=UTC),
        datetime(2026, 3, 30, 6, 30, tzinfo=UTC),
    )

    assert matches(night, alert(), winter, LISBON)
    assert not matches(night, alert(), summer, LISBON)


# The tree of routes of Alertmanager's own test, as the list that it is here: the more special
# first. What an alert has, and the routes that it takes.
TREE = [
    route("testing-A", matcher={"labels": {"owner": "A", "env": "testing"}}),
    route(
        "production-A",
        matcher={"labels": {"owner": "A", "env": "production"}},
        **{"continue": True},
    ),
    route("production-B", matcher={"labels": {"owner": "A", "env": "production"}, "rule": "cpu"}),
    route("A", matcher={"labels": {"owner": "A"}}),
    route("B-or-C", matcher={"component": ["B", "C"]}),
    route("rest"),
]
WAYS: list[tuple[dict[str, Any], list[str]]] = [
    ({"labels": {"owner": "A"}}, ["A"]),
    ({"labels": {"owner": "A", "env": "unset"}}, ["A"]),
    ({"labels": {"owner": "A", "env": "testing"}}, ["testing-A"]),
    ({"labels": {"owner": "A", "env": "production"}}, ["production-A", "production-B"]),
    (
        {"labels": {"owner": "A", "env": "production"}, "rule": "disk"},
        ["production-A", "A"],
    ),
    ({"component": "C"}, ["B-or-C"]),
    ({}, ["rest"]),
]


@pytest.mark.parametrize(("fields", "names"), WAYS)
def test_the_first_route_that_matches_is_taken_and_those_after_one_that_continues(
    fields: dict[str, Any], names: list[str]
) -> None:
    assert [one.name for one in routes_of(TREE, alert(**fields), NOON)] == names


def test_an_alert_that_nothing_matches_takes_no_route() -> None:
    assert routes_of(TREE[:4], alert(), NOON) == []


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=8))
def test_the_routes_that_are_taken_are_those_that_match_up_to_the_first_that_ends_it(
    wanted: list[tuple[bool, bool]],
) -> None:
    routes = [
        route(str(number), matcher={"rule": "cpu" if is_match else "x"}, **{"continue": goes_on})
        for number, (is_match, goes_on) in enumerate(wanted)
    ]
    taken = [int(one.name) for one in routes_of(routes, alert(), NOON)]

    matching = [number for number, (is_match, _) in enumerate(wanted) if is_match]
    ends = [number for number in matching if not wanted[number][1]]
    assert taken == [number for number in matching if not ends or number <= ends[0]]


GROUPS: list[tuple[list[str], dict[str, str]]] = [
    ([], {}),
    (["rule"], {"rule": "cpu"}),
    (["host", "rule"], {"host": "web-1", "rule": "cpu"}),
    (["mount"], {}),
    (["component", "category"], {"component": "server", "category": "system"}),
    (
        ["..."],
        {"rule": "cpu", "component": "server", "category": "system", "host": "web-1"},
    ),
]


@pytest.mark.parametrize(("group_by", "labels"), GROUPS)
def test_a_group_has_the_values_of_what_it_is_grouped_by(
    group_by: list[str], labels: dict[str, str]
) -> None:
    one = alert(labels={"host": "web-1", "rule": "a label that is hidden by the field"})

    assert group_labels(route(group_by=group_by), one) == labels


NIGHT = [ActiveHours(start="22:00", end="07:00")]
WEEKEND = [ActiveHours(weekdays=("sat", "sun")), *NIGHT]


@pytest.mark.parametrize(
    ("hours", "at", "until"),
    [
        ([], "2026-03-27 23:00", None),
        (NIGHT, "2026-03-27 21:59", None),
        (NIGHT, "2026-03-27 22:00", "2026-03-28 07:00"),
        (NIGHT, "2026-03-28 06:59", "2026-03-28 07:00"),
        (NIGHT, "2026-03-28 07:00", None),
        (WEEKEND, "2026-03-27 23:00", "2026-03-30 07:00"),
        (WEEKEND, "2026-03-29 12:00", "2026-03-30 07:00"),
    ],
)
def test_quiet_hours_last_until_some_moment_is_none(
    hours: list[ActiveHours], at: str, until: str | None
) -> None:
    def moment(text: str) -> datetime:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)

    assert quiet_until(hours, moment(at), UTC_ZONE) == (moment(until) if until else None)


@given(
    st.lists(st.tuples(st.integers(0, 23), st.integers(0, 23)), min_size=1, max_size=3),
    st.integers(0, 7 * 1440),
)
def test_quiet_hours_end_at_the_first_moment_that_is_not_quiet(
    spans: list[tuple[int, int]], minute: int
) -> None:
    hours = [ActiveHours(start=f"{a:02}:00", end=f"{b:02}:00") for a, b in spans]
    at = NOON + timedelta(minutes=minute)
    until = quiet_until(hours, at, UTC_ZONE)
    if until is not None and until - at < timedelta(days=14):
        assert quiet_until(hours, until, UTC_ZONE) is None
        assert quiet_until(hours, until - timedelta(microseconds=1), UTC_ZONE) == until


def test_levels_are_compared_by_severity() -> None:
    lowest = RouteMatcher(min_level=Level.CRITICAL)
    taken = [one for one in Level if matches(lowest, alert(level=one), NOON, UTC_ZONE)]

    assert taken == [Level.CRITICAL, Level.EMERGENCY]
