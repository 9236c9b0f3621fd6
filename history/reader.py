"""Reads buckets of series from tiers; reader.composed.sql shows examples of composed queries."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache, lru_cache
from typing import Any, Literal

import msgspec
from msgspec import Struct
from psycopg.types.json import Jsonb
from psycopg.types.numeric import Int4

from db import queries
from db.queries import Connection, Query
from history.grid import Grid
from model.series import Kind

_QUERIES = queries.load(__file__)
SERIES_AND_TIERS = _QUERIES["series_and_tiers"]
LABEL_VALUES = _QUERIES["label_values"]
COLUMNS = _QUERIES["columns"]
PLAIN = _QUERIES["plain"]
FOLD = _QUERIES["fold"]
PERCENTILES = _QUERIES["percentiles"]
RATES = _QUERIES["rates"]
_PARTS = queries.load_parts(__file__)

PERCENTILE_AGGREGATES = ("p50", "p90", "p95", "p99")
FOLDED_AGGREGATES = ("avg", "min", "max", "sum", "count", "first", "last", "stddev")
AGGREGATES = (*FOLDED_AGGREGATES, "rate", *PERCENTILE_AGGREGATES)
COMPOSED_MAX = 500
"""Most composed queries in the cache: aggregates may be requested in any order."""

Row = tuple[Any, ...]
"""The id of a series or the number of a group, the indexes of its buckets in any order, and for
each aggregate a column of the same length."""


class Family(StrEnum):
    """A chain of tiers, from samples to days; its value is the prefix of their table names."""

    METRICS = "system_metrics"
    COUNTERS = "system_counters"
    DISTRIBUTIONS = "system_distributions"


@cache
def _family_of(relation: str) -> Family:
    return next(family for family in Family if relation.startswith(family))


class Tier(Struct, frozen=True):
    """One density of a family; `width_s` is 0 for samples, which are not rolled up."""

    relation: str
    width_s: int
    kept_from: datetime | None
    refreshed_to: datetime | None = None
    """Later buckets are not materialized: reading them computes them from the finer tier."""

    @property
    def family(self) -> Family:
        return _family_of(self.relation)

    @property
    def name(self) -> str:
        """The name of the density: raw, 1m, 5m, 1h or 1d."""
        return self.relation.removeprefix(self.family).removeprefix("_") or "raw"

    @property
    def time(self) -> str:
        return "bucket" if self.width_s else "time"

    def adds_up_to(self, unit_s: int) -> bool:
        """Return whether buckets of `unit_s` seconds can be made from this tier's without loss."""
        return not self.width_s or unit_s % self.width_s == 0

    def has(self, start: datetime) -> bool:
        return self.kept_from is None or self.kept_from <= start


class Choice(Struct, frozen=True, array_like=True):
    """A tier that can answer for a family, for queries that start at `answers_from` or later.

    None means for any start.
    """

    family: Family
    relation: str
    answers_from: datetime | None

    def has(self, start: datetime) -> bool:
        return self.answers_from is None or self.answers_from <= start


class Part(Struct, frozen=True):
    """A series with the count or the sum of a histogram: running totals, or deltas if a gauge."""

    id: int
    what: Literal["count", "sum"]
    kind: Kind


class Selected(Struct, frozen=True):
    """A series that a query selects; a histogram has parts."""

    id: int
    metric: str
    component: str
    category: str
    labels: dict[str, str]
    unit: str
    kind: Kind
    resolution: float | None
    parts: list[Part] = []


class Selector(Struct, frozen=True):
    """Matches series whose label is (`negated`: is not) one of some values; missing is empty."""

    label: str
    one_of: Sequence[str]
    negated: bool = False


class SeriesAndTiers(Struct, frozen=True):
    """The series that a query selects, and the tiers that exist."""

    tiers: list[Tier]
    choices: list[Choice]
    """In the order of preference, from tier_choices() in db/routines/functions.sql."""
    series: list[Selected]

    @property
    def samples(self) -> Tier:
        """The tier of samples."""
        return next(t for t in self.tiers if t.family is Family.METRICS and not t.width_s)

    def tier(self, family: Family, grid: Grid) -> Tier:
        """Return the first choice of a family that is kept from the grid's start and divides it.

        The SQL function tier_for() chooses in the same way.
        """
        tiers = {tier.relation: tier for tier in self.tiers}
        tried = (choice for choice in self.choices if choice.family is family)
        there = (tiers[choice.relation] for choice in tried if choice.has(grid.start))
        return next(tier for tier in there if tier.adds_up_to(grid.unit_s))


class TierRead(Struct, frozen=True):
    """Series to read from a tier on a grid, each by itself or combined in numbered groups."""

    tier: Tier
    grid: Grid
    series_ids: Sequence[int]
    groups: Sequence[int] | None = None


