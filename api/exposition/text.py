"""Writes newest values as text: OpenMetrics 1.0 or Prometheus' text format 0.0.4."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache

import msgspec
from msgspec import Struct

from api.exposition.families import (
    COUNTED,
    COUNTER,
    CREATED,
    Compound,
    Family,
    Point,
    compounds,
    others_of,
)
from model.metrics import METRICS

CACHED_MAX = 100_000
"""The limit of series: names and labels of each are formatted once, then only values change."""

COMPONENT = "component"
GAUGE = "gauge"

FOREIGN = re.compile(r"[^a-zA-Z0-9_]", re.ASCII)
UNIT = re.compile(r"[a-zA-Z0-9_]+", re.ASCII)


class Form(Struct, frozen=True):
    """One of the two formats."""

    media_type: str
    """The framework adds the charset to a text/ type."""
    unknown: str
    is_open: bool
    """OpenMetrics has units, an end mark and times in seconds; its counters end in `_total`."""


OPENMETRICS = Form(
    "application/openmetrics-text; version=1.0.0; charset=utf-8", "unknown", is_open=True
)
TEXT = Form("text/plain; version=0.0.4", "untyped", is_open=False)


class Exposition:
    """Collects the points of a response, each series once.

    If several series map to the same name and labels, the newest value wins; `merged` counts the
    others.
    """

    def __init__(self) -> None:
        self._families: defaultdict[str, Family] = defaultdict(dict)
        self.merged = 0

    def add(self, points: Iterable[Point]) -> None:
        for point in points:
            family = self._families[_name(point.metric)]
            known = family.setdefault(point.labels, point)
            if known is not point:
                self.merged += 1
                if (known.time_ms or 0) < (point.time_ms or 0):
                    family[point.labels] = point

    def write(self, form: Form) -> bytes:
        times = {point.time_ms for family in self._families.values() for point in family.values()}
        stamps = {time_ms: _stamp(time_ms, form) for time_ms in times}
        lines: list[str] = []
        wholes = {
            name: whole
            for whole in compounds(self._families, is_open=form.is_open)
            for name in whole.members
        }
        for name, family in self._families.items():
            whole = wholes.get(name)
            if whole is None:
                lines += _head(name, _type(name, self._families, form), family.values(), form)
                lines += [
                    f"{name}{labels} {point.value!r}{stamps[point.time_ms]}\n"
                    for labels, point in family.items()
                ]
            elif name == whole.samples[0].name:
                lines += _whole(whole, stamps, form)
        return "".join([*lines, "# EOF\n" if form.is_open else ""]).encode()


def _whole(whole: Compound, stamps: Mapping[int | None, str], form: Form) -> Iterator[str]:
    """Yield the lines of a family of several names, one group of labels after the other."""
    yield from _head(whole.name, whole.type, whole.described, form)
    for name, labels, point in whole.samples:
        yield f"{name}{labels} {point.value!r}{stamps[point.time_ms]}\n"


def _stamp(time_ms: int | None, form: Form) -> str:
    if time_ms is None:
        return ""
    return f" {time_ms / 1000!r}" if form.is_open else f" {time_ms}"


def _head(name: str, kind: str, points: Collection[Point], form: Form) -> Iterator[str]:
    first = next(iter(points))
    family = name.removesuffix(COUNTED) if kind == COUNTER and form.is_open else name
    yield f"# TYPE {family} {kind}\n"
    if form.is_open and _has_unit(family, first.unit) and len({p.unit for p in points}) == 1:
        yield f"# UNIT {family} {first.unit}\n"
    if text := first.help or _help(name, first):
        yield f"# HELP {family} {_escaped(text, quotes=form.is_open)}\n"


def _type(name: str, families: Mapping[str, Family], form: Form) -> str:
    """Return the type of a family if it holds for all its points, else `unknown` or `untyped`.

    An OpenMetrics counter must end in `_total` and reserves further names, which other families may
    already use.
    """
    points = families[name].values()
    counting = sum(point.counts for point in points)
    if not counting:
        return GAUGE
    base = name.removesuffix(COUNTED)
    # A counter with its own creation time is written as a compound, so these names are others'.
    reserved = {base, base + CREATED} | others_of(base + CREATED)
    is_taken = form.is_open and (base == name or not reserved.isdisjoint(families))
    falls = min(point.value for point in points) < 0
    return form.unknown if counting < len(points) or is_taken or falls else COUNTER


def _has_unit(family: str, unit: str) -> bool:
    return UNIT.fullmatch(unit) is not None and family.endswith(f"_{unit}")


def _help(name: str, point: Point) -> str:
    """Return what a metric of ours measures, and what the name does not tell.

    That is the name in Vigia, and the unit.
    """
    ours = METRICS.get(point.metric) or METRICS.get(f"{point.metric}{COUNTED}")
    says_unit = not point.unit or _has_unit(name.removesuffix(COUNTED), point.unit)
    words = [ours.help] if ours else []
    words += [] if name == point.metric else [f"{point.metric} in Vigia."]
    return " ".join(words if says_unit else [*words, f"In {point.unit}."])


@lru_cache(CACHED_MAX)
def _name(metric: str) -> str:
    """Return a metric's name as both formats allow it."""
    return FOREIGN.sub("_", metric)


@lru_cache(CACHED_MAX)
def labels_text(component: str, labels: str) -> str:
    """Return a series' component and labels (JSON) in the syntax of the formats.

    Labels that map to the same name are joined. A label `component` becomes `exported_component`.
    Vigia's own metrics have no component.
    """
    found: dict[str, list[str]] = {}
    for name, value in sorted(msgspec.json.decode(labels, type=dict[str, str]).items()):
        if value:
            found.setdefault(_label(name), []).append(value)
    pairs = {COMPONENT: [component]} | found if component else found
    texts = [f'{name}="{_escaped(";".join(values))}"' for name, values in pairs.items()]
    return "{" + ",".join(texts) + "}" if texts else ""


def _label(name: str) -> str:
    name = FOREIGN.sub("_", name)
    if name == COMPONENT:
        return f"exported_{name}"
    if name.startswith("__"):
        # Prometheus reserves such labels and drops them after relabelling.
        return f"key{name}"
    return f"key_{name}" if name[0].isdigit() else name


def _escaped(text: str, *, quotes: bool = True) -> str:
    """Return an escaped text; HELP lines of format 0.0.4 do not escape quotes."""
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text
