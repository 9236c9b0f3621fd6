"""Schedules and policies of tests, and the moment at which an alert opens."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from notifications.oncall.escalation import Policy, Step, Target
from notifications.oncall.rotation import ActiveHours, Rotation
from notifications.oncall.schedule import Override, Schedule

MINUTE = timedelta(minutes=1)
OPENED = datetime(2026, 3, 27, 3, 0, tzinfo=UTC)


def after(minutes: float) -> datetime:
    return OPENED + minutes * MINUTE


def target(text: str) -> Target:
    kind, name = text.split(":")
    return Target(kind=kind, name=name)  # type: ignore[arg-type]


def policy(*steps: tuple[str, str], repeat: int = 0) -> Policy:
    return Policy(
        name="p",
        steps=[Step(targets=[target(t) for t in names.split()], delay=d) for names, d in steps],
        repeat=repeat,
    )


LISBON = ZoneInfo("Europe/Lisbon")
DAILY = Schedule(
    name="daily",
    tz="Europe/Lisbon",
    layers=[
        Rotation(
            start=datetime.fromisoformat("2026-03-23 09:00"), unit="day", people=["ana", "bo", "cy"]
        )
    ],
    overrides=[
        Override(
            starts_at=datetime(2026, 3, 31, 8, tzinfo=UTC),
            ends_at=datetime(2026, 3, 31, 16, tzinfo=UTC),
            out="cy",
            in_="eva",
        )
    ],
)
OFFICE = Schedule(
    name="office",
    tz="Europe/Lisbon",
    layers=[
        Rotation(
            start=datetime.fromisoformat("2026-03-23 00:00"),
            people=["lead"],
            active=[
                ActiveHours(
                    weekdays=["mon", "tue", "wed", "thu", "fri"], start="09:00", end="17:00"
                )
            ],
        )
    ],
)
SCHEDULES = {"daily": DAILY, "office": OFFICE}
