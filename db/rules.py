"""Alert rules as people write them, and as the database keeps them."""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from psycopg.types.json import Jsonb

from db import queries
from db.queries import Connection
from vigia.model import Category, ConflictError, Level, Lines, Text
from vigia.text import LINES

_QUERIES = queries.load("rules")
INSERT = _QUERIES["insert"]
UPDATE = _QUERIES["update"]
DELETE = _QUERIES["delete"]
READ = _QUERIES["read"]
MARK_SHIPPED = _QUERIES["mark_shipped"]

RULES_MAX = 20_000
WINDOW_S_MAX = 7 * 86400
WINDOW_OF_SAMPLES_S_MAX = OFFSET_S_MAX = 86400
OF_SAMPLES = {"rate", "p50", "p90", "p95", "p99"}
"""Aggregates that minutes do not hold."""
WAIT_S_MAX = 7 * 86400
UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
SHIPPED_BY = "vigia"
DURATIONS = (
    "window", "for", "keep_firing_for", "escalate_after", "flap_window", "offset", "short_window",
)  # fmt: skip
MEMBERS = ("all_of", "any_of", "none_of")
ASKED_BEFORE_S = 30
"""How long before the end of a minute the questions of rules are asked."""
OWN_NAMES = {"rule-error", "preview"}
"""Alerts of the first are no rule's; at the address of the second rules are tried."""
OWN_METRICS = {"component_up", "security_events", "alert_question_rows"}
"""What the service alone measures."""

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}(?!\n)$")]
Metric = Annotated[str, Meta(pattern=r"^[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}(?!\n)$")]
Duration = (
    Annotated[str, Meta(pattern=r"^\d{1,9}[smhd]?(?!\n)$")]
    | Annotated[float, Meta(ge=0, lt=1e9, multiple_of=1)]
)
"""As people write it: a text, or whole seconds."""
Limit = Annotated[float, Meta(ge=-1e140, le=1e140)]
Names = Annotated[Sequence[Name], Meta(max_length=100)]
"""Not a tuple, which OpenAPI would describe as something else."""
Policy = Literal["keep", "ok", "alert"]
LOUDNESS = list(Level)


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule; without `levels` it takes the thresholds of its metric in the settings.

    Without a component it covers all; without a category its alerts have that of the series.
    """

    name: Name
    kind: Literal["threshold", "absence", "change", "ratio", "burn", "composite", "sql"] = (
        "threshold"
    )
    metric: Metric | None = None
    component: Text | None = None
    labels: Annotated[dict[Text, Text], Meta(max_length=30)] = msgspec.field(default_factory=dict)
    category: Category | None = None
    agg: Literal[
        "avg", "min", "max", "sum", "count", "first", "last", "stddev", "rate",
        "p50", "p90", "p95", "p99",
    ] = "avg"  # fmt: skip
    window: Duration = "1m"
    op: Literal[">", ">=", "<", "<="] = ">"
    levels: dict[Level, Limit] | None = None
    recovery: dict[Level, Limit] | None = None
    for_: Duration = msgspec.field(default="0s", name="for")
    keep_firing_for: Duration = "0s"
    no_data: Policy = "keep"
    no_data_level: Level = Level.WARNING
    on_error: Policy = "keep"
    escalate_after: Duration | None = None
    flap_count: Annotated[int, Meta(ge=0, le=100)] = 0
    flap_window: Duration = "1h"
    over: Metric | None = None
    offset: Duration = "0s"
    relative: bool = False
    objective: Annotated[float, Meta(gt=0, lt=100)] | None = None
    short_window: Duration | None = None
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


class Stored(Struct, frozen=True):
    """A rule with its number, why it cannot be evaluated if so, and who last changed it."""

    id: int
    rule: Rule
    error: str | None
    error_at: datetime | None
    updated_at: datetime
    updated_by: str

    @property
    def state(self) -> Literal["ok", "error", "off"]:
        if not self.rule.enabled:
            return "off"
        return "ok" if self.error is None else "error"


def seconds(duration: str | float) -> int:
    """Return whole seconds: `15s`, `5m`, `1h`, `7d`, or plain seconds."""
    if not isinstance(duration, str):
        return int(duration)
    number, unit = re.fullmatch(r"(\d+)([smhd]?)", duration).groups()  # type: ignore[union-attr]
    return int(number) * UNITS_S[unit]


def duration_of(value: int) -> str:
    """Return seconds in the largest unit that is whole."""
    for unit in ("d", "h", "m"):
        if value and value % UNITS_S[unit] == 0:
            return f"{value // UNITS_S[unit]}{unit}"
    return f"{value}s"


def columns(rule: Rule) -> dict[str, Any]:
    """Return a rule as the columns of its table."""
    document: dict[str, Any] = msgspec.to_builtins(rule)
    for name in DURATIONS:
        text = document.pop(name)
        document[f"{name}_s"] = None if text is None else seconds(text)
    for name in MEMBERS:
        document[name] = list(document[name])
    document["is_relative"] = document.pop("relative")
    return document


def of_columns(row: Mapping[str, Any]) -> Rule:
    """Return the rule that a row of its table holds."""
    document = dict(row)
    for name in DURATIONS:
        value = document.pop(f"{name}_s")
        document[name] = None if value is None else duration_of(value)
    document["relative"] = document.pop("is_relative")
    return msgspec.convert(document, Rule)


async def insert(connection: Connection, rule: Rule, time: datetime, actor: str) -> bool:
    """Insert a rule; False when there is one of its name."""
    return bool(await queries.run(connection, INSERT, **_parameters(rule, time, actor)))


async def ship(connection: Connection, rule: Rule, time: datetime) -> None:
    """Insert a rule that came with the program, unless it came before."""
    if await queries.run(connection, MARK_SHIPPED, name=rule.name):
        await insert(connection, rule, time, SHIPPED_BY)


async def update(connection: Connection, rule: Rule, time: datetime, actor: str) -> bool:
    """Replace the rule of this name; False when there is none."""
    return bool(await queries.run(connection, UPDATE, **_parameters(rule, time, actor)))


async def delete(connection: Connection, names: Collection[str]) -> int:
    """Delete rules; return how many of these names there were."""
    return await queries.run(connection, DELETE, names=list(names))


async def read(
    connection: Connection,
    *names: str,
    after: int = 0,
    limit: int = RULES_MAX,
) -> list[Stored]:
    """Return rules, all or those with one of some names, in the order in which they were made."""
    found = await queries.rows(
        connection, dict[str, Any], READ, names=list(names) or None, after=after, limit=limit
    )
    return [
        Stored(
            row.pop("id"),
            error=row.pop("error"),
            error_at=row.pop("error_at"),
            updated_at=row.pop("updated_at"),
            updated_by=row.pop("updated_by"),
            rule=of_columns(row),
        )
        for row in found
    ]


async def read_all(connection: Connection) -> list[Rule]:
    """Return every rule. Raises ConflictError for more than are exported and imported."""
    found = await read(connection, limit=RULES_MAX + 1)
    if len(found) > RULES_MAX:
        raise ConflictError(f"there are over {RULES_MAX} rules, too many for one file: delete some")
    return [stored.rule for stored in found]


async def named(connection: Connection, names: Collection[str]) -> list[Rule]:
    """Return the rules that have one of these names."""
    return [stored.rule for stored in await read(connection, *names)] if names else []


def _parameters(rule: Rule, time: datetime, actor: str) -> dict[str, Any]:
    row = columns(rule)
    for name in ("labels", "levels", "recovery"):
        row[name] = None if row[name] is None else Jsonb(row[name])
    return {**row, "time": time, "actor": actor}


def _check_durations(rule: Rule) -> None:
    of_minutes = seconds(rule.window) % 60 == 0 and rule.agg not in OF_SAMPLES
    longest = WINDOW_S_MAX if of_minutes else WINDOW_OF_SAMPLES_S_MAX
    if not 1 <= seconds(rule.window) <= longest:
        raise ValueError(
            "window must be from 1s to 1d; in whole minutes to 7d, but for rate and percentiles"
        )
    waits = (rule.for_, rule.keep_firing_for, rule.flap_window, rule.escalate_after or "1s")
    if max(map(seconds, waits)) > WAIT_S_MAX:
        raise ValueError("for, keep_firing_for, flap_window, escalate_after: at most 7d")
    if seconds(rule.flap_window) == 0 or (rule.escalate_after and not seconds(rule.escalate_after)):
        raise ValueError("flap_window, escalate_after: at least 1s")
    if seconds(rule.offset) % 60 or seconds(rule.offset) > OFFSET_S_MAX:
        raise ValueError("offset must be whole minutes, at most 1d")


def _check_levels(rule: Rule) -> None:
    is_upward = rule.op in {">", ">="}
    levels, recovery = rule.levels, rule.recovery or {}
    if levels is None:
        if recovery:
            raise ValueError("recovery needs levels")
        return
    limits = [levels[level] for level in LOUDNESS if level in levels]
    if not limits and rule.kind != "absence":
        raise ValueError("levels must name at least one level")
    if limits != sorted(limits, reverse=not is_upward):
        raise ValueError(f"with op {rule.op!r} each louder level must lie further out")
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
    if rule.kind == "change" and not seconds(rule.offset):
        raise ValueError("offset: a change is measured against what was some minutes before")
    if rule.kind == "sql" and (rule.no_data == "keep" or rule.metric in OWN_METRICS):
        raise ValueError(
            "a rule of kind 'sql' needs a metric of its own for its answers, and no_data: 'ok' "
            "(what it no longer returns is well) or 'alert'"
        )
    if rule.kind == "sql" and seconds(rule.window) < ASKED_BEFORE_S:
        raise ValueError(
            f"a question is asked {ASKED_BEFORE_S} s before its minute ends: take a longer window"
        )
    _check_burn(rule)
    _check_composite(rule)


def _check_burn(rule: Rule) -> None:
    if rule.kind != "burn":
        return
    if rule.agg != "avg" or rule.op not in {">", ">="}:
        raise ValueError("a burn rate has agg 'avg' and op '>' or '>='")
    windows = (rule.window, rule.short_window or "0s")
    if any(seconds(window) % 60 for window in windows) or not (
        0 < seconds(windows[1]) < seconds(windows[0])
    ):
        raise ValueError("short_window must be shorter than window, both in whole minutes")


def _check_composite(rule: Rule) -> None:
    if rule.kind != "composite":
        return
    if not [*rule.all_of, *rule.any_of]:
        raise ValueError("a composite needs all_of or any_of, the rules that must fire")
    given = [name for name, usual in MEASURING.items() if getattr(rule, name) != usual]
    if rule.labels or seconds(rule.window) != seconds("1m") or given:
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
