"""Settings that people change at run time: defaults here, changes in monitoring_config."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Literal

import msgspec
import structlog
from msgspec import Meta, Struct
from psycopg.types.json import Jsonb

from db import queries, security
from db.queries import Connection
from vigia.model import ConflictError, InvalidError, Name, NotFoundError, ScrapeTarget, Target

log = structlog.get_logger()

_QUERIES = queries.load("config")
READ = _QUERIES["read"]
WRITE = _QUERIES["write"]
LOG = _QUERIES["log"]
LOCK = _QUERIES["lock_table"]
HISTORY = _QUERIES["history"]

BUILT_IN = ("server", "database", "trading", security.COMPONENT)
"""Components that every service has."""

MetricName = Annotated[str, Meta(pattern=r"^[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}(?!\n)$")]
Days = Annotated[float, Meta(gt=0, le=36500)]


class Threshold(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Limits of one metric; `op` says on which side of them it is bad."""

    warning: float | None = None
    critical: float | None = None
    emergency: float | None = None
    info: float | None = None
    op: Literal[">", "<"] = ">"

    def __post_init__(self) -> None:
        """Refuse limits that the value could never pass in the order of their levels."""
        given = (self.info, self.warning, self.critical, self.emergency)
        limits = [limit for limit in given if limit is not None]
        if not limits:
            raise ValueError("a threshold needs at least one of info, warning, critical, emergency")
        if limits != sorted(limits, reverse=self.op == "<"):
            raise ValueError(f"with op {self.op!r} each louder level must lie further out")


class Intervals(Struct, frozen=True, forbid_unknown_fields=True):
    """How often, in seconds. Evaluation looks at whole minutes and is not to be set."""

    collect_s: Annotated[float, Meta(ge=1, le=3600)] = 15
    health_s: Annotated[float, Meta(ge=5, le=300)] = 30


