"""The workload: a thousand series of a hundred hosts, rules, and trouble that passes through."""

from collections.abc import Mapping
from functools import cached_property

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from model.series import Series, labels_of
from model.severity import Level

METRICS = ("cpu", "memory", "disk", "network", "swap", "load", "io", "threads", "files", "queue")
HOSTS = 100
ZONES = ("a", "b", "c")
STEP_S = 15
MINUTE_SAMPLES = 60 // STEP_S
CALM, HOT, NOISE = 50.0, 95.0, 2.0

BEFORE, WARM_UP, MEASURED = 60, 12, 15
"""Numbers of minutes: without alerts, until as many alerts resolve as open, and measured ones."""
EVALUATIONS = WARM_UP + MEASURED
HOT_MINUTES, SILENT_MINUTES = 5, 2
TURNS = 200
"""Minutes until each series has had its trouble. In each minute it begins for one series in this
many."""


class Kind(Struct, frozen=True):
    """A kind of rule in the form of Vigia and of Prometheus."""

    fields: Mapping[str, object]
    expression: str
    waits: int = 0
    vector: str = ""
    """The expression over a vector, if it is a different one."""


def _above(warning: float, critical: float, agg: str = "avg", **more: object) -> Kind:
    levels = {Level.WARNING: warning, Level.CRITICAL: critical}
    expression = f"{agg}_over_time({{m}}[{{m1}}]) > {warning}"
    return Kind({"agg": agg, "levels": levels, **more}, expression)


KINDS = (
    _above(70, 90),
    _above(75, 92),
    _above(60, 90, "max"),
    _above(80, 90, recovery={Level.WARNING: 65}),
    _above(65, 85, no_data="keep"),
    Kind({"levels": {Level.WARNING: 70}, "for": "2m"}, "avg_over_time({m}[{m1}]) > 70", waits=2),
    Kind({"levels": {Level.WARNING: 57}, "window": "5m"}, "avg_over_time({m}[{m5}]) > 57"),
    Kind(
        {"kind": "absence", "no_data": "alert"},
        "absent_over_time({m}[{m1}])",
        # For a vector, absent_over_time is true only if all series are absent.
        vector="last_over_time({m}[{m5}]) unless last_over_time({m}[{m1}])",
    ),
    Kind(
        {"kind": "change", "offset": "5m", "levels": {Level.WARNING: 20}},
        "avg_over_time({m}[{m1}]) - avg_over_time({m}[{m1}] offset {m5}) > 20",
    ),
    Kind(
        {"kind": "ratio", "levels": {Level.WARNING: 1.5}},
        "avg_over_time({m}[{m1}]) / avg_over_time({over}[{m1}]) > 1.5",
    ),
)
"""Each rule opens once and resolves once during the trouble of its series."""


def _series(number: int) -> Series:
    host = number % HOSTS
    labels = labels_of({"zone": ZONES[host % len(ZONES)]})
    return Series(
        metric=f"host_{METRICS[number // HOSTS]}", component=f"host-{host:02}", labels=labels
    )


SERIES = [_series(number) for number in range(len(METRICS) * HOSTS)]


class Workload(Struct, frozen=True, dict=True):
    """Rules over single series, and the series' values: a row for each series, a column for a time.

    The trouble of a series: its values are high for some minutes, then missing, then normal again.
    """

    size: int
    vector: bool = False
    """Whether rules cover a metric of all hosts, instead of one series each."""

    @property
    def is_whole(self) -> bool:
        """Whether each series has a rule of each kind. Only then there is a vector form."""
        return self.size == len(SERIES) * len(KINDS)

    @property
    def forms(self) -> "list[Workload]":
        """Return the workloads that make the same comparisons."""
        return [self, Workload(self.size, vector=True)] if self.is_whole else [self]

    @property
    def rules(self) -> int:
        """The number of rules that make the comparisons."""
        return len(METRICS) * len(KINDS) if self.vector else self.size

    @property
    def covered(self) -> int:
        return min(self.size, len(SERIES))

    def kind(self, number: int) -> Kind:
        """Return the kind of a rule. Ten rules over one series have all kinds."""
        if self.vector:
            return KINDS[number // len(METRICS)]
        return KINDS[(number // len(SERIES) + number) % len(KINDS)]

    def series(self, number: int) -> Series:
        """Return the series of a rule, or its metric without component and labels."""
        if self.vector:
            return Series(metric=f"host_{METRICS[number % len(METRICS)]}", component="", labels=())
        return SERIES[number % len(SERIES)]

    def partner(self, number: int) -> Series:
        """Return a series with the same component and labels, which has no trouble meanwhile."""
        if self.vector:
            return self.series(number + len(METRICS) // 2)
        return SERIES[(number + len(SERIES) // 2) % len(SERIES)]

    def rule(self, number: int) -> dict[str, object]:
        series, fields = self.series(number), dict(self.kind(number).fields)
        if fields.get("kind") == "ratio":
            fields["over"] = self.partner(number).metric
        where = {"component": series.component, "labels": dict(series.labels)}
        return {
            "name": f"r{number:05}",
            "metric": series.metric,
            **({} if self.vector else where),
            **fields,
        }

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """Return the values from BEFORE minutes before the trouble on. NaN means no sample."""
        count = (BEFORE + EVALUATIONS) * MINUTE_SAMPLES
        noise = np.random.default_rng(6).uniform(-NOISE, NOISE, (len(SERIES), count))
        minute = np.arange(count) // MINUTE_SAMPLES - BEFORE
        begins = np.arange(len(SERIES)) * TURNS // self.covered
        begins[self.covered :] = EVALUATIONS
        since = minute - begins[:, None]
        is_hot = (since >= 0) & (since < HOT_MINUTES)
        is_silent = (since >= HOT_MINUTES) & (since < HOT_MINUTES + SILENT_MINUTES)
        return np.where(is_silent, np.nan, np.where(is_hot, HOT, CALM) + noise)
