"""The past in buckets, each read from the coarsest tier that can tell it exactly."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct
from psycopg.types.json import Jsonb
from psycopg.types.numeric import Int4

from db import queries
from db.grid import Grid
from db.queries import Connection, Query
from vigia.model import Kind

_QUERIES = queries.load("history")
ABOUT = _QUERIES["about"]
LABEL_VALUES = _QUERIES["label_values"]
COLUMNS = _QUERIES["columns"]
PLAIN = _QUERIES["plain"]
FOLD = _QUERIES["fold"]
PERCENTILES = _QUERIES["percentiles"]
RATES = _QUERIES["rates"]
_PARTS = queries.load_parts("history")

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


class Tier(Struct, frozen=True):
    """One density of a family; a width of 0 stands for what was written, not rolled up."""

    relation: str
    width_s: int
    kept_from: datetime | None
    refreshed_to: datetime | None = None
    """Later buckets are computed from what they are made of, as they are read."""

    @property
    def family(self) -> Family:
        return next(family for family in Family if self.relation.startswith(family))

    @property
    def name(self) -> str:
        """The name of the density: raw, 1m, 5m, 1h or 1d."""
        return self.relation.removeprefix(self.family).removeprefix("_") or "raw"

    @property
    def time(self) -> str:
        return "bucket" if self.width_s else "time"

    def carries(self, family: Family) -> bool:
        """Whether the family can be read here; of counters, what was written are the samples."""
        if family is Family.COUNTERS and not self.width_s:
            return self.family is Family.METRICS
        return self.family is family

    def has(self, start: datetime) -> bool:
        return self.kept_from is None or self.kept_from <= start


class Selected(Struct, frozen=True):
    """A series that a question is about."""

    id: int
    metric: str
    component: str
    category: str
    labels: dict[str, str]
    unit: str
    kind: Kind
    resolution: float | None


class Selector(Struct, frozen=True):
    """Holds where a label is (or, `negated`, is not) one of some values; absent is empty."""

    label: str
    one_of: Sequence[str]
    negated: bool = False


class About(Struct, frozen=True):
    """The series a question is about, and what there is to answer it from."""

    tiers: list[Tier]
    series: list[Selected]

    @property
    def samples(self) -> Tier:
        """What was written, and is not rolled up."""
        return next(t for t in self.tiers if t.family is Family.METRICS and not t.width_s)

    def tier(self, family: Family, grid: Grid) -> Tier:
        """Return the coarsest tier of a family that can be put together to a grid without loss.

        It still has the start; if none has it, it is the one that reaches back furthest.
        """
        fitting = [
            tier
            for tier in self.tiers
            if tier.carries(family) and (not tier.width_s or grid.unit_s % tier.width_s == 0)
        ]
        coarsest = sorted(fitting, key=lambda tier: -tier.width_s)
        whole = [tier for tier in coarsest if tier.has(grid.start)]
        oldest = datetime.min.replace(tzinfo=UTC)
        return whole[0] if whole else min(coarsest, key=lambda tier: tier.kept_from or oldest)


class Reading(Struct, frozen=True):
    """What to read of a tier: some series, each for itself or in numbered groups, on a grid."""

    tier: Tier
    grid: Grid
    series_ids: Sequence[int]
    groups: Sequence[int] | None = None


async def about(
    connection: Connection,
    metrics: Sequence[str],
    component: str | None,
    selectors: Sequence[Selector],
    limit: int,
) -> About:
    """Return at most `limit` series of these metrics for which every selector holds."""
    # Keys of an object are looked up, and items of an array one after the other.
    given = [{**msgspec.structs.asdict(s), "one_of": dict.fromkeys(s.one_of)} for s in selectors]
    text: str = await queries.value(
        connection,
        ABOUT,
        metrics=list(metrics),
        component=component,
        selectors=Jsonb(given),
        limit=limit,
    )
    return msgspec.json.decode(text, type=About)


async def label_values(
    connection: Connection, metrics: Sequence[str], component: str | None, label: str, limit: int
) -> list[str]:
    """Return at most `limit` values of a label among the series of metrics; absent is empty."""
    given = {"metrics": list(metrics), "component": component, "label": label, "limit": limit}
    cursor = await connection.execute(LABEL_VALUES, given)
    return [row[0] for row in await cursor.fetchall()]


async def fold(
    connection: Connection, reading: Reading, aggregates: Sequence[str]
) -> Sequence[Row]:
    """Return aggregates that are made from counts, sums and extremes.

    Of samples that may be percentiles too. `stddev` is that of the population; None where the
    roll-up is older than its column for it.
    """
    grid, tier = reading.grid, reading.tier
    if not tier.width_s:
        return await _read(connection, FOLD, reading, aggregates, "samples")
    if tier.width_s == grid.step_s and not grid.is_calendar and reading.groups is None:
        return await _read(connection, PLAIN, reading, aggregates, "plain")
    return await _read(connection, FOLD, reading, aggregates, "buckets")


async def percentiles(
    connection: Connection, reading: Reading, aggregates: Sequence[str]
) -> Sequence[Row]:
    """Return percentiles of distributions, with a relative error of at most 1 %.

    A percentile lies between two values as numpy's "linear" has it; each of the two is known by its
    bucket of the sketch (DDSketch: Masson, Rim, Lee, VLDB 2019; bounds grow by 2 %).
    """
    return await _read(connection, PERCENTILES, reading, aggregates, "sketch")


async def rates(connection: Connection, reading: Reading) -> Sequence[Row]:
    """Return the increase per second of counters; that of a group is the sum of its series'."""
    return await _read(connection, RATES, reading, ["rate"], "counter")


async def _read(
    connection: Connection, query: Query, reading: Reading, names: Sequence[str], source: str
) -> Sequence[Row]:
    text = compose(
        query,
        tuple(names),
        source,
        relation=reading.tier.relation,
        time=reading.tier.time,
        who="series" if reading.groups is None else "group",
        slot="edges" if reading.grid.is_calendar else "step",
    )
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(text, _parameters(reading))
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
        columns=b", ".join(columns),
        relation=relation.encode(),
        time=time.encode(),
    )


RELATIONS = frozenset(
    f"{family}{suffix}" for family in Family for suffix in ("", "_1m", "_5m", "_1h", "_1d")
)


def _parameters(reading: Reading) -> Mapping[str, Any]:
    grid = reading.grid
    before = datetime.fromtimestamp(grid.before, UTC)
    given: dict[str, Any] = {
        # Typed as they are stored: a cast would keep the index of the series from being used.
        "series_ids": [Int4(number) for number in reading.series_ids],
        "start": grid.start,
        "end": grid.end,
        "before": before,
    }
    if reading.groups is not None:
        given["groups"] = [Int4(number) for number in reading.groups]
    if grid.is_calendar:
        given["edges"] = [before, *(datetime.fromtimestamp(edge, UTC) for edge in grid.edges)]
    else:
        given["step"] = timedelta(seconds=grid.step_s)
        given["step_s"] = grid.step_s
    return given
