"""What a scraped target answers: the Prometheus text format 0.0.4, and OpenMetrics 1.0."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from msgspec import Struct, field, structs

from collectors.metrics import series_of
from model.limits import (
    FUTURE_MAX,
    IDENTITY_BYTES_MAX,
    LABEL_NAME_BYTES_MAX,
    LABEL_VALUE_BYTES_MAX,
    LABELS_MAX,
    NAME_CHARS_MAX,
    UNIT_CHARS_MAX,
    VALUE_MAX,
)
from model.series import (
    COMPONENT_UP,
    Category,
    Kind,
    Labels,
    Sample,
    Series,
    identity_bytes,
    labels_of,
)
from model.text import METRIC_NAME, UNSAFE_WORDS, is_safe

PAST_S, FUTURE_S = 3600.0, FUTURE_MAX.total_seconds()
"""A target's own timestamp is believed so far around the slot."""

RESERVED = frozenset(
    {COMPONENT_UP, "scrape_duration_ms", "scrape_samples", "scrape_samples_skipped"}
)
"""What is measured of the target itself."""

QUOTED = r'"(?:[^"\\]|\\.)*"'
HEAD = rf'[a-zA-Z_:][a-zA-Z0-9_:]*[ \t]*(?:\{{(?:[^"{{}}]|{QUOTED})*\}})?'
SAMPLE = re.compile(
    rf"({HEAD})(?:(?<=\}})[ \t]*|(?<=[ \t]))([^\s_#]+)(?:[ \t]+([0-9.eE+-]+))?[ \t]*(?:#.*)?",
    re.ASCII,
)
LABEL = re.compile(rf"[ \t]*([a-zA-Z_][a-zA-Z0-9_]*)[ \t]*=[ \t]*({QUOTED})[ \t]*(?:,|$)", re.ASCII)
DECLARED = re.compile(r"^#[ \t]+(TYPE|UNIT)[ \t]+(\S+)[ \t]+(\S+)", re.MULTILINE)
ESCAPED = re.compile(r"\\(.)")

NO_REASON = ""
ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}
"""Before any other character a backslash is only itself."""

COUNTING = {
    "_total": {"counter"},
    "_bucket": {"histogram"},
    "_count": {"histogram", "summary"},
    "_sum": {"histogram", "summary"},
}
"""Suffixes of samples that only grow, by the type of their family."""


MEASURED: Mapping[str, set[str | None]] = {
    "_total": {"counter", None},
    "_sum": {"histogram", "summary"},
    "_gsum": {"gaugehistogram"},
}
"""Suffixes of samples in their family's unit, by its type."""


class FormatError(Exception):
    """An answer is not in the format; the message names the line."""


class Page(Struct):
    """An answer's samples, and how many others are skipped by why they cannot be stored.

    Those that say that there is no value, or that are the service's own, have no reason.
    """

    samples: list[Sample] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)

    def add(self, series: Series | str, value: float, ahead_s: float, slot: datetime) -> None:
        """Take a value of a time that is so much later than the slot."""
        if isinstance(series, str):
            self.skipped[series] += 1
        elif math.isnan(value) or series.metric in RESERVED:
            self.skipped[NO_REASON] += 1
        elif abs(value) > VALUE_MAX:
            self.skipped[f"{series.metric} is infinite, or beyond {VALUE_MAX:g}"] += 1
        elif not -PAST_S <= ahead_s <= FUTURE_S:
            self.skipped["a timestamp is over an hour old, or over 10 minutes ahead"] += 1
        else:
            time = slot + timedelta(seconds=ahead_s) if ahead_s else slot
            self.samples.append(Sample(series, time, value))


