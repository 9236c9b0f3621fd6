"""Parses the parameters of a history query and checks everything that needs no database."""

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import re2
from msgspec import Struct

from history import grid
from history.export.formats import MEDIA_TYPES
from history.grid import UTC_ZONE, step_of
from history.reader import AGGREGATES, Selector
from model.errors import InvalidError
from model.times import parse_duration, parse_time
from model.validation.nearest import did_you_mean
from model.validation.words import not_one_of

METRICS_MAX = 100
SELECTORS_MAX = 20
COMPARISONS_MAX = 5
GROUP_LABELS_MAX = 10
PARAMETER_CHARS_MAX = 4096
PATTERN_CHARS_MAX = 500
PATTERN_MEMORY_BYTES = 1 << 16
MATCHING_S = 0.1
"""CPU time for all patterns of a query together: matching blocks the event loop."""
LABEL = "label."
PATTERN = "~"
OPERATORS = frozenset("=~!")
"""Characters of operators, which a label name in a condition must not contain."""
REPEATABLE = frozenset({"metric", "agg", "group_by", "compare"})
SINGLE = frozenset({"component", "start", "end", "step", "points", "fill", "tz", "format"})
FILLS = ("null", "none", "previous", "linear")
JSON = "json"
FORMATS = (JSON, *MEDIA_TYPES)
RAW = "raw"
"""The value of `step` that selects samples instead of buckets."""
SUMMED_UP_IN_TIME = frozenset({"first", "last"})
COMPONENT = "component"
"""`group_by` accepts it besides labels."""


class Pattern(Struct, frozen=True):
    """A regular expression that the whole value of a label must match or, negated, must not."""

    label: str
    regex: Any
    negated: bool

    def select(self, values: Iterable[str], ends_at: float) -> Selector:
        """Return a selector with the values that match.

        Raises InvalidError once the CPU time of this thread passes `ends_at`.
        """
        matching = []
        for value in values:
            if time.thread_time() > ends_at:
                raise InvalidError(
                    f"label.{self.label:.40}: matching the pattern takes too long; "
                    "simplify it, or narrow the query by component"
                )
            if self.regex.fullmatch(value):
                matching.append(value)
        return Selector(self.label, matching, self.negated)


class HistoryQuery(Struct, frozen=True, kw_only=True):
    """A parsed query. `step_s` is None for samples (`is_raw`), and if `points` decides the step."""

    metrics: Sequence[str]
    component: str | None
    selectors: Sequence[Selector]
    patterns: Sequence[Pattern]
    start: datetime
    end: datetime
    step_s: int | None
    is_raw: bool
    points: int
    aggregates: Sequence[str]
    group_by: Sequence[str] | None
    fill: str
    compare: Mapping[str, int]
    zone: ZoneInfo
    format: str


class RawParameters(Struct, frozen=True, kw_only=True):
    """The parameters as received, not parsed."""

    metric: list[str]
    component: str | None
    start: str
    end: str
    step: str
    points: int
    agg: list[str] | None
    group_by: list[str] | None
    fill: str
    compare: list[str] | None
    tz: str
    format: str


def parse(parameters: RawParameters, query: Mapping[str, list[str]], now: datetime) -> HistoryQuery:
    """Return the parsed query. Raises InvalidError with what to change."""
    _check_names(query)
    _check_format(parameters)
    if parameters.fill not in FILLS:
        raise InvalidError(f"fill: {not_one_of(parameters.fill, FILLS)}")
    # An empty group_by combines all series of a metric.
    group_by = (
        None
        if parameters.group_by is None
        else [name for name in _split(parameters.group_by) if name]
    )
    if group_by is not None and len(group_by) > GROUP_LABELS_MAX:
        raise InvalidError(f"group_by takes at most {GROUP_LABELS_MAX} labels")
    selectors, patterns = _selectors(query)
    found = HistoryQuery(
        metrics=list(dict.fromkeys(parameters.metric)),
        component=parameters.component,
        selectors=selectors,
        patterns=patterns,
        start=parse_time(parameters.start, now),
        end=parse_time(parameters.end, now),
        step_s=None if parameters.step in {"auto", RAW} else step_of(parameters.step),
        is_raw=parameters.step == RAW,
        points=parameters.points,
        aggregates=_aggregates(parameters.agg, grouped=group_by is not None),
        group_by=group_by,
        fill=parameters.fill,
        compare=_comparisons(parameters.compare),
        zone=zone_named(parameters.tz),
        format=parameters.format,
    )
    if found.format == JSON:
        _check_range(found)
    return found


def _check_names(query: Mapping[str, list[str]]) -> None:
    """Reject parameters that would otherwise be ignored silently."""
    for name, values in query.items():
        if name in SINGLE and len(values) > 1:
            raise InvalidError(f"{name} must be given once")
        if name not in SINGLE | REPEATABLE and not name.startswith(LABEL):
            meant = did_you_mean(name, SINGLE | REPEATABLE)
            known = ", ".join(sorted(SINGLE | REPEATABLE))
            raise InvalidError(
                f"{name!r:.60} is not a parameter{meant or ';'} "
                f"{'The' if meant else 'the'} parameters are {known} and {LABEL}NAME"
            )
        if any(len(text) > PARAMETER_CHARS_MAX or "\0" in text for text in (name, *values)):
            raise InvalidError(
                f"{name!r:.60}: a value may have at most {PARAMETER_CHARS_MAX} characters "
                "and no null character (U+0000)"
            )


