"""The answer of a preview of routes."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from model.severity import Level
from notifications.oncall.escalation import Reason


class PreviewedMessage(Struct, frozen=True, kw_only=True):
    """A message to one address. `step` and `round` are null for a message of a group."""

    at: datetime
    route: str | None
    """Null: no routes are enabled."""
    policy: str | None = None
    step: int | None = None
    round: int | None = None
    channel: str
    person: str | None = None
    address: str = ""
    """Masked. Empty: the channel's own address."""


class TakenStep(Struct, frozen=True, kw_only=True):
    """A step of a policy, which runs at `at` unless somebody acknowledges the alert before."""

    at: datetime
    route: str
    policy: str
    step: int
    round: int
    reason: Reason
    messages: int
    """0: the step notifies nobody, and the next step of its round follows at once."""
    unreached: Sequence[str]
    """People of the step who are muted or have no address."""
    nobody_on_call: Sequence[str]
    """Schedules of the step that have nobody on call at that time."""


class TakenRoute(Struct, frozen=True, kw_only=True):
    """A route that the alert takes."""

    name: str
    position: int
    channels: Sequence[str]
    disabled: Sequence[str]
    """Channels of the route that are disabled. They get no messages."""
    group: dict[str, str] | None
    """The values that all alerts of the group share. Null: the route has no channels."""
    is_group_open: bool
    """Whether the group exists already. If so, the alert waits for the group's next message."""
    sent_at: datetime | None
    """The time of the group's next message. Null: the route has no channels."""
    repeated_after: str
    """The time until the group is sent again if nothing changes. `0s`: never."""
    policy: str | None
    quiet_until: datetime | None
    """The end of the route's quiet hours, if they apply now. Messages wait until then."""


class Preview(Struct, frozen=True, kw_only=True):
    """The routes that an alert takes and the messages that follow, if nothing changes."""

    at: datetime
    until: datetime
    """Steps after this time are left out."""
    level: Level
    suppressed_by: Sequence[str]
    """The suppressions of the alert, if it is previewed by number.

    If there are any, nothing is sent.
    """
    has_routes: bool
    """False: no route is enabled, so every channel that takes the level gets the alert at once."""
    routes: Sequence[TakenRoute]
    steps: Sequence[TakenStep]
    messages: Sequence[PreviewedMessage]
    is_complete: bool
    """Whether all steps and messages are listed."""
