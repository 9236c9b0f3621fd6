"""Pairs of a label and a value, for channels that show a table."""

from collections.abc import Iterator

from model.series import COMPONENT_UP
from notifications.wording.lines import open_for_s
from notifications.wording.moments import moment_text
from notifications.wording.numbers import duration_text
from notifications.wording.reasons import WITHOUT_VALUE, comment_of
from notifications.wording.situation import (
    NAME_LENGTH_MAX,
    Reader,
    ShownAlert,
    Situation,
    one_line,
)
from notifications.wording.templates import Words
from notifications.wording.values import values

LABELS_MAX = 10


def facts(
    situation: Situation, alert: ShownAlert, reader: Reader, words: Words
) -> tuple[tuple[str, str], ...]:
    """Return the facts about one alert, each short enough for a cell of a table."""
    pairs = [*_where(alert, words), *_measured(situation, alert, words)]
    pairs += [*_when(situation, alert, reader, words), (words("fact.rule"), alert.rule)]
    pairs += [(words("fact.acknowledged_by"), alert.acknowledged_by or "")]
    short = [(name, one_line(value, NAME_LENGTH_MAX)) for name, value in pairs]
    return tuple((name, value) for name, value in short if name and value)


def _where(alert: ShownAlert, words: Words) -> Iterator[tuple[str, str]]:
    yield words("fact.level"), words(f"level.{alert.level}")
    yield words("fact.component"), alert.component
    for name, value in sorted(alert.labels.items())[:LABELS_MAX]:
        yield one_line(name, NAME_LENGTH_MAX), value


def _measured(situation: Situation, alert: ShownAlert, words: Words) -> Iterator[tuple[str, str]]:
    measure = situation.measure
    if (
        measure is None
        or measure.metric == COMPONENT_UP
        or comment_of(situation, alert) in WITHOUT_VALUE
    ):
        return
    for name, value in values(measure, alert, words).items():
        yield words(f"fact.{name}"), value


def _when(
    situation: Situation, alert: ShownAlert, reader: Reader, words: Words
) -> Iterator[tuple[str, str]]:
    since = moment_text(alert.opened_at, situation.now, reader.zone, words)
    yield words("fact.since"), since
    if alert.resolved_at is not None:
        yield words("fact.lasted"), duration_text(open_for_s(alert, situation), words.language)
