"""The addresses of a step: each once, those of people who listen, at the time at which they do."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from model.severity import Level
from notifications.contacts.reaching import Destination
from notifications.oncall.escalation import Recipients, Step, Target
from notifications.oncall.rotation import ActiveHours
from notifications.routing.reach import Reach

NOW = datetime(2026, 3, 27, 3, tzinfo=UTC)
NIGHT = [ActiveHours(start="22:00", end="07:00")]


def destination(person: str, address: str, channel_id: int = 1, **quiet: Any) -> Destination:
    return Destination(
        person=person, address=address, contact_id=len(person), channel_id=channel_id,
        channel=f"channel-{channel_id}", **quiet,
    )  # fmt: skip


def reach(*found: Destination) -> Reach:
    destinations: dict[str, list[Destination]] = {}
    for one in found:
        destinations.setdefault(one.person, []).append(one)
    return Reach(schedules={}, destinations=destinations, channels={"channel-1": 1})


def addresses_of(
    reached: Reach, *people: str, level: Level = Level.WARNING
) -> list[tuple[Any, ...]]:
    meant = Recipients(people=people, channels=("channel-1", "off"), nobody_on_call=())
    found = reached.addresses(meant, level, NOW)
    return [(one.person, one.channel, one.address, one.time - NOW) for one in found]


def test_each_person_and_each_enabled_channel_is_told() -> None:
    known = reach(destination("ana", "+1"), destination("ana", "a@b.example", 2))

    assert addresses_of(known, "ana", "nobody") == [
        ("ana", "channel-1", "+1", timedelta()),
        ("ana", "channel-2", "a@b.example", timedelta()),
        (None, "channel-1", "", timedelta()),
    ]


def test_an_address_that_two_people_share_is_told_once() -> None:
    known = reach(destination("ana", "+1"), destination("bo", "+1"), destination("bo", ""))

    assert [one[:3] for one in addresses_of(known, "ana", "bo")] == [
        ("ana", "channel-1", "+1"),
        ("bo", "channel-1", ""),
    ]


@pytest.mark.parametrize(("level", "hours"), [(Level.WARNING, 4), (Level.CRITICAL, 0)])
def test_quiet_hours_delay_what_is_not_urgent(level: Level, hours: int) -> None:
    known = reach(destination("ana", "+1", quiet_hours=NIGHT))

    assert addresses_of(known, "ana", level=level)[0][3] == timedelta(hours=hours)


def test_a_step_that_means_only_people_who_are_muted_reaches_nobody() -> None:
    known = reach(destination("ana", "+1", mute_until=NOW + timedelta(hours=1)))
    step = Step(targets=[Target(kind="person", name="ana")])

    assert not known.reaches(Level.EMERGENCY, step, NOW)
    assert known.reaches(Level.EMERGENCY, step, NOW + timedelta(hours=1))
