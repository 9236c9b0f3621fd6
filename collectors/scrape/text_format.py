"""Parses the answer of a scraped target: Prometheus text format 0.0.4, or OpenMetrics 1.0."""

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
"""How far before and after the slot the timestamp of a sample may be, in seconds."""

RESERVED = frozenset(
    {COMPONENT_UP, "scrape_duration_ms", "scrape_samples", "scrape_samples_skipped"}
)
"""Metrics that Vigia measures of the target itself. Its own samples of these names are skipped."""

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
"""The characters that a backslash escapes. Before any other character it stands for itself."""

COUNTING = {
    "_total": {"counter"},
    "_bucket": {"histogram"},
    "_count": {"histogram", "summary"},
    "_sum": {"histogram", "summary"},
}
"""The suffixes of counters, and the types of the families that have them."""


MEASURED: Mapping[str, set[str | None]] = {
    "_total": {"counter", None},
    "_sum": {"histogram", "summary"},
    "_gsum": {"gaugehistogram"},
}
"""The suffixes of samples that have the unit of their family, and the types of these families."""


class FormatError(Exception):
    """The answer is not in the format. The message names the line."""


class Page(Struct):
    """The samples of an answer, and the number of skipped ones by reason.

    NaN values and the names in `RESERVED` are skipped without a reason.
    """

    samples: list[Sample] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)

    def add(self, series: Series | str, value: float, ahead_s: float, slot: datetime) -> None:
        """Add a value whose time is `ahead_s` seconds after the slot, or count it as skipped.

        A `series` that is a text is the reason why the sample cannot be stored.
        """
        if isinstance(series, str):
            self.skipped[series] += 1
        elif math.isnan(value) or series.metric in RESERVED:
            self.skipped[NO_REASON] += 1
        elif abs(value) > VALUE_MAX:
            self.skipped[f"{series.metric} is infinite, or larger than {VALUE_MAX:g}"] += 1
        elif not -PAST_S <= ahead_s <= FUTURE_S:
            self.skipped["a timestamp is more than 1 hour old or 10 minutes ahead"] += 1
        else:
            time = slot + timedelta(seconds=ahead_s) if ahead_s else slot
            self.samples.append(Sample(series, time, value))


class Reader:
    """Parses the answers of one target.

    It caches the series of each line head (name and labels), because most heads are the same in
    the next answer.
    """

    def __init__(self, component: str, labels: dict[str, str], sample_limit: int) -> None:
        self._component = component
        self._labels = labels
        self._sample_limit = sample_limit
        self._declared: list[tuple[str, str, str]] = []
        self._known: dict[str, Series | str] = {}

    def read(self, body: bytes, time: datetime, *, is_open: bool) -> Page:
        """Return the samples of a complete answer. Raises FormatError.

        A sample without a timestamp gets `time`. `is_open` says that the answer is OpenMetrics,
        where timestamps are seconds and not milliseconds.
        """
        text = _decoded(body)
        if is_open and not text.rstrip("\n").endswith("# EOF"):
            raise FormatError("the answer is incomplete: it does not end with # EOF")
        declared = DECLARED.findall(text)
        # A changed type or unit changes the series, so the cache holds only for equal declarations.
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
                raise FormatError(f"line {number} is not a sample")
            count += 1
            if count > self._sample_limit:
                raise FormatError(
                    f"more than {self._sample_limit} samples; raise sample_limit of the target"
                )
            head = match[1]
            series = known.get(head) or self._series(head, number, families)
            self._known[head] = series
            try:
                value = float(match[2])
                ahead_s = float(match[3]) / per_second - slot_s if match[3] else 0.0
            except ValueError:
                raise FormatError(f"line {number} has a value that is not a number") from None
            page.add(series, value, ahead_s, time)
        return page

    def _series(self, head: str, number: int, families: "Families") -> Series | str:
        """Return the series of a name and its labels, or why it cannot be stored.

        As in Prometheus, a label that the target's own `labels` replace becomes `exported_<name>`,
        and a label with an empty value is dropped.
        """
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
    """The types and units that an answer declares for its metric families."""

    def __init__(self, declared: Iterable[tuple[str, str, str]]) -> None:
        self._types: dict[str, str] = {}
        self._units: dict[str, str] = {}
        for what, name, word in declared:
            (self._types if what == "TYPE" else self._units)[name] = word

    def series(self, metric: str, component: str, labels: Labels) -> Series:
        """Return a series without a resolution: a foreign name does not tell the precision."""
        named = series_of(metric, component, Category.EXTERNAL)
        unit = self._units.get(self._measured(metric), named.unit)[:UNIT_CHARS_MAX]
        kind = self._kind(metric, named.kind)
        return structs.replace(named, labels=labels, unit=unit, kind=kind, resolution=None)

    def _measured(self, metric: str) -> str:
        """Return the family whose unit the metric has, or the metric itself.

        `_count` and `_bucket` count observations, and do not have the unit of their family.
        """
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
    """Return the labels between the braces. Raises FormatError."""
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
            limit = f"more than {LABEL_VALUE_BYTES_MAX} bytes"
            return f"{metric}: label {name} contains {UNSAFE_WORDS}, or {limit}"
    if identity_bytes(component, labels) > IDENTITY_BYTES_MAX:
        return f"the labels of {metric} have more than {IDENTITY_BYTES_MAX} bytes together"
    return ""