async def series_and_tiers(
    connection: Connection,
    metrics: Sequence[str],
    component: str | None,
    selectors: Sequence[Selector],
    limit: int,
) -> SeriesAndTiers:
    """Return at most `limit` series of these metrics that match every selector, and all tiers."""
    # An object, because jsonb looks its keys up, but compares the items of an array one by one.
    given = [{**msgspec.structs.asdict(s), "one_of": dict.fromkeys(s.one_of)} for s in selectors]
    text: str = await queries.value(
        connection,
        SERIES_AND_TIERS,
        metrics=list(metrics),
        component=component,
        selectors=Jsonb(given),
        limit=limit,
    )
    return msgspec.json.decode(text, type=SeriesAndTiers)


async def label_values(
    connection: Connection, metrics: Sequence[str], component: str | None, label: str, limit: int
) -> list[str]:
    """Return at most `limit` distinct values of a label; a missing label is the empty text."""
    given = {"metrics": list(metrics), "component": component, "label": label, "limit": limit}
    cursor = await connection.execute(LABEL_VALUES, given)
    return [row[0] for row in await cursor.fetchall()]


async def fold(
    connection: Connection, tier_read: TierRead, aggregates: Sequence[str]
) -> Sequence[Row]:
    """Return aggregates computed from counts, sums and extremes; from samples also percentiles.

    `stddev` is that of the population. It is None for roll-ups from before its column existed.
    """
    grid, tier = tier_read.grid, tier_read.tier
    if not tier.width_s:
        return await _read(connection, FOLD, tier_read, aggregates, "samples")
    if tier.width_s == grid.step_s and not grid.is_calendar and tier_read.groups is None:
        return await _read(connection, PLAIN, tier_read, aggregates, "plain")
    return await _read(connection, FOLD, tier_read, aggregates, "buckets")


async def percentiles(
    connection: Connection, tier_read: TierRead, aggregates: Sequence[str]
) -> Sequence[Row]:
    """Return percentiles and extremes of distributions, with a relative error of at most 1 %.

    A percentile is interpolated between two values like numpy's method "linear". Each of the two
    values is known by its sketch bucket (DDSketch: Masson, Rim, Lee; VLDB 2019; bounds grow 2 %).
    """
    return await _read(connection, PERCENTILES, tier_read, aggregates, "sketch")


async def rates(
    connection: Connection, tier_read: TierRead, aggregates: Sequence[str]
) -> Sequence[Row]:
    """Return the `rate` (per second) or the `increase` of counters, summed over a group."""
    return await _read(connection, RATES, tier_read, aggregates, "counter")


async def _read(
    connection: Connection, query: Query, tier_read: TierRead, names: Sequence[str], source: str
) -> Sequence[Row]:
    text = compose(
        query,
        tuple(names),
        source,
        relation=tier_read.tier.relation,
        time=tier_read.tier.time,
        who="series" if tier_read.groups is None else "group",
        slot="edges" if tier_read.grid.is_calendar else "step",
    )
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(text, _parameters(tier_read))
        return await cursor.fetchall()


@lru_cache(maxsize=COMPOSED_MAX)
def compose(
    query: Query,
    names: tuple[str, ...],
    source: str,
    *,
    relation: str,
    time: str,
    who: str,
    slot: str,
) -> Query:
    """Return the query for some columns of a relation; every part is a fixed fragment.

    Raises ValueError for a relation or a time column that is none of a tier.
    """
    if relation not in RELATIONS or time not in {"time", "bucket"}:
        raise ValueError(f"{relation}.{time} is not a tier's time")
    columns = [_PARTS[f"{source}.{name}"] + f" AS {name}".encode() for name in names]
    return queries.fill(
        COLUMNS,
        rows=query,
        arrays=b", ".join(f"array_agg({name})".encode() for name in names),
        source=_PARTS[f"source.{who}"],
        who=_PARTS[f"who.{who}"],
        slot=_PARTS[f"slot.{slot}"],
        index=_PARTS[f"index.{slot}"],
        parts=_PARTS[f"parts.{time}"],
        columns=b",\n".join(columns),
        relation=relation.encode(),
        time=time.encode(),
    )


RELATIONS = frozenset(
    f"{family}{suffix}" for family in Family for suffix in ("", "_1m", "_5m", "_1h", "_1d")
)


def _parameters(tier_read: TierRead) -> Mapping[str, Any]:
    grid = tier_read.grid
    before = datetime.fromtimestamp(grid.before, UTC)
    given: dict[str, Any] = {
        # int4, the type of the column: a cast of the column would prevent the use of its index.
        "series_ids": [Int4(number) for number in tier_read.series_ids],
        "start": grid.start,
        "end": grid.end,
        "before": before,
    }
    if tier_read.groups is not None:
        given["groups"] = [Int4(number) for number in tier_read.groups]
    if grid.is_calendar:
        given["edges"] = [before, *(datetime.fromtimestamp(edge, UTC) for edge in grid.edges)]
    else:
        given["step"] = timedelta(seconds=grid.step_s)
        given["step_s"] = grid.step_s
    return given