class MetricRetention(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What holds for one metric: a shorter age in every tier, another resolution of its values.

    The age acts on whole UTC days. `resolution` is the power of two that values are rounded to
    before they are stored, in place of what the series declares.
    """

    keep_days: Annotated[float, Meta(ge=1, le=36500)] | None = None
    resolution: Annotated[float, Meta(gt=0, le=2**100)] | None = None

    def __post_init__(self) -> None:
        """Refuse a resolution that would make values longer, not shorter."""
        if self.resolution is not None and math.frexp(self.resolution)[0] != 0.5:  # noqa: PLR2004 (the mantissa of every power of two)
            raise ValueError("resolution must be a power of two, such as 0.015625, 0.5, 1 or 1024")


class Retention(Struct, frozen=True, forbid_unknown_fields=True):
    """How many days each tier is kept (None: for ever), and when chunks are compressed.

    `metrics` holds what is different for single metrics. `capacity_bytes` is the room of a database
    server whose disk cannot be seen from here, to tell when it fills.
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
        """Refuse a tier that ends before what it is made from: its buckets could not be mended."""
        chain = (self.raw_days, self.rollup_5m_days, self.rollup_1h_days, self.rollup_1d_days)
        days = [float("inf") if part is None else part for part in chain]
        if days != sorted(days) or self.rollup_1m_days > self.raw_days:
            raise ValueError(
                "each roll-up must be kept at least as long as what it is made from: "
                "raw <= 5m <= 1h <= 1d; and 1m at most as long as raw"
            )

    def resolution(self, metric: str, declared: float | None) -> float | None:
        """Return what values of a metric are rounded to: its policy's, else what it declares."""
        policy = self.metrics.get(metric)
        return declared if policy is None or policy.resolution is None else policy.resolution

    def metrics_document(self) -> dict[str, Any]:
        """Return the metrics as the queries read them: without what is not set."""
        document: dict[str, Any] = msgspec.to_builtins(self.metrics)
        return document


def default_targets() -> tuple[Target, ...]:
    """Return the brief's external APIs; OpenAI without a key answers 401, and is there."""
    return (
        Target(name="binance", url="https://api.binance.com/api/v3/time"),
        Target(name="bybit", url="https://api.bybit.com/v5/market/time"),
        Target(name="openai", url="https://api.openai.com/v1/models", up_status=(200, 401)),
        Target(name="ngrok", url="http://127.0.0.1:4040/api/tunnels", kind="ngrok"),
    )


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """Every run-time setting; a field is a key of monitoring_config."""

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
        dict[Name, Annotated[tuple[Name, ...], Meta(max_length=100)]],
        Meta(max_length=1000),
    ] = {}
    """What each component stands on: while one of those is down, nobody is told of its alerts."""

    def __post_init__(self) -> None:
        """Refuse circles, and two components of one name: nothing would tell them apart."""
        _order(self.dependencies)
        names = Counter(target.name for target in self.outside)
        for name, count in names.items():
            if name in BUILT_IN:
                raise ValueError(f"{name!r} is a component that Vigia measures itself; rename it")
            if count > 1:
                raise ValueError(
                    f"{count} of the targets and scrapes are named {name!r}; give each a name of "
                    "its own (targets that were never set are the default ones)"
                )

    @property
    def measured(self) -> frozenset[str]:
        """Return the components of which the service itself says whether they are up."""
        return frozenset({*BUILT_IN, *(target.name for target in self.outside)})

    @property
    def outside(self) -> tuple[Target | ScrapeTarget, ...]:
        """Whatever is asked over the network; each is a component."""
        return (*self.targets, *self.scrapes)

    def ancestors(self) -> dict[str, list[str]]:
        """Return everything that each component stands on, however far down."""
        found: dict[str, set[str]] = {}
        for component in _order(self.dependencies):
            below = self.dependencies.get(component, ())
            found[component] = set(below).union(*(found[one] for one in below))
        return {component: sorted(below) for component, below in found.items() if below}

    def thresholds_document(self) -> dict[str, Any]:
        """Return the thresholds as the queries read them: without what is not set."""
        document: dict[str, Any] = msgspec.to_builtins(self.thresholds)
        return document


class Changed(Struct, frozen=True):
    """One row of monitoring_config."""

    key: str
    value: Any
    updated_at: datetime
    updated_by: str


class Change(Struct, frozen=True):
    """One row of the audit; a value of None stands for the default."""

    id: int
    key: str
    old_value: Any
    new_value: Any
    changed_at: datetime
    changed_by: str


class Entry(Struct, frozen=True):
    """A setting as the API shows it; nobody has updated one that has its default."""

    key: str
    value: Any
    default: Any
    updated_at: datetime | None
    updated_by: str | None


async def read(connection: Connection) -> Config:
    """Return every setting. A stored value this version cannot read is as if it were not set."""
    stored: dict[str, Any] = {}
    rows = await queries.rows(connection, Changed, READ)
    for row in sorted(rows, key=lambda row: row.updated_at):
        if row.key in Config.__struct_fields__:
            try:
                stored[row.key] = _converted(row.key, row.value)
            except InvalidError as error:
                log.warning("setting_ignored", key=row.key, error=str(error))
    return _whole(stored)


def _whole(stored: Mapping[str, Any]) -> Config:
    """Return settings of stored values, which are judged together and not against defaults.

    Values that do not go together, which only another version can have stored, are put in force in
    the order in which they were stored, each if it goes together with those before it.
    """
    with suppress(ValueError):
        return Config(**stored)
    config = Config()
    for key, value in stored.items():
        try:
            config = msgspec.structs.replace(config, **{key: value})
        except ValueError as error:
            log.warning("setting_ignored", key=key, error=str(error))
    return config