class Reader:
    """Reads one target's answers; what is the same as in the one before is not read again."""

    def __init__(self, component: str, labels: dict[str, str], sample_limit: int) -> None:
        self._component = component
        self._labels = labels
        self._sample_limit = sample_limit
        self._declared: list[tuple[str, str, str]] = []
        self._known: dict[str, Series | str] = {}

    def read(self, body: bytes, time: datetime, *, is_open: bool) -> Page:
        """Return the samples of a whole answer. Raises FormatError for one that is none.

        A sample without a time of its own gets `time`.
        """
        text = _decoded(body)
        if is_open and not text.rstrip("\n").endswith("# EOF"):
            raise FormatError("the answer ends before # EOF")
        declared = DECLARED.findall(text)
        known = self._known if declared == self._declared else {}
        self._declared, self._known = declared, {}
        families = Families(declared)
        page, count = Page(), 0
        slot_s, per_second = time.timestamp(), 1 if is_open else 1000
        for number, line in enumerate(text.split("\n"), 1):
            if not line or line[0] == "#" or line.isspace():
                continue
            match = SAMPLE.fullmatch(line)
            if match is None:
                raise FormatError(f"line {number} is no sample")
            count += 1
            if count > self._sample_limit:
                raise FormatError(f"more than {self._sample_limit} samples")
            head = match[1]
            series = known.get(head) or self._series(head, number, families)
            self._known[head] = series
            try:
                value = float(match[2])
                ahead_s = float(match[3]) / per_second - slot_s if match[3] else 0.0
            except ValueError:
                raise FormatError(f"line {number} has a value that is no number") from None
            page.add(series, value, ahead_s, time)
        return page

    def _series(self, head: str, number: int, families: "Families") -> Series | str:
        """Return the series of a name with its labels, or why it cannot be one of ours."""
        metric, _, inside = head.partition("{")
        metric = metric.rstrip()
        pairs = _pairs(inside.rstrip()[:-1], number) if inside else {}
        named = {
            f"exported_{name}" if name in self._labels else name: pairs[name] for name in pairs
        }
        labels = labels_of({name: value for name, value in named.items() if value} | self._labels)
        return _problem(metric, self._component, labels) or families.series(
            metric, self._component, labels
        )


class Families:
    """What an answer declares of its families: their types and units."""

    def __init__(self, declared: Iterable[tuple[str, str, str]]) -> None:
        self._types: dict[str, str] = {}
        self._units: dict[str, str] = {}
        for what, name, word in declared:
            (self._types if what == "TYPE" else self._units)[name] = word

    def series(self, metric: str, component: str, labels: Labels) -> Series:
        """Return a series, stored as it comes: its name does not say how fine its values are."""
        named = series_of(metric, component, Category.EXTERNAL)
        unit = self._units.get(self._measured(metric), named.unit)[:UNIT_CHARS_MAX]
        kind = self._kind(metric, named.kind)
        return structs.replace(named, labels=labels, unit=unit, kind=kind, resolution=None)

    def _measured(self, metric: str) -> str:
        """Return the family whose unit a metric has; a count of observations has none."""
        for ending, types in MEASURED.items():
            family = metric.removesuffix(ending)
            if family != metric and self._types.get(family) in types:
                return family
        return metric

    def _kind(self, metric: str, by_name: Kind) -> Kind:
        if metric in self._types:
            return Kind.COUNTER if self._types[metric] == "counter" else Kind.GAUGE
        for suffix, types in COUNTING.items():
            if metric.endswith(suffix) and self._types.get(metric.removesuffix(suffix)) in types:
                return Kind.COUNTER
        return by_name


def _decoded(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise FormatError("the answer is not UTF-8") from None


def _pairs(inside: str, number: int) -> dict[str, str]:
    """Return the labels between the braces."""
    pairs: dict[str, str] = {}
    at = 0
    while at < len(inside):
        match = LABEL.match(inside, at)
        if match is None or match[1] in pairs:
            raise FormatError(f"line {number} has labels that cannot be read")
        pairs[match[1]] = ESCAPED.sub(_unescaped, match[2][1:-1])
        at = match.end()
    return pairs


def _unescaped(match: re.Match[str]) -> str:
    return ESCAPES.get(match[1], match[0])


def _problem(metric: str, component: str, labels: Labels) -> str:
    if not METRIC_NAME.fullmatch(metric):
        return f"a name has more than {NAME_CHARS_MAX} characters"
    if len(labels) > LABELS_MAX:
        return f"{metric} has more than {LABELS_MAX} labels"
    for name, value in labels:
        if len(name) > LABEL_NAME_BYTES_MAX:
            return f"a label of {metric} has a name of more than {LABEL_NAME_BYTES_MAX} bytes"
        if len(value.encode()) > LABEL_VALUE_BYTES_MAX or not is_safe(value):
            return f"{metric}: {name} has {UNSAFE_WORDS}, or over {LABEL_VALUE_BYTES_MAX} bytes"
    if identity_bytes(component, labels) > IDENTITY_BYTES_MAX:
        return f"the labels of {metric} have more than {IDENTITY_BYTES_MAX} bytes together"
    return ""
