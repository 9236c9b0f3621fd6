"""What alerts have Vigia do besides telling people: the setting `actions`."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from db.backup.folder import Keep
from model.series import Category
from model.severity import Level
from model.text import Name, NonEmptyText, TextLabels

BACKUP, WEBHOOK = "backup", "webhook"
AT_MOST_EVERY_S = {BACKUP: 3600.0, WEBHOOK: 60.0}
DAY_S = 86_400.0


class Action(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Something that an alert starts. It starts with alerts that have everything that is given."""

    name: Name
    kind: Literal["backup", "webhook"]
    enabled: bool = True
    min_level: Level = Level.CRITICAL
    category: Category | None = None
    component: NonEmptyText | None = None
    rule: NonEmptyText | None = None
    labels: TextLabels = {}
    channel: Annotated[str, Meta(max_length=100)] | None = None
    """The name of the channel by which a webhook goes: it holds the address and signs."""
    wait_s: Annotated[float, Meta(ge=0, le=3600)] = 30
    """How long after the alert it starts, so that it does not add to what is happening."""
    at_most_every_s: Annotated[float, Meta(ge=0, le=30 * DAY_S)] | None = None
    """Alerts within this time after one that started it start it no further time."""
    keep: Keep = Keep(last=2, daily=3, weekly=2)
    """How many backups of alerts stay."""

    def __post_init__(self) -> None:
        """Refuse a webhook without a channel, and a backup with one."""
        if self.kind == WEBHOOK and not self.channel:
            raise ValueError(
                f"action {self.name!r}: a webhook needs a channel; write the name of one of type "
                "webhook"
            )
        if self.kind == BACKUP and self.channel is not None:
            raise ValueError(
                f"action {self.name!r}: a backup is written to the data directory and has no "
                "channel"
            )

    @property
    def spacing_s(self) -> float:
        """The seconds between two starts at least."""
        given = self.at_most_every_s
        return AT_MOST_EVERY_S[self.kind] if given is None else given


def default_actions() -> tuple[Action, ...]:
    """Return the brief's automatic backup on critical alerts."""
    return (Action(name="backup-on-critical-alerts", kind="backup"),)
