"""The run-time settings with their defaults and checks."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from audit import log as audit_log
from config.actions import Action, default_actions
from model.limits import COLLECT_S, COLLECT_S_MAX, COLLECT_S_MIN
from model.targets import ScrapeTarget, Target
from model.text import MetricName, NonEmptyText

BUILT_IN = ("server", "database", "trading", audit_log.COMPONENT)
"""Components that every installation has."""

Days = Annotated[float, Meta(gt=0, le=36500)]


class Threshold(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The limits of a metric; with `op` `>` larger values are worse, with `<` smaller ones."""

    warning: float | None = None
    critical: float | None = None
    emergency: float | None = None
    info: float | None = None
    op: Literal[">", "<"] = ">"

    def __post_init__(self) -> None:
        """Reject limits that are not ordered by severity."""
        given = (self.info, self.warning, self.critical, self.emergency)
        limits = [limit for limit in given if limit is not None]
        if not limits:
            raise ValueError("a threshold needs at least one of info, warning, critical, emergency")
        if limits != sorted(limits, reverse=self.op == "<"):
            order = "higher" if self.op == ">" else "lower"
            raise ValueError(
                f"with op {self.op!r} a more severe level needs an equal or {order} limit"
            )


class Intervals(Struct, frozen=True, forbid_unknown_fields=True):
    """Intervals in seconds. Rules are always evaluated once a minute."""

    collect_s: Annotated[float, Meta(ge=COLLECT_S_MIN, le=COLLECT_S_MAX)] = COLLECT_S
    health_s: Annotated[float, Meta(ge=5, le=300)] = 30


