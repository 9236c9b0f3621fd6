"""What a preview of routes answers."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from model.severity import Level
from notifications.oncall.escalation import Reason


class PreviewedMessage(Struct, frozen=True, kw_only=True):
    """A message to one address. `step` and `round` are those of the policy; null: of a group."""

    at: datetime
    route: str | None
    """Null: there are no routes."""
    policy: str | None = None
    step: int | None = None
    round: int | None = None
    channel: str
    person: str | None = None
    address: str = ""
    """Masked; empty: the channel's own."""


class TakenStep(Struct, frozen=True, kw_only=True):
    """A step of a policy, when it is taken unless somebody acknowledges, and how many it tells."""

    at: datetime
    route: str
    policy: str
    step: int
    round: int
    reason: Reason
    messages: int
    """0: it reaches nobody, and the next step of its round follows at once."""
    unreached: Sequence[str]
    """People who would be told, but are muted or have no address."""
    nobody_on_call: Sequence[str]
    """Schedules by which nobody is on call then."""


class TakenRoute(Struct, frozen=True, kw_only=True):
    """A route that the alert takes."""

    name: str
    position: int
    channels: Sequence[str]
    disabled: Sequence[str]
    """Channels of the route that are off: they get nothing."""
    group: dict[str, str] | None
    """What the alerts of its group have in common; null: the route has no channels."""
    is_group_open: bool
    """Whether there is such a group already. Then the alert waits for the group's next time."""
    sent_at: datetime | None
    """When the group is sent, or sent the next time; null: the route has no channels."""
    repeated_after: str
    """How long until it is sent again if nothing changes; `0s`: never."""
    policy: str | None
    quiet_until: datetime | None
    """The end of the route's quiet hours, if it is in them now; messages wait for it."""


class Preview(Struct, frozen=True, kw_only=True):
    """Which routes an alert takes, and which messages go to whom, when, if nothing changes."""

    at: datetime
    until: datetime
    """Steps after this moment are left out."""
    level: Level
    suppressed_by: Sequence[str]
    """Causes that suppress an alert by number now: while there are any, nothing is sent."""
    has_routes: bool
    """False: no route is enabled, so every channel is told at once whose level the alert has."""
    routes: Sequence[TakenRoute]
    steps: Sequence[TakenStep]
    messages: Sequence[PreviewedMessage]
    is_complete: bool
    """Whether all steps and messages are listed."""
