"""Range evaluation on stored alerts, beside what the stored policy would have done."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from model.errors import InvalidError, NotFoundError
from notifications.oncall.escalation import Policy
from notifications.oncall.schedule_store import ScheduleTerms
from notifications.oncall.woken import Night
from notifications.preview import range_evaluation
from notifications.preview.range_evaluation import (
    RangeEvaluation,
    RangeEvaluationResult,
    evaluate,
)
from tests.notifications.routing.routed import Routed

LAYER = {"start": "2026-01-05T09:00:00", "unit": "day", "people": ["bo"]}


async def evaluated(routed: Routed, *targets: str, **more: Any) -> RangeEvaluationResult:
    """Evaluate a policy with a step of five minutes for each target, on the alerts of a day."""
    steps = [
        {"targets": [dict(zip(("kind", "name"), one.split(":"), strict=True))]} for one in targets
    ]
    given: dict[str, Any] = {
        "policy": msgspec.convert({"name": "p", "steps": steps}, Policy),
        "start": routed.at(0) - timedelta(hours=12),
        "end": routed.at(0) + timedelta(hours=12),
        "route": None,
        "schedules": (),
        "night": Night(),
    }
    async with routed.pool.connection() as connection:
        return await evaluate(connection, RangeEvaluation(**given | more))


def counts(found: RangeEvaluationResult) -> list[tuple[str, int, int]]:
    return [(one.person, one.notified, one.at_night) for one in found.people]


@pytest.fixture
async def story(routed: Routed) -> Routed:
    """At three in the morning, an alert that is acknowledged after 7 minutes, and one after 2."""
    await routed.contact("ana", tz="Europe/Lisbon")
    await routed.contact("bo", tz="Asia/Tokyo")
    await routed.open("a", "b")
    routed.minute = 2
    await routed.resolve("b")
    routed.minute = 7
    await routed.acknowledge("a")
    routed.minute = 20
    await routed.resolve("a")
    return routed


async def test_people_are_counted_by_the_night_of_their_own_clock(story: Routed) -> None:
    found = await evaluated(story, "person:ana", "person:bo")

    assert (found.alerts, found.present) == (2, None)
    assert counts(found) == [("ana", 2, 2), ("bo", 1, 0)]
    assert found.notified_total == len(found.notified) == 3


async def test_the_stored_policy_is_beside_the_changed_one(story: Routed) -> None:
    await story.policy(("person:bo", "5m"))
    found = await evaluated(story, "person:ana")

    assert found.present is not None
    assert [(one.person, one.notified) for one in found.present] == [("bo", 2)]
    assert counts(found) == [("ana", 2, 2)]


async def test_only_alerts_that_match_a_route_count(story: Routed) -> None:
    await story.route("only-b", matcher={"component": "b"})
    found = await evaluated(story, "person:ana", route="only-b")

    assert (found.alerts, counts(found)) == (1, [("ana", 1, 1)])
    with pytest.raises(NotFoundError, match="there is no route 'x'"):
        await evaluated(story, "person:ana", route="x")


async def test_a_schedule_that_is_not_stored_is_used_in_the_evaluation(story: Routed) -> None:
    schedule = msgspec.convert({"name": "ops", "layers": [LAYER]}, ScheduleTerms)
    found = await evaluated(story, "schedule:ops", schedules=[schedule])
    assert (counts(found), found.unreached_total) == ([("bo", 2, 0)], 0)

    nobody = await evaluated(story, "schedule:ops")
    assert (counts(nobody), nobody.unreached_total) == ([], 2)


async def test_alerts_outside_of_the_range_do_not_count(story: Routed) -> None:
    found = await evaluated(story, "person:ana", start=story.at(21))

    assert found.alerts == 0


async def test_a_range_of_too_many_alerts_is_refused(
    story: Routed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(range_evaluation, "ALERTS_MAX", 1)
    with pytest.raises(InvalidError, match="more than 1 alerts in this range"):
        await evaluated(story, "person:ana")