async def entries(connection: Connection) -> list[Entry]:
    """Return every setting with its default and its last change, by key."""
    changed = {row.key: row for row in await queries.rows(connection, Changed, READ)}
    defaults: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(Config()))
    return [
        Entry(
            key=key,
            value=changed[key].value if key in changed else default,
            default=default,
            updated_at=changed[key].updated_at if key in changed else None,
            updated_by=changed[key].updated_by if key in changed else None,
        )
        for key, default in sorted(defaults.items())
    ]


async def history(connection: Connection, key: str | None, before: int, limit: int) -> list[Change]:
    """Return changes of one setting or of all, newest first, from below an id."""
    return await queries.rows(connection, Change, HISTORY, key=key, before=before, limit=limit)


async def entry(connection: Connection, key: str) -> Entry:
    """Return one setting. Raises NotFoundError."""
    _check_key(key)
    return next(found for found in await entries(connection) if found.key == key)


async def lock(connection: Connection) -> None:
    """Let nobody else change a setting until the end of this transaction."""
    await queries.run(connection, LOCK)


async def write(connection: Connection, key: str, value: Any, time: datetime, actor: str) -> Config:
    """Change one setting, with its audit, and return all of them. Raises as `write_all`."""
    return await write_all(connection, {key: value}, time, actor)


async def write_all(
    connection: Connection, values: Mapping[str, Any], time: datetime, actor: str
) -> Config:
    """Change settings together, each with its audit, and return all of them.

    Raises NotFoundError for an unknown key, InvalidError for a value that does not fit, alone or
    with the others.
    """
    for key in values:
        _check_key(key)
    async with connection.transaction():
        # What was read is what the new values are judged with: it must not change before they are
        # written, or two changes could be right alone and wrong together.
        await lock(connection)
        config = with_values(await read(connection), values)
        for key in values:
            stored = Jsonb(msgspec.to_builtins(getattr(config, key)))
            await queries.run(connection, LOG, key=key, value=stored, time=time, actor=actor)
            await queries.run(connection, WRITE, key=key, value=stored, time=time, actor=actor)
            told = security.Event(time, security.Type.SETTING_CHANGED, actor, detail=key)
            await security.log(connection, told)
    return config


async def replace(
    connection: Connection, key: str, value: Any, previous: Any, time: datetime, actor: str
) -> Config:
    """Change one setting if it is still what it was when the new value was made.

    Raises ConflictError if somebody has changed it since; else as `write_all`.
    """
    async with connection.transaction():
        await lock(connection)
        now = await entry(connection, key)
        if now.value != previous:
            raise ConflictError(
                f"{key} was changed by {now.updated_by!r} meanwhile; read it again, and send what "
                "it is then as previous"
            )
        return await write(connection, key, value, time, actor)


def with_value(config: Config, key: str, value: Any) -> Config:
    """Return the settings with one of them changed. Raises InvalidError if the value is wrong."""
    return with_values(config, {key: value})


def with_values(config: Config, values: Mapping[str, Any]) -> Config:
    """Return the settings with some of them changed. Raises InvalidError if a value is wrong."""
    converted = {key: _converted(key, value) for key, value in values.items()}
    try:
        return msgspec.structs.replace(config, **converted)
    except ValueError as error:
        raise InvalidError(f"{', '.join(values)}: {error}") from None


def _converted(key: str, value: Any) -> Any:
    try:
        return msgspec.convert(value, Config.__annotations__[key])
    except ValueError as error:
        raise InvalidError(f"{key}: {error}") from None


def _check_key(key: str) -> None:
    if key not in Config.__struct_fields__:
        raise NotFoundError(f"there is no setting {key!r}; GET /config lists them")


def _order(dependencies: Mapping[str, Sequence[str]]) -> list[str]:
    """Return components after those that they stand on. Raises ValueError for a circle."""
    try:
        return list(TopologicalSorter(dependencies).static_order())
    except CycleError as error:
        circle = " on ".join(error.args[1][::-1])
        raise ValueError(f"nothing can stand on itself: {circle}") from None
