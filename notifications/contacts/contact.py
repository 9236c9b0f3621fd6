"""Contacts: people, their addresses, and when they may be notified."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from model.severity import Level
from model.text import ASCII, Name, Text
from notifications.message import Language
from notifications.oncall.rotation import ACTIVE_MAX, ActiveHours, active_until
from notifications.oncall.wall_clock import Moment, ZoneName, zone_of

ADDRESSES_MAX = 20
ADDRESS_CHARS_MAX = 1500
"""The limit of an index entry: PostgreSQL refuses entries of more than 2,704 bytes."""
QUIET_MAX = timedelta(days=7)
"""The longest wait of a message, whatever the quiet hours are."""
LEVELS = tuple(Level)

AddressText = Annotated[
    str,
    Meta(
        pattern=ASCII,
        max_length=ADDRESS_CHARS_MAX,
        description="A mail address, a phone number and the like; empty: the channel's own.",
    ),
]


class Address(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An address of a person: a channel, and an address that its type accepts."""

    channel: Annotated[str, Meta(max_length=100)]
    address: AddressText = ""


class Quiet(Struct, frozen=True, kw_only=True):
    """The times at which a person must not be notified."""

    tz: ZoneName = "UTC"
    mute_until: Moment | None = None
    """Nothing is sent before this time."""
    quiet_hours: Annotated[Sequence[ActiveHours], Meta(max_length=ACTIVE_MAX)] = ()
    """Messages wait until these hours end."""
    quiet_min_level: Level = Level.CRITICAL
    """Alerts of at least this level are sent in quiet hours too."""


class Contact(Quiet, frozen=True, kw_only=True):
    """A person who is notified of alerts."""

    name: Name
    title: Text = ""
    language: Language = Language.ENGLISH
    addresses: Annotated[Sequence[Address], Meta(max_length=ADDRESSES_MAX)] = ()

    def __post_init__(self) -> None:
        """Refuse an unknown time zone, and duplicate addresses."""
        zone_of(self.tz)
        for name in ("addresses", "quiet_hours"):
            msgspec.structs.force_setattr(self, name, tuple(getattr(self, name)))
        places = [(one.channel, one.address) for one in self.addresses]
        for place in places:
            if places.count(place) > 1:
                raise ValueError(f"addresses: {place[1]!r} of {place[0]} is there twice")


def send_at(person: Quiet, level: Level | None, now: datetime) -> datetime | None:
    """Return when to send a message to a person. None: never, because the person is muted.

    A message without a level is not urgent, so it waits until the quiet hours end.
    """
    if person.mute_until is not None and now < person.mute_until:
        return None
    if level is not None and LEVELS.index(level) >= LEVELS.index(person.quiet_min_level):
        return now
    return quiet_until(person.quiet_hours, person.tz, now)


def quiet_until(hours: Sequence[ActiveHours], tz: str, at: datetime) -> datetime:
    """Return the end of quiet hours, which may be adjacent, or `at` if there are none then."""
    return active_until(hours, at, zone_of(tz), QUIET_MAX) or at