def _check_range(parameters: HistoryQuery) -> None:
    """Reject too many buckets and buckets before 1970, if the step is known."""
    if parameters.step_s is None:
        grid.check_order(parameters.start, parameters.end)
        return
    wanted = grid.make(parameters.start, parameters.end, parameters.step_s, parameters.zone)
    for seconds in parameters.compare.values():
        grid.back(wanted, seconds, parameters.zone)


def _check_format(parameters: RawParameters) -> None:
    """Reject an unknown format, and parameters that a format does not support."""
    if parameters.format not in FORMATS:
        raise InvalidError(f"format: {not_one_of(parameters.format, FORMATS)}")
    if parameters.format == JSON:
        if parameters.step == RAW:
            raise InvalidError("step=raw exports samples and needs format=csv, ndjson or arrow")
        return
    if parameters.compare or parameters.fill not in {"null", "none"}:
        raise InvalidError(
            "an export has a row only for buckets with samples; leave out fill and compare"
        )
    if parameters.step == RAW and (parameters.agg or parameters.group_by is not None):
        raise InvalidError("step=raw exports samples unchanged; leave out agg and group_by")


def _aggregates(names: list[str] | None, *, grouped: bool) -> list[str]:
    wanted = _split(["avg"] if names is None else names)
    if not wanted:
        raise InvalidError(f"agg is empty; use some of {', '.join(AGGREGATES)}")
    for name in wanted:
        if name not in AGGREGATES:
            raise InvalidError(f"agg: {not_one_of(name, AGGREGATES)}")
        if grouped and name in SUMMED_UP_IN_TIME:
            raise InvalidError(f"agg {name} is not defined for a group; leave out group_by")
    return wanted


def _selectors(query: Mapping[str, list[str]]) -> tuple[list[Selector], list[Pattern]]:
    """Read `label.a=b`, `label.a!=b`, and with patterns `label.a=~b`, `label.a!=~b`."""
    given = [
        (name.removeprefix(LABEL), value)
        for name, values in query.items()
        if name.startswith(LABEL)
        for value in values
    ]
    if len(given) > SELECTORS_MAX:
        raise InvalidError(f"a query may have at most {SELECTORS_MAX} conditions on labels")
    if sum(len(value) for _, value in given if value.startswith(PATTERN)) > PATTERN_CHARS_MAX:
        raise InvalidError(f"patterns may have at most {PATTERN_CHARS_MAX} characters together")
    selectors, patterns = [], []
    for name, value in given:
        label, negated = _label(name)
        if value.startswith(PATTERN):
            regex = _compile(label, value.removeprefix(PATTERN))
            patterns.append(Pattern(label, regex, negated))
        else:
            selectors.append(Selector(label, [value], negated))
    return selectors, patterns


def _label(name: str) -> tuple[str, bool]:
    """Return the label in the name of a parameter, and whether the condition is negated.

    Raises InvalidError for a misspelled condition such as `label.a=~=b`. Otherwise it would name a
    label that no series has, and every series would match.
    """
    label = name.removesuffix("!")
    if not label or OPERATORS.intersection(label):
        raise InvalidError(
            f"label.{name:.40} is not a condition; write label.host=a, label.host!=a, "
            "label.host=~a.* or label.host!=~a.*"
        )
    return label, name.endswith("!")


def _compile(label: str, pattern: str) -> Any:
    """Return a compiled RE2 expression, which matches in linear time for every input."""
    options = re2.Options()
    options.max_mem = PATTERN_MEMORY_BYTES
    options.never_capture = True
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace")
        raise InvalidError(
            f"label.{label:.40}: the pattern is not a valid regular expression: {reason}"
        ) from None


def _comparisons(texts: list[str] | None) -> dict[str, int]:
    """Return the time to compare with, in seconds back, by the text of the parameter."""
    found = {}
    for text in _split(texts or []):
        seconds = parse_duration(text)
        if seconds != int(seconds):
            raise InvalidError("compare must be whole seconds, such as 1d or 7d")
        found[text] = int(seconds)
    if len(found) > COMPARISONS_MAX:
        raise InvalidError(f"compare takes at most {COMPARISONS_MAX} durations")
    return found


def zone_named(name: str) -> ZoneInfo:
    if name == UTC_ZONE.key:
        return UTC_ZONE
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidError(
            f"tz {name!r:.60} is not a time zone; write one such as Europe/Lisbon"
        ) from None


def _split(texts: Iterable[str]) -> list[str]:
    """Return the distinct values of a repeated or comma-separated parameter, in order."""
    return list(dict.fromkeys(part for text in texts for part in text.split(",")))
