"""Timelines of Alertmanager's acceptance tests, with minutes for seconds: same, or on purpose not.

docs/reference/notifications/routing.md lists them by the same names.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from alerts.evaluation.evaluator import add_built_in_rules
from tests.notifications.routing.routed import Routed

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "notifications" / "routing.md"
DOWN_RULE = "component-down"
FIRING, RESOLVED, ACKNOWLEDGED = "firing", "resolved", "acknowledged"
Sent = tuple[float, str, dict[str, str]]


class Act(Struct, frozen=True):
    """What happens at a minute."""

    at: float
    what: str
    names: tuple[str, ...]
    fields: Mapping[str, Any] = {}


class Timeline(Struct, frozen=True):
    """A route, what happens to its alerts, and the messages until a minute."""

    route: Mapping[str, Any]
    acts: Sequence[Act]
    until: float
    messages: Sequence[Sent]
    is_same: bool = True


def opens(at: float, *names: str, **fields: Any) -> Act:
    return Act(at, "open", names, fields)


def ends(at: float, *names: str) -> Act:
    return Act(at, "resolve", names)


def all_of(state: str, *names: str) -> dict[str, str]:
    return dict.fromkeys(names, state)


EACH_MINUTE = {"group_wait": "1m", "group_interval": "1m", "repeat": "1m"}
BY_RULE = {"group_by": ["rule"]}
TIMELINES: dict[str, Timeline] = {
    "repeat": Timeline(
        EACH_MINUTE | BY_RULE,
        [opens(1, "a"), ends(3.5, "a")],
        6,
        [
            (2, "opened", {"a": FIRING}),
            (3, "reminder", {"a": FIRING}),
            (4, "resolved", {"a": RESOLVED}),
        ],
    ),
    "batching": Timeline(
        {"group_wait": "1m", "group_interval": "1m", "repeat": "294s"},
        [opens(1.1, "a"), opens(1.7, "e"), opens(3.3, "b", "c", "d")],
        10,
        [
            (2.1, "group", all_of(FIRING, "a", "e")),
            (4.1, "group", all_of(FIRING, "a", "b", "c", "d", "e")),
            (9.1, "group", all_of(FIRING, "a", "b", "c", "d", "e")),
        ],
    ),
    "repeat is a multiple of the interval": Timeline(
        {"group_wait": "1m", "group_interval": "1m", "repeat": "5m"},
        [opens(1, "a")],
        8,
        [(2, "opened", {"a": FIRING}), (7, "reminder", {"a": FIRING})],
        is_same=False,
    ),
    "resolved": Timeline(
        {"group_wait": "1m", "group_interval": "5m"} | BY_RULE,
        [opens(1, "a", "b", "c"), ends(11, "a", "b", "c")],
        20,
        [
            (2, "group", all_of(FIRING, "a", "b", "c")),
            (12, "group", all_of(RESOLVED, "a", "b", "c")),
        ],
    ),
    "some are resolved": Timeline(
        {"group_wait": "1m", "group_interval": "5m"} | BY_RULE,
        [opens(1, "a", "b"), opens(3, "c"), ends(4, "a"), ends(11, "b")],
        16,
        [
            (2, "group", all_of(FIRING, "a", "b")),
            (7, "group", {"a": RESOLVED, "b": FIRING, "c": FIRING}),
            (12, "group", {"b": RESOLVED, "c": FIRING}),
        ],
    ),
    "a group that ended begins again": Timeline(
        {"group_wait": "1m", "group_interval": "5m"},
        [opens(1, "a"), ends(3, "a"), opens(9, "b")],
        12,
        [
            (2, "opened", {"a": FIRING}),
            (7, "resolved", {"a": RESOLVED}),
            (10, "opened", {"b": FIRING}),
        ],
    ),
    "an alert joins a group that was quiet for long": Timeline(
        {"group_wait": "1m", "group_interval": "5m"},
        [opens(1, "a"), opens(13, "b")],
        18,
        [(2, "opened", {"a": FIRING}), (17, "group", all_of(FIRING, "a", "b"))],
    ),
    "an old alert": Timeline(
        {"group_wait": "1m", "group_interval": "5m"},
        [opens(3, "a", opened_at=-1)],
        5,
        [(3, "opened", {"a": FIRING})],
    ),
    "restart": Timeline(
        {"group_wait": "1m", "group_interval": "6m", "repeat": "10m"},
        [opens(1, "a"), Act(3, "restart", ()), opens(4, "b")],
        12,
        [(2, "opened", {"a": FIRING}), (8, "group", all_of(FIRING, "a", "b"))],
        is_same=False,
    ),
    "inhibition": Timeline(
        EACH_MINUTE,
        [
            opens(1, "a", "instance-1", "instance-2"),
            opens(2.2, "job", rule=DOWN_RULE),
            ends(3.6, "job"),
        ],
        4.5,
        [
            (2, "group", all_of(FIRING, "a", "instance-1", "instance-2")),
            (3, "group", all_of(FIRING, "a", "instance-2", "job")),
            (4, "group", all_of(FIRING, "a", "instance-1", "instance-2") | {"job": RESOLVED}),
        ],
    ),
    "inhibition to the end": Timeline(
        EACH_MINUTE,
        [
            opens(1, "instance-1"),
            opens(1, "job", rule=DOWN_RULE),
            ends(2.6, "instance-1"),
            ends(2.6, "job"),
        ],
        5,
        [(2, "opened", {"job": FIRING}), (3, "resolved", {"job": RESOLVED})],
        is_same=False,
    ),
    "silence": Timeline(
        EACH_MINUTE,
        [
            opens(1, "a", "b"),
            Act(2.5, "silence", ("a",), {"until": 4.5}),
            Act(4.5, "apply", ()),
        ],
        5.5,
        [
            (2, "group", all_of(FIRING, "a", "b")),
            (3, "reminder", {"b": FIRING}),
            (4, "reminder", {"b": FIRING}),
            (5, "group", all_of(FIRING, "a", "b")),
        ],
    ),
    "a silence is deleted": Timeline(
        EACH_MINUTE,
        [
            opens(1, "a", "b"),
            Act(1.5, "silence", ("a", "b"), {"until": 100}),
            Act(3.5, "unsilence", ()),
        ],
        4.5,
        [(4, "group", all_of(FIRING, "a", "b"))],
    ),
    "an alert resolves while it is silenced": Timeline(
        {"group_wait": "1m", "group_interval": "1m"},
        [
            opens(1, "a", "b"),
            Act(2.5, "silence", ("a",), {"until": 100}),
            ends(3.5, "a"),
        ],
        6,
        [
            (2, "group", all_of(FIRING, "a", "b")),
            (4, "group", {"a": RESOLVED, "b": FIRING}),
        ],
        is_same=False,
    ),
    "a silence ends that nothing was sent in": Timeline(
        {"group_wait": "1m", "group_interval": "1m"},
        [opens(1, "a"), Act(2.5, "silence", ("a",), {"until": 4.5}), Act(4.5, "apply", ())],
        8,
        [(2, "opened", {"a": FIRING})],
    ),
    "an alert opens and ends within group_wait": Timeline(
        {"group_wait": "1m", "group_interval": "5m"},
        [opens(1, "a"), ends(1.5, "a")],
        8,
        [(2, "resolved", {"a": RESOLVED})],
        is_same=False,
    ),
    "labels in UTF-8": Timeline(
        {"matcher": {"labels": {"foo🙂": "bar"}}, "group_by": ["foo🙂"], "group_wait": "1m"},
        [opens(1, "a", labels={"foo🙂": "bar"}), opens(1, "b")],
        3,
        [(2, "opened", {"a": FIRING})],
    ),
    "quiet hours": Timeline(
        {
            "group_wait": "1m",
            "group_interval": "5m",
            "quiet_hours": [{"start": "03:02", "end": "03:09"}],
        },
        [opens(1, "a"), opens(3, "b"), opens(4, "c"), ends(5, "b")],
        15,
        [(9, "group", {"a": FIRING, "b": RESOLVED, "c": FIRING})],
        is_same=False,
    ),
    "an acknowledgement": Timeline(
        {"group_wait": "1m", "group_interval": "1m", "repeat": "2m"},
        [opens(1, "a"), Act(2.5, "acknowledge", ("a",))],
        8,
        [(2, "opened", {"a": FIRING}), (3, "acknowledged", {"a": ACKNOWLEDGED})],
        is_same=False,
    ),
}
DEPENDENCIES = {"instance-1": ["job"]}


async def perform(routed: Routed, act: Act, fields: Mapping[str, Any]) -> None:
    match act.what:
        case "open":
            await routed.open(*act.names, **fields)
            await routed.apply(DEPENDENCIES)
        case "resolve":
            await routed.resolve(*act.names)
            await routed.apply(DEPENDENCIES)
        case "acknowledge":
            await routed.acknowledge(*act.names)
        case "silence":
            await routed.silence(component=list(act.names), **fields)
        case "unsilence":
            await routed.unsilence(1)
        case "apply":
            await routed.apply()
        case "restart":
            routed.restart()


@pytest.mark.parametrize("timeline", TIMELINES.values(), ids=TIMELINES)
async def test_messages_go_at_these_minutes(routed: Routed, timeline: Timeline) -> None:
    async with routed.pool.connection() as connection:
        await add_built_in_rules(connection)
    await routed.route(**timeline.route)
    for act in timeline.acts:
        await routed.pass_to(act.at)
        fields = dict(act.fields)
        if "opened_at" in fields:
            fields["now"] = routed.at(fields.pop("opened_at"))
        await perform(routed, act, fields)
        await routed.plan()
    await routed.pass_to(timeline.until)

    assert await routed.sent() == list(timeline.messages)


def test_the_page_lists_each_timeline_and_whether_it_is_the_same() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name, timeline in TIMELINES.items():
        assert f"| {name} | {'same' if timeline.is_same else 'other'} |" in text
