"""The alert rule: its fields, their checks, and the row in which the database stores it."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from model.limits import VALUE_MAX
from model.series import COMPONENT_UP, SELF_METRICS, Category
from model.severity import Level
from model.text import LINES, Lines, MetricName, Name, Text, TextLabels
from model.times import DAY_S, WholeDuration, duration_text, whole_seconds

RULES_MAX = 20_000
WINDOW_S_MAX = 7 * DAY_S
WINDOW_OF_SAMPLES_S_MAX = OFFSET_S_MAX = DAY_S
OF_SAMPLES = {"rate", "p50", "p90", "p95", "p99"}
"""Aggregates that the 1m tier does not contain; they are computed from samples."""
WAIT_S_MAX = 7 * DAY_S
DURATIONS = (
    "window", "for", "keep_firing_for", "escalate_after", "flap_window", "offset", "short_window",
)  # fmt: skip
MEMBERS = ("all_of", "any_of", "none_of")
SQL_RULE_LEAD_S = 30
"""How many seconds before the end of a minute SQL rules run."""
OWN_NAMES = {"rule-error", "preview"}
"""Reserved names: of the alert about a quarantined rule, and of the address of previews."""

Limit = Annotated[float, Meta(ge=-VALUE_MAX, le=VALUE_MAX)]
Names = Annotated[Sequence[Name], Meta(max_length=100)]
"""A Sequence, because OpenAPI would describe a tuple as an array of fixed length."""
Policy = Literal["keep", "ok", "alert"]
LEVELS_BY_SEVERITY = list(Level)


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An alert rule.

    Without `levels` it takes the thresholds of its metric from the settings. Without a component it
    covers all components. Without a category its alerts take that of the series.
    """

    name: Name
    kind: Literal["threshold", "absence", "change", "ratio", "burn", "composite", "sql"] = (
        "threshold"
    )
    metric: MetricName | None = None
    component: Text | None = None
    labels: TextLabels = msgspec.field(default_factory=dict)
    category: Category | None = None
    agg: Literal[
        "avg", "min", "max", "sum", "count", "first", "last", "stddev", "rate",
        "p50", "p90", "p95", "p99",
    ] = "avg"  # fmt: skip
    window: WholeDuration = "1m"
    op: Literal[">", ">=", "<", "<="] = ">"
    levels: dict[Level, Limit] | None = None
    recovery: dict[Level, Limit] | None = None
    for_: WholeDuration = msgspec.field(default="0s", name="for")
    keep_firing_for: WholeDuration = "0s"
    no_data: Policy = "keep"
    no_data_level: Level = Level.WARNING
    on_error: Policy = "keep"
    escalate_after: WholeDuration | None = None
    flap_count: Annotated[int, Meta(ge=0, le=100)] = 0
    flap_window: WholeDuration = "1h"
    over: MetricName | None = None
    offset: WholeDuration = "0s"
    relative: bool = False
    objective: Annotated[float, Meta(gt=0, lt=100)] | None = None
    short_window: WholeDuration | None = None
    all_of: Names = ()
    any_of: Names = ()
    none_of: Names = ()
    by_component: bool = False
    level: Level | None = None
    sql: Annotated[str, Meta(pattern=LINES, min_length=1, max_length=10_000)] | None = None
    enabled: bool = True
    runbook: Lines | None = None

    def __post_init__(self) -> None:
        """Reject rules that could never fire or never end."""
        for name in MEMBERS:
            msgspec.structs.force_setattr(self, name, tuple(getattr(self, name)))
        _check_durations(self)
        _check_levels(self)
        _check_fields(self)
        _check_kind(self)


def columns(rule: Rule) -> dict[str, Any]:
    """Return a rule as a row of `alert_rules`; durations become seconds."""
    document: dict[str, Any] = msgspec.to_builtins(rule)
    for name in DURATIONS:
        text = document.pop(name)
        document[f"{name}_s"] = None if text is None else whole_seconds(text)
    for name in MEMBERS:
        document[name] = list(document[name])
    document["is_relative"] = document.pop("relative")
    return document


def of_columns(row: Mapping[str, Any]) -> Rule:
    """Return the rule in a row of `alert_rules`."""
    document = dict(row)
    for name in DURATIONS:
        value = document.pop(f"{name}_s")
        document[name] = None if value is None else duration_text(value)
    document["relative"] = document.pop("is_relative")
    return msgspec.convert(document, Rule)


def _check_durations(rule: Rule) -> None:
    of_minutes = whole_seconds(rule.window) % 60 == 0 and rule.agg not in OF_SAMPLES
    longest = WINDOW_S_MAX if of_minutes else WINDOW_OF_SAMPLES_S_MAX
    if not 1 <= whole_seconds(rule.window) <= longest:
        raise ValueError(
            f"window must be from 1s to {duration_text(WINDOW_OF_SAMPLES_S_MAX)}; whole minutes "
            f"may be up to {duration_text(WINDOW_S_MAX)}, except for rate and percentiles"
        )
    waits = (rule.for_, rule.keep_firing_for, rule.flap_window, rule.escalate_after or "1s")
    if max(map(whole_seconds, waits)) > WAIT_S_MAX:
        most = duration_text(WAIT_S_MAX)
        raise ValueError(
            f"for, keep_firing_for, flap_window and escalate_after may be at most {most}"
        )
    if whole_seconds(rule.flap_window) == 0 or (
        rule.escalate_after and not whole_seconds(rule.escalate_after)
    ):
        raise ValueError("flap_window and escalate_after must be at least 1s")
    if whole_seconds(rule.offset) % 60 or whole_seconds(rule.offset) > OFFSET_S_MAX:
        raise ValueError(f"offset must be whole minutes, at most {duration_text(OFFSET_S_MAX)}")


