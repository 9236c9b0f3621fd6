"""The lines of a message about one alert."""

from collections.abc import Iterator

from notifications.message import Event
from notifications.rendering.buttons import web_address
from notifications.wording.last_hour import text_chart
from notifications.wording.moments import clock_text, moment_text
from notifications.wording.naming import where_text
from notifications.wording.numbers import duration_text, value_text
from notifications.wording.reasons import REASONS, comment_of, reason_text, sentence
from notifications.wording.situation import (
    NAME_LENGTH_MAX,
    Reader,
    ShownAlert,
    Situation,
    one_line,
)
from notifications.wording.templates import Words
from notifications.wording.values import AUTO, what_text

CHANGES_MAX = 5
CHANGE_LENGTH_MAX = 200
SAID_ELSEWHERE = frozenset({"no data", "the rule cannot be evaluated", "nobody acknowledged it"})
"""Reasons that the text already contains, in place of the value or after the change of level."""


def lines(situation: Situation, alert: ShownAlert, reader: Reader, words: Words) -> Iterator[str]:
    """Yield the lines about one alert, the most important first."""
    yield from _happened(situation, alert, words)
    if what := what_text(situation, alert, words):
        yield what
    if comment_of(situation, alert) not in {"", *SAID_ELSEWHERE}:
        yield sentence(reason_text(situation, alert, words))
    yield _when(situation, alert, reader, words)
    yield from _acknowledged(situation, alert, words)
    yield from _last_hour(situation, reader, words)
    yield from _what_changed(situation, words)
    if situation.runbook and not web_address(situation.runbook):
        yield words("line.runbook", runbook=one_line(situation.runbook))


def open_for_s(alert: ShownAlert, situation: Situation) -> float:
    """Return for how many seconds the alert is or was open."""
    end = alert.resolved_at or situation.now
    return max((end - alert.opened_at).total_seconds(), 0)


def _happened(situation: Situation, alert: ShownAlert, words: Words) -> Iterator[str]:
    """Yield the lines about the event that caused the message, if the value does not say it."""
    match situation.event:
        case Event.ESCALATED | Event.LOWERED if situation.previous_level:
            yield _level_change(situation, alert, words)
        case Event.ACKNOWLEDGED:
            yield _acknowledged_after(alert, words)
            yield from _comment(alert, "acknowledged", words)
        case Event.RESOLVED if alert.resolved_by not in {AUTO, None}:
            yield words("line.resolved", person=one_line(alert.resolved_by or "", NAME_LENGTH_MAX))
            yield from _comment(alert, "resolved", words)
        case Event.REMINDER if situation.expired is None:
            duration = duration_text(open_for_s(alert, situation), words.language)
            yield words("line.still_firing", duration=duration)
    if situation.step is not None and situation.step.number > 1:
        number, of = str(situation.step.number), str(situation.step.of)
        yield words("line.step", step=number, steps=of)
    if situation.expired is not None:
        person = one_line(situation.expired.person, NAME_LENGTH_MAX)
        after = duration_text(situation.expired.after_s, words.language)
        yield words("line.acknowledgement_expired", person=person, duration=after)


def _level_change(situation: Situation, alert: ShownAlert, words: Words) -> str:
    previous = words(f"level.{situation.previous_level}")
    level = words(f"level.{alert.level}")
    if situation.event is Event.LOWERED:
        return words("line.lowered", previous=previous, level=level)
    reason = reason_text(situation, alert, words)
    name = "line.raised_because" if reason else "line.raised"
    return words(name, previous=previous, level=level, reason=reason)


def _acknowledged_after(alert: ShownAlert, words: Words) -> str:
    person = one_line(alert.acknowledged_by or "", NAME_LENGTH_MAX)
    if alert.acknowledged_at is None:
        return words("line.acknowledged", person=person)
    after_s = max((alert.acknowledged_at - alert.opened_at).total_seconds(), 0)
    duration = duration_text(after_s, words.language)
    return words("line.acknowledged_after", person=person, duration=duration)


def _comment(alert: ShownAlert, kind: str, words: Words) -> Iterator[str]:
    """Yield the comment of the person who did the newest transition of a type."""
    row = alert.last(kind)
    if row.comment and row.comment not in REASONS:
        person = one_line(row.actor, NAME_LENGTH_MAX)
        yield words("line.comment", person=person, comment=one_line(row.comment))


def _when(situation: Situation, alert: ShownAlert, reader: Reader, words: Words) -> str:
    where, now, zone = where_text(alert), situation.now, reader.zone
    start = moment_text(alert.opened_at, now, zone, words)
    if alert.resolved_at is None:
        return words("line.since", where=where, time=start)
    return words(
        "line.lasted",
        where=where,
        duration=duration_text(open_for_s(alert, situation), words.language),
        start=clock_text(alert.opened_at, now, zone, words),
        end=moment_text(alert.resolved_at, now, zone, words),
    )


def _acknowledged(situation: Situation, alert: ShownAlert, words: Words) -> Iterator[str]:
    is_new = situation.event is Event.ACKNOWLEDGED or situation.expired is not None
    if alert.acknowledged_by and not is_new:
        person = one_line(alert.acknowledged_by, NAME_LENGTH_MAX)
        yield words("line.acknowledged", person=person)


def _last_hour(situation: Situation, reader: Reader, words: Words) -> Iterator[str]:
    hour = situation.last_hour
    if hour is None or not hour.known or not reader.has_text_chart:
        return
    unit = situation.measure.own_unit if situation.measure else ""
    yield words(
        "line.last_hour",
        chart=text_chart(hour),
        lowest=value_text(min(hour.known), unit, words.language),
        highest=value_text(max(hour.known), unit, words.language),
    )


def _what_changed(situation: Situation, words: Words) -> Iterator[str]:
    changes = [one_line(line, CHANGE_LENGTH_MAX) for line in situation.what_changed[:CHANGES_MAX]]
    if any(changes):
        yield words("line.changed")
    for change in filter(None, changes):
        yield words("line.changed_item", line=change)
