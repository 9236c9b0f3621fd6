"""Finds the people and addresses that the steps of policies notify."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from msgspec import Struct

from db.queries import Connection
from model.severity import Level
from notifications.contacts import reaching
from notifications.contacts.contact import send_at
from notifications.contacts.reaching import Destination
from notifications.oncall import schedule_store
from notifications.oncall.escalation import Policy, Recipients, Step, recipients
from notifications.oncall.schedule import Schedule, names_in
from notifications.routing import escalation_store


class StepAddress(Struct, frozen=True, kw_only=True):
    """An address that a step notifies, and when to send. `place` identifies it in keys."""

    channel_id: int
    channel: str
    place: str
    time: datetime
    address: str = ""
    person: str | None = None


class Reach(Struct, frozen=True, kw_only=True):
    """Everybody whom steps may notify, as of one moment.

    It takes time to compute who is on call, so call the methods in a thread.
    """

    schedules: dict[str, Schedule]
    destinations: dict[str, list[Destination]]
    """The addresses of each person."""
    channels: dict[str, int]
    """The numbers of enabled channels by name."""

    def recipients(self, step: Step, at: datetime) -> Recipients:
        """Return the recipients of a step that is due at a time."""
        return recipients(step, at, self.schedules)

    def addresses(self, meant: Recipients, level: Level, now: datetime) -> list[StepAddress]:
        """Return the addresses of recipients, each once, without those of muted people."""
        found: dict[tuple[int, str], StepAddress] = {}
        for one in (*self._of_people(meant, level, now), *self._of_channels(meant, now)):
            found.setdefault((one.channel_id, one.address), one)
        return list(found.values())

    def reaches(self, level: Level, step: Step, at: datetime) -> bool:
        """Return whether a step notifies anybody at a time."""
        return bool(self.addresses(self.recipients(step, at), level, at))

    def _of_people(self, meant: Recipients, level: Level, now: datetime) -> Iterator[StepAddress]:
        for one in (each for name in meant.people for each in self.destinations.get(name, ())):
            time = send_at(one, level, now)
            if time is not None:
                yield StepAddress(
                    channel_id=one.channel_id,
                    channel=one.channel,
                    place=f"{one.contact_id}-{one.place}",
                    time=time,
                    address=one.address,
                    person=one.person,
                )

    def _of_channels(self, meant: Recipients, now: datetime) -> Iterator[StepAddress]:
        for name in meant.channels:
            if name in self.channels:
                number = self.channels[name]
                yield StepAddress(channel_id=number, channel=name, place=str(number), time=now)


async def read_reach(
    connection: Connection, policies: Sequence[Policy], start: datetime, end: datetime
) -> Reach:
    """Load everybody whom policies may notify from one time to another."""
    targets = [target for one in policies for step in one.steps for target in step.targets]
    found = {s.name: s for _, s in await schedule_store.load_all(connection, start, end)}
    schedules = {t.name: found[t.name] for t in targets if t.kind == "schedule" and t.name in found}
    people = {target.name for target in targets if target.kind == "person"}
    for schedule in schedules.values():
        people |= names_in(schedule, start)
        people |= {name for shift in schedule.recorded for name in shift.people}
    destinations: dict[str, list[Destination]] = {}
    for destination in await reaching.destinations(connection, people):
        destinations.setdefault(destination.person, []).append(destination)
    channels = await escalation_store.channels(
        connection, [target.name for target in targets if target.kind == "channel"]
    )
    return Reach(schedules=schedules, destinations=destinations, channels=channels)
