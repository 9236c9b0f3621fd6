"""The past in buckets, each read from the coarsest tier that can tell it exactly."""

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
"""So many composed queries are remembered: aggregates may be asked for in any order."""

Row = tuple[Any, ...]
"""Who (a series' or a group's number), the indexes of its buckets in no order, and as long as
these a column for each aggregate."""


class Family(StrEnum):
    """What is rolled up from samples to days; the value begins the name of each relation."""

    METRICS = "system_metrics"
    COUNTERS = "system_counters"
    DISTRIBUTIONS = "system_distributions"


@cache
def _family_of(relation: str) -> Family:
    return next(family for family in Family if relation.startswith(family))


class Tier(Struct, frozen=True):
    """One density of a family; a width of 0 stands for what was written, not rolled up."""

    relation: str
    width_s: int
    kept_from: datetime | None
    refreshed_to: datetime | None = None
    """Later buckets are computed from what they are made of, as they are read."""

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
        """Whether its buckets can be put together to such ones; samples can be to any."""
        return not self.width_s or unit_s % self.width_s == 0

    def has(self, start: datetime) -> bool:
        return self.kept_from is None or self.kept_from <= start


class Choice(Struct, frozen=True, array_like=True):
    """A tier that may answer for a family, for what begins at a time or later; None: at any."""

    family: Family
    relation: str
    answers_from: datetime | None

    def has(self, start: datetime) -> bool:
        return self.answers_from is None or self.answers_from <= start


class Part(Struct, frozen=True):
    """A series with the count or the sum of a histogram; a gauge of those since the one before."""

    id: int
    what: Literal["count", "sum"]
    kind: Kind


class Selected(Struct, frozen=True):
    """A series that a question is about; a histogram has parts."""

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
    """Holds where a label is (or, `negated`, is not) one of some values; absent is empty."""

    label: str
    one_of: Sequence[str]
    negated: bool = False


class SeriesAndTiers(Struct, frozen=True):
    """The series a question is about, and what there is to answer it from."""

    tiers: list[Tier]
    choices: list[Choice]
    """In the order in which they are tried: tier_choices() of db/routines/functions.sql."""
    series: list[Selected]

    @property
    def samples(self) -> Tier:
        """What was written, and is not rolled up."""
        return next(t for t in self.tiers if t.family is Family.METRICS and not t.width_s)

    def tier(self, family: Family, grid: Grid) -> Tier:
        """Return the tier that answers for a family on a grid, as tier_for() of the database does.

        The first choice that can be put together to the grid without loss, and has the start.
        """
        tiers = {tier.relation: tier for tier in self.tiers}
        tried = (choice for choice in self.choices if choice.family is family)
        there = (tiers[choice.relation] for choice in tried if choice.has(grid.start))
        return next(tier for tier in there if tier.adds_up_to(grid.unit_s))


class TierRead(Struct, frozen=True):
    """What to read of a tier: some series, each for itself or in numbered groups, on a grid."""

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
    """Return at most `limit` series of these metrics for which every selector holds."""
    # Keys of an object are looked up, and items of an array one after the other.
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
    """Return at most `limit` values of a label among the series of metrics; absent is empty."""
    given = {"metrics": list(metrics), "component": component, "label": label, "limit": limit}
    cursor = await connection.execute(LABEL_VALUES, given)
    return [row[0] for row in await cursor.fetchall()]


async def fold(
    connection: Connection, tier_read: TierRead, aggregates: Sequence[str]
) -> Sequence[Row]:
    """Return aggregates that are made from counts, sums and extremes.

    Of samples that may be percentiles too. `stddev` is that of the population; None where the
    roll-up is older than its column for it.
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

    A percentile lies between two values as numpy's "linear" has it; each of the two is known by its
    bucket of the sketch (DDSketch: Masson, Rim, Lee, VLDB 2019; bounds grow by 2 %).
    """
    return await _read(connection, PERCENTILES, tier_read, aggregates, "sketch")


async def rates(
    connection: Connection, tier_read: TierRead, aggregates: Sequence[str]
) -> Sequence[Row]:
    """Return the `rate` of counters (a second) or their `increase`, added up over a group."""
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
    """Return a query for some columns of a relation; every choice is one of a few."""
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
        # Typed as they are stored: a cast would keep the index of the series from being used.
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
