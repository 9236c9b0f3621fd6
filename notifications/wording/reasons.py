"""The reasons for actions of the evaluation, in the reader's language."""

from collections.abc import Mapping

from notifications.message import Event
from notifications.wording.naming import metric_text
from notifications.wording.situation import ShownAlert, Situation, one_line
from notifications.wording.templates import Words

REASONS: Mapping[str, str] = {
    "no data": "no_data",
    "nobody acknowledged it": "unacknowledged",
    "it flaps": "flapping",
    "the rule cannot be evaluated": "not_evaluated",
    "the rule no longer looks at it": "not_covered",
    "no longer watched": "not_watched",
    "the rule was deleted": "rule_deleted",
    "the host was removed": "host_removed",
}
"""The comments that Vigia writes into the audit, each with its template."""
WITHOUT_VALUE = frozenset({"no data", "the rule cannot be evaluated"})
"""With these reasons, the value of the alert is outdated."""
TYPES: Mapping[Event, tuple[str, ...]] = {
    Event.OPENED: ("opened",),
    Event.ESCALATED: ("escalated",),
    Event.LOWERED: ("lowered",),
    Event.RESOLVED: ("resolved",),
    Event.REMINDER: ("opened", "escalated", "lowered"),
    Event.ACKNOWLEDGED: ("opened", "escalated", "lowered"),
}
"""For each event, the types of audit rows that contain its reason."""


def comment_of(situation: Situation, alert: ShownAlert) -> str:
    """Return Vigia's comment on the newest transition, or "" if the value explains it."""
    comment = alert.last(*TYPES.get(situation.event, ())).comment
    return comment if comment in REASONS else ""


def reason_text(situation: Situation, alert: ShownAlert, words: Words) -> str:
    """Return the reason as text to follow a colon, or "" if the value explains the transition."""
    comment = comment_of(situation, alert)
    if not comment:
        return ""
    measure = situation.measure
    # Without a measure, the title of the alert names what has no data.
    metric = metric_text(measure, alert.component, words) if measure else one_line(alert.title)
    return words(f"reason.{REASONS[comment]}", metric=metric)


def sentence(text: str) -> str:
    """Return a text with a capital first letter."""
    return text[:1].upper() + text[1:]