class MetricRetention(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The retention of one metric: a shorter age in every tier, or another resolution.

    `keep_days` applies to whole UTC days. `resolution` is a power of two to which values are
    rounded before they are stored; it replaces the resolution that the series declares.
    """

    keep_days: Annotated[float, Meta(ge=1, le=36500)] | None = None
    resolution: Annotated[float, Meta(gt=0, le=2**100)] | None = None

    def __post_init__(self) -> None:
        """Reject a resolution that is not a power of two: it would make values longer."""
        if self.resolution is not None and math.frexp(self.resolution)[0] != 0.5:  # noqa: PLR2004 (the mantissa of every power of two)
            raise ValueError("resolution must be a power of two, such as 0.015625, 0.5, 1 or 1024")


class Retention(Struct, frozen=True, forbid_unknown_fields=True):
    """How many days each tier is kept (None: for ever), and when chunks are compressed.

    `metrics` has exceptions for single metrics. `capacity_bytes` is the disk space of a database
    server, which Vigia cannot see itself, for the forecast of when it is full.
    """

    raw_days: Annotated[float, Meta(ge=4, le=36500)] = 30
    rollup_1m_days: Days = 7
    rollup_5m_days: Days | None = 90
    rollup_1h_days: Days | None = 5 * 365
    rollup_1d_days: Days | None = None
    checks_days: Days | None = 90
    uptime_days: Days | None = None
    events_days: Days = 7
    alerts_days: Days = 730
    compress_after_days: Days = 0.25
    metrics: Annotated[dict[MetricName, MetricRetention], Meta(max_length=100)] = msgspec.field(
        default_factory=dict
    )
    capacity_bytes: Annotated[int, Meta(ge=1, le=2**60)] | None = None

    def __post_init__(self) -> None:
        """Reject a tier kept shorter than its source: late samples could not update its buckets."""
        chain = (self.raw_days, self.rollup_5m_days, self.rollup_1h_days, self.rollup_1d_days)
        days = [float("inf") if part is None else part for part in chain]
        if days != sorted(days) or self.rollup_1m_days > self.raw_days:
            raise ValueError(
                "each roll-up must be kept at least as long as its source "
                "(raw <= 5m <= 1h <= 1d), and 1m at most as long as raw"
            )

    def resolution(self, metric: str, declared: float | None) -> float | None:
        """Return the resolution of a metric's values: of its policy, else the declared one."""
        policy = self.metrics.get(metric)
        return declared if policy is None or policy.resolution is None else policy.resolution

    def metrics_document(self) -> dict[str, Any]:
        """Return `metrics` in the form that SQL reads, without fields that are not set."""
        document: dict[str, Any] = msgspec.to_builtins(self.metrics)
        return document


def default_targets() -> tuple[Target, ...]:
    """Return the default targets. OpenAI answers 401 without a key, which counts as up."""
    return (
        Target(name="binance", url="https://api.binance.com/api/v3/time"),
        Target(name="bybit", url="https://api.bybit.com/v5/market/time"),
        Target(name="openai", url="https://api.openai.com/v1/models", up_status=(200, 401)),
        Target(name="ngrok", url="http://127.0.0.1:4040/api/tunnels", kind="ngrok"),
    )


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """All run-time settings; each field is a key of `monitoring_config`."""

    intervals: Intervals = Intervals()
    targets: Annotated[tuple[Target, ...], Meta(max_length=100)] = msgspec.field(
        default_factory=default_targets
    )
    scrapes: Annotated[tuple[ScrapeTarget, ...], Meta(max_length=100)] = ()
    retention: Retention = Retention()
    thresholds: dict[MetricName, Threshold] = msgspec.field(
        default_factory=lambda: {
            "server_memory_percent": Threshold(warning=70, critical=90),
            "server_cpu_percent": Threshold(warning=60, critical=80),
            "database_latency_ms": Threshold(warning=500, critical=1000),
            "external_latency_ms": Threshold(warning=2000, critical=5000),
            "trading_success_percent": Threshold(op="<", warning=50, critical=30),
        }
    )
    dependencies: Annotated[
        dict[NonEmptyText, Annotated[tuple[NonEmptyText, ...], Meta(max_length=100)]],
        Meta(max_length=1000),
    ] = {}
    """The components that each component depends on. While one is down, its alerts are
    suppressed."""
    actions: Annotated[tuple[Action, ...], Meta(max_length=50)] = msgspec.field(
        default_factory=default_actions
    )
    """What alerts have Vigia do besides telling people."""

    def __post_init__(self) -> None:
        """Reject circular dependencies, and names that are used twice or reserved."""
        _order(self.dependencies)
        _refuse_two_of_a_name(self.actions)
        names = Counter(target.name for target in self.outside)
        for name, count in names.items():
            if name in BUILT_IN:
                raise ValueError(
                    f"{name!r} is reserved for a component that Vigia measures itself; "
                    "choose another name"
                )
            if count > 1:
                raise ValueError(
                    f"{count} targets or scrapes are named {name!r}; each needs its own name "
                    "(targets that were never set are the default ones)"
                )

    @property
    def measured(self) -> frozenset[str]:
        """The components whose `component_up` Vigia measures itself."""
        return frozenset({*BUILT_IN, *(target.name for target in self.outside)})

    @property
    def outside(self) -> tuple[Target | ScrapeTarget, ...]:
        """All targets and scrapes; each is a component."""
        return (*self.targets, *self.scrapes)

    def all_dependencies(self) -> dict[str, list[str]]:
        """Return the direct and indirect dependencies of each component."""
        found: dict[str, set[str]] = {}
        for component in _order(self.dependencies):
            below = self.dependencies.get(component, ())
            found[component] = set(below).union(*(found[one] for one in below))
        return {component: sorted(below) for component, below in found.items() if below}

    def thresholds_document(self) -> dict[str, Any]:
        """Return the thresholds in the form that SQL reads, without fields that are not set."""
        document: dict[str, Any] = msgspec.to_builtins(self.thresholds)
        return document


def _refuse_two_of_a_name(actions: Sequence[Action]) -> None:
    for name, count in Counter(action.name for action in actions).items():
        if count > 1:
            raise ValueError(f"{count} actions are named {name!r}; give each a name of its own")


def _order(dependencies: Mapping[str, Sequence[str]]) -> list[str]:
    """Return components after their dependencies. Raises ValueError for a circle."""
    try:
        return list(TopologicalSorter(dependencies).static_order())
    except CycleError as error:
        circle = " on ".join(error.args[1][::-1])
        raise ValueError(f"circular dependency: {circle}; remove one of them") from None