def _check_levels(rule: Rule) -> None:
    is_upward = rule.op in {">", ">="}
    levels, recovery = rule.levels, rule.recovery or {}
    if levels is None:
        if recovery:
            raise ValueError("recovery needs levels")
        return
    limits = [levels[level] for level in LEVELS_BY_SEVERITY if level in levels]
    if not limits and rule.kind != "absence":
        raise ValueError("levels must name at least one level")
    if limits != sorted(limits, reverse=not is_upward):
        order = "higher" if is_upward else "lower"
        raise ValueError(
            f"levels: with op {rule.op!r} a more severe level needs an equal or {order} limit"
        )
    for level, value in recovery.items():
        if level not in levels:
            raise ValueError(f"recovery: levels has no limit for {level}")
        if value > levels[level] if is_upward else value < levels[level]:
            bound = "at most" if is_upward else "at least"
            raise ValueError(
                f"recovery: {level} must be {bound} {levels[level]:g}, the limit of this level"
            )


def _check_fields(rule: Rule) -> None:
    """Reject fields of another kind, and missing fields of the rule's own kind."""
    if rule.name in OWN_NAMES:
        raise ValueError(f"name: {rule.name} is reserved; choose another name")
    for field, kind in OWNERS.items():
        is_given = getattr(rule, field) != DEFAULTS[field]
        if is_given and rule.kind != kind:
            raise ValueError(f"{field} is only for rules of kind {kind!r}, not {rule.kind!r}")
        if field in REQUIRED and not is_given and rule.kind == kind:
            raise ValueError(f"a rule of kind {kind!r} needs {field}")


def _check_kind(rule: Rule) -> None:
    if (rule.metric is None) != (rule.kind == "composite"):
        raise ValueError("metric: every kind of rule needs one, except a composite, which has none")
    if rule.kind in {"change", "ratio", "burn", "sql"} and rule.levels is None:
        raise ValueError(f"a rule of kind {rule.kind!r} needs levels of its own")
    if rule.kind == "absence" and rule.no_data != "alert":
        raise ValueError("a rule of kind 'absence' needs no_data 'alert'")
    if rule.kind in {"absence", "composite"} and rule.levels is not None:
        raise ValueError(f"a rule of kind {rule.kind!r} takes no levels")
    if rule.kind == "change" and not whole_seconds(rule.offset):
        raise ValueError("a rule of kind 'change' needs an offset of at least 1m")
    if rule.kind == "sql" and (
        rule.no_data == "keep" or rule.metric in {COMPONENT_UP, *SELF_METRICS}
    ):
        raise ValueError(
            "a rule of kind 'sql' needs a metric of its own for its results, and no_data: 'ok' "
            "(a row that it no longer returns is clear) or 'alert'"
        )
    if rule.kind == "sql" and whole_seconds(rule.window) < SQL_RULE_LEAD_S:
        raise ValueError(
            f"window must be at least {SQL_RULE_LEAD_S}s for a rule of kind 'sql', "
            f"because its SQL runs {SQL_RULE_LEAD_S} s before the minute ends"
        )
    _check_burn(rule)
    _check_composite(rule)


def _check_burn(rule: Rule) -> None:
    if rule.kind != "burn":
        return
    if rule.agg != "avg" or rule.op not in {">", ">="}:
        raise ValueError("a rule of kind 'burn' needs agg 'avg' and op '>' or '>='")
    windows = (rule.window, rule.short_window or "0s")
    if any(whole_seconds(window) % 60 for window in windows) or not (
        0 < whole_seconds(windows[1]) < whole_seconds(windows[0])
    ):
        raise ValueError("short_window must be shorter than window, both in whole minutes")


def _check_composite(rule: Rule) -> None:
    if rule.kind != "composite":
        return
    if not [*rule.all_of, *rule.any_of]:
        raise ValueError("a composite needs all_of or any_of with the names of other rules")
    given = [name for name, usual in MEASURING.items() if getattr(rule, name) != usual]
    if rule.labels or whole_seconds(rule.window) != whole_seconds("1m") or given:
        raise ValueError(
            "a composite takes no labels, agg, window, op or no_data, because it measures nothing"
        )


MEASURING = {"agg": "avg", "op": ">", "no_data": "keep"}
OWNERS = {
    "offset": "change",
    "relative": "change",
    "over": "ratio",
    "objective": "burn",
    "short_window": "burn",
    "all_of": "composite",
    "any_of": "composite",
    "none_of": "composite",
    "by_component": "composite",
    "level": "composite",
    "sql": "sql",
}
"""Fields that only one kind of rule has."""
REQUIRED = {"offset", "over", "objective", "short_window", "sql"}
DEFAULTS = {
    field.name: field.default for field in msgspec.structs.fields(Rule) if field.name in OWNERS
}
