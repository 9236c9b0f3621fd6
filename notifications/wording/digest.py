"""One message about many alerts: the number of alerts of each level, and the first few alerts."""

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from model.severity import Level
from notifications.wording.lines import open_for_s
from notifications.wording.moments import moment_text
from notifications.wording.numbers import count_text, duration_text
from notifications.wording.situation import (
    ITEM_LENGTH_MAX,
    Reader,
    ShownAlert,
    Situation,
    WholeAlert,
    one_line,
    shown,
)
from notifications.wording.templates import Words

LISTED_MAX = 8
RANK: Mapping[str, int] = {level: rank for rank, level in enumerate(Level)}


class Digest(Struct, frozen=True):
    """A title, lines, and the level of the most severe alert.

    Resolved alerts count only if none is firing.
    """

    title: str
    lines: Sequence[str]
    level: Level


def digest(situation: Situation, reader: Reader, words: Words) -> Digest:
    """Return the text about a group. Its length does not grow with the number of alerts."""
    firing = [alert for alert in situation.alerts if alert["resolved_at"] is None]
    counted = firing or situation.alerts
    resolved = len(situation.alerts) - len(firing)
    named = [shown(alert) for alert in heapq.nsmallest(LISTED_MAX, counted, _most_severe_first)]
    lines = [
        *(_item(alert, situation, reader, words) for alert in named),
        *_rest(len(counted) - len(named), firing, words),
    ]
    if firing and resolved:
        lines.append(_counted("group.resolved", resolved, words))
    if firing:
        title = _counted("group.firing", len(firing), words, counts=_by_level(firing, words))
    else:
        title = _counted("group.resolved", resolved, words)
    return Digest(title, lines, named[0].level)


def _most_severe_first(alert: WholeAlert) -> tuple[int, str, int]:
    """Return the sort key: the most severe first, then the oldest, which may be the cause."""
    return -RANK[alert["level"]], str(alert["opened_at"]), alert["id"]


def _by_level(alerts: Sequence[WholeAlert], words: Words) -> str:
    counts = Counter(alert["level"] for alert in alerts)
    return ", ".join(
        _counted(f"count.{level}", counts[level], words)
        for level in reversed(Level)
        if counts[level]
    )


def _item(alert: ShownAlert, situation: Situation, reader: Reader, words: Words) -> str:
    title = one_line(alert.title, ITEM_LENGTH_MAX)
    if alert.resolved_at is not None:
        duration = duration_text(open_for_s(alert, situation), words.language)
        return words("group.resolved_item", title=title, duration=duration)
    time = moment_text(alert.opened_at, situation.now, reader.zone, words)
    return words("group.firing_item", level=words(f"level.{alert.level}"), title=title, time=time)


def _rest(more: int, firing: Sequence[WholeAlert], words: Words) -> Iterator[str]:
    if more > 0:
        yield _counted("group.more", more, words)
    acknowledged = sum(alert["acknowledged_at"] is not None for alert in firing)
    if acknowledged:
        yield _counted("group.acknowledged", acknowledged, words)


def _counted(name: str, count: int, words: Words, **values: str) -> str:
    number = "one" if count == 1 else "other"
    return words(f"{name}_{number}", count=count_text(count, words.language), **values)
