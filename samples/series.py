"""The table of series: their numbers, their declarations, and the catalogue."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec
from msgspec import Struct
from psycopg.types.json import Jsonb

from db import queries
from db.queries import Connection
from model.series import Labels, Series, labels_of

_QUERIES = queries.load(__file__)
DECLARE_ANEW = queries.load_parts(__file__)["declare_anew"]
UPSERT = queries.fill(_QUERIES["upsert"], declare_anew=DECLARE_ANEW)
IDENTITIES = _QUERIES["identities"]
CATALOGUE = _QUERIES["catalogue"]
SELECT = _QUERIES["select"]

SERIES_MAX = 100_000
OWN_SERIES = 10_000
"""This many more series are reserved for Vigia's own collectors, so that senders cannot use up the
series that alerts depend on."""
SLICE_SERIES = 500

Identity = tuple[str, str, Labels]


class Numbered(Struct, frozen=True):
    """The number and the identity of a series."""

    id: int
    metric: str
    component: str
    labels: dict[str, str]


class Numbers(Struct, frozen=True):
    """The numbers of series. Series that cannot be created are left out.

    `asked` is the number of series that this process did not know before.
    """

    known: dict[Series, int]
    asked: int


class Described(Struct, frozen=True):
    """One series in the catalogue."""

    id: int
    metric: str
    component: str
    category: str
    labels: dict[str, str]
    unit: str
    kind: str
    first_time: datetime
    last_time: datetime


class SeriesNumbers:
    """A cache of series numbers. A number is added after the transaction that made it committed."""

    def __init__(self) -> None:
        self._known: dict[Series, int] = {}
        self._identities: set[Identity] = set()
        self.is_complete = False
        """Whether the identities of all series in the database are known."""

    async def learn(self, connection: Connection) -> None:
        """Load the identities of all series, to tell new series from known ones.

        They are read in slices, so that 100,000 series block the event loop for at most 10 ms.
        """
        after, rows = 0, [Numbered(0, "", "", {})]
        while rows:
            rows = await queries.rows(
                connection, Numbered, IDENTITIES, after=after, limit=SLICE_SERIES
            )
            self._identities.update(
                (row.metric, row.component, labels_of(row.labels)) for row in rows
            )
            after = rows[-1].id if rows else after
        self.is_complete = True

    async def of(
        self,
        connection: Connection,
        wanted: Iterable[Series],
        new_max: int | None = None,
        reserve: int = 0,
    ) -> Numbers:
        """Return the numbers of series, and create the new ones.

        At most `new_max` new series are sent to the database, and it creates series only up to a
        total of SERIES_MAX + `reserve`. So a flood of new series costs the database nothing.
        """
        numbers = {series: self._known.get(series, 0) for series in wanted}
        unknown = [series for series, number in numbers.items() if not number]
        if not unknown:
            return Numbers(numbers, 0)
        declared = [series for series in unknown if _identity(series) in self._identities]
        new = [series for series in unknown if _identity(series) not in self._identities][:new_max]
        known = {series: number for series, number in numbers.items() if number}
        return Numbers(known | await _make(connection, [*declared, *new], reserve), len(new))

    def remember(self, numbers: Mapping[Series, int]) -> None:
        """Cache committed numbers. Another transaction must not use a number before its commit."""
        if len(self._known) + len(numbers) > SERIES_MAX:
            # The database has fewer series, but each can be cached with several declarations.
            self._known.clear()
        self._known.update(numbers)
        self._identities.update(_identity(series) for series in numbers)


async def _make(
    connection: Connection, unknown: Sequence[Series], reserve: int
) -> dict[Series, int]:
    by_identity = {_identity(series): series for series in unknown}
    rows = await upsert(connection, list(by_identity.values()), reserve) if unknown else []
    numbers = {(row.metric, row.component, labels_of(row.labels)): row.id for row in rows}
    return {
        series: numbers[_identity(series)] for series in unknown if _identity(series) in numbers
    }


def _identity(series: Series) -> Identity:
    return series.metric, series.component, series.labels


async def upsert(
    connection: Connection, series: Sequence[Series], reserve: int = 0
) -> list[Numbered]:
    """Create or update series, and return their numbers. No identity may occur twice.

    New series beyond a total of SERIES_MAX + `reserve` are left out.
    """
    return await queries.rows(
        connection,
        Numbered,
        UPSERT,
        series_max=SERIES_MAX + reserve,
        metrics=[s.metric for s in series],
        components=[s.component for s in series],
        categories=[s.category.value for s in series],
        labels=[msgspec.json.encode(dict(s.labels)).decode() for s in series],
        units=[s.unit for s in series],
        kinds=[s.kind.value for s in series],
        resolutions=[s.resolution for s in series],
    )


async def catalogue(
    connection: Connection, metric: str | None, component: str | None, after: int, limit: int
) -> list[Described]:
    """Return at most `limit` series with samples and a number above `after`, by number."""
    return await queries.rows(
        connection,
        Described,
        CATALOGUE,
        metric=metric,
        component=component,
        after=after,
        limit=limit,
    )


async def select(
    connection: Connection,
    metrics: Sequence[str],
    component: str | None,
    labels: dict[str, str],
    limit: int,
) -> list[Numbered]:
    """Return at most `limit` series of these metrics that have all these labels."""
    return await queries.rows(
        connection,
        Numbered,
        SELECT,
        metrics=list(metrics),
        component=component,
        labels=Jsonb(labels),
        limit=limit,
    )
