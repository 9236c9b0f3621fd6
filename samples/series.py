"""Which series there are: their numbers, what they mean, and the newest sample of each."""

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
"""So many more there may be of the service's own and its collectors': nobody who sends samples can
take the place of those that alerts look at."""
SLICE_SERIES = 500

Identity = tuple[str, str, Labels]


class Numbered(Struct, frozen=True):
    """A series' number and identity."""

    id: int
    metric: str
    component: str
    labels: dict[str, str]


class Numbers(Struct, frozen=True):
    """The numbers of series, those that cannot be made left out.

    `asked` says of how many the database had to tell whether they are new.
    """

    known: dict[Series, int]
    asked: int


class Described(Struct, frozen=True):
    """One row of the catalogue."""

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
    """Series to number, remembered once the transaction that made a series has committed."""

    def __init__(self) -> None:
        self._known: dict[Series, int] = {}
        self._identities: set[Identity] = set()
        self.is_complete = False
        """Whether every series of the database is known by its identity."""

    async def learn(self, connection: Connection) -> None:
        """Remember which series there are, so that only new ones are taken for new.

        They are read in slices, so that 100,000 of them hold up the event loop for 10 ms at most.
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
        """Return the numbers of series, making those that are new.

        Of these no more than `new_max` are asked for, and no more are made than SERIES_MAX
        and `reserve` in all: a flood of them costs the database nothing.
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
        """Remember numbers that are committed: before, another transaction must not use them."""
        if len(self._known) + len(numbers) > SERIES_MAX:
            # There are not so many series, but a series may be declared in many ways.
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
    """Make or update series and return their numbers; no identity may be there twice.

    New ones beyond SERIES_MAX and `reserve` in all are left out.
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
    """Return series that have samples, in the order of their numbers, from behind `after`."""
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
    """Return at most `limit` series of these metrics that have all of the labels."""
    return await queries.rows(
        connection,
        Numbered,
        SELECT,
        metrics=list(metrics),
        component=component,
        labels=Jsonb(labels),
        limit=limit,
    )
