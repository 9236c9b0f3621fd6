"""Alert rules as people write them, and as the database keeps them."""

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
"""Aggregates that minutes do not hold."""
WAIT_S_MAX = 7 * DAY_S
DURATIONS = (
    "window", "for", "keep_firing_for", "escalate_after", "flap_window", "offset", "short_window",
)  # fmt: skip
MEMBERS = ("all_of", "any_of", "none_of")
SQL_RULE_LEAD_S = 30
"""How long before the end of a minute SQL rules run."""
OWN_NAMES = {"rule-error", "preview"}
"""Alerts of the first are no rule's; the second is the address of previews."""

Limit = Annotated[float, Meta(ge=-VALUE_MAX, le=VALUE_MAX)]
Names = Annotated[Sequence[Name], Meta(max_length=100)]
"""Not a tuple, which OpenAPI would describe as something else."""
Policy = Literal["keep", "ok", "alert"]
LEVELS_BY_SEVERITY = list(Level)


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule; without `levels` it takes the thresholds of its metric in the settings.

    Without a component it covers all; without a category its alerts have that of the series.
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
        """Refuse what could never fire, or never end."""
        for name in MEMBERS:
            msgspec.structs.force_setattr(self, name, tuple(getattr(self, name)))
        _check_durations(self)
        _check_levels(self)
        _check_fields(self)
        _check_kind(self)


def columns(rule: Rule) -> dict[str, Any]:
    """Return a rule as the columns of its table."""
    document: dict[str, Any] = msgspec.to_builtins(rule)
    for name in DURATIONS:
        text = document.pop(name)
        document[f"{name}_s"] = None if text is None else whole_seconds(text)
    for name in MEMBERS:
        document[name] = list(document[name])
    document["is_relative"] = document.pop("relative")
    return document


def of_columns(row: Mapping[str, Any]) -> Rule:
    """Return the rule that a row of its table holds."""
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
            f"window must be from 1s to {duration_text(WINDOW_OF_SAMPLES_S_MAX)}; in whole minutes "
            f"to {duration_text(WINDOW_S_MAX)}, but for rate and percentiles"
        )
    waits = (rule.for_, rule.keep_firing_for, rule.flap_window, rule.escalate_after or "1s")
    if max(map(whole_seconds, waits)) > WAIT_S_MAX:
        most = duration_text(WAIT_S_MAX)
        raise ValueError(f"for, keep_firing_for, flap_window, escalate_after: at most {most}")
    if whole_seconds(rule.flap_window) == 0 or (
        rule.escalate_after and not whole_seconds(rule.escalate_after)
    ):
        raise ValueError("flap_window, escalate_after: at least 1s")
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
        raise ValueError(f"with op {rule.op!r} each more severe level must lie further out")
    for level, value in recovery.items():
        if level not in levels:
            raise ValueError(f"recovery: there is no limit for {level}")
        if value > levels[level] if is_upward else value < levels[level]:
            raise ValueError(f"recovery: {level} must lie on the good side of its limit")


def _check_fields(rule: Rule) -> None:
    """Refuse a field of another kind, and the lack of one of its own."""
    if rule.name in OWN_NAMES:
        raise ValueError(f"name: {rule.name} is taken by the service itself")
    for field, kind in OWNERS.items():
        is_given = getattr(rule, field) != DEFAULTS[field]
        if is_given and rule.kind != kind:
            raise ValueError(f"{field} is for kind {kind!r}; this one is of kind {rule.kind!r}")
        if field in REQUIRED and not is_given and rule.kind == kind:
            raise ValueError(f"a rule of kind {kind!r} needs {field}")


def _check_kind(rule: Rule) -> None:
    if (rule.metric is None) != (rule.kind == "composite"):
        raise ValueError("metric: a composite has none, every other kind needs one")
    if rule.kind in {"change", "ratio", "burn", "sql"} and rule.levels is None:
        raise ValueError(f"a rule of kind {rule.kind!r} needs levels of its own")
    if rule.kind == "absence" and rule.no_data != "alert":
        raise ValueError('an absence has no_data "alert" and a no_data_level')
    if rule.kind in {"absence", "composite"} and rule.levels is not None:
        raise ValueError(f"a rule of kind {rule.kind!r} has no levels")
    if rule.kind == "change" and not whole_seconds(rule.offset):
        raise ValueError("offset: a change is measured against what was some minutes before")
    if rule.kind == "sql" and (
        rule.no_data == "keep" or rule.metric in {COMPONENT_UP, *SELF_METRICS}
    ):
        raise ValueError(
            "a rule of kind 'sql' needs a metric of its own for its answers, and no_data: 'ok' "
            "(what it no longer returns is well) or 'alert'"
        )
    if rule.kind == "sql" and whole_seconds(rule.window) < SQL_RULE_LEAD_S:
        raise ValueError(
            f"its SQL runs {SQL_RULE_LEAD_S} s before the minute ends: take a longer window"
        )
    _check_burn(rule)
    _check_composite(rule)


def _check_burn(rule: Rule) -> None:
    if rule.kind != "burn":
        return
    if rule.agg != "avg" or rule.op not in {">", ">="}:
        raise ValueError("a burn rate has agg 'avg' and op '>' or '>='")
    windows = (rule.window, rule.short_window or "0s")
    if any(whole_seconds(window) % 60 for window in windows) or not (
        0 < whole_seconds(windows[1]) < whole_seconds(windows[0])
    ):
        raise ValueError("short_window must be shorter than window, both in whole minutes")


def _check_composite(rule: Rule) -> None:
    if rule.kind != "composite":
        return
    if not [*rule.all_of, *rule.any_of]:
        raise ValueError("a composite needs all_of or any_of, the rules that must fire")
    given = [name for name, usual in MEASURING.items() if getattr(rule, name) != usual]
    if rule.labels or whole_seconds(rule.window) != whole_seconds("1m") or given:
        raise ValueError(
            "a composite measures nothing: it has no labels, agg, window, op and no_data"
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
"""Fields that one kind has, and no other."""
REQUIRED = {"offset", "over", "objective", "short_window", "sql"}
DEFAULTS = {
    field.name: field.default for field in msgspec.structs.fields(Rule) if field.name in OWNERS
}
