"""Random histories of a database: samples in any order, rolled up to any time."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import strategies as st
from msgspec import Struct

from db.queries import Connection
from history.grid import Grid
from model.series import Kind, Sample, Series, labels_of
from retention import tiers
from samples.insert import insert
from samples.series import SeriesNumbers
from tests.api.metrics.recomputation import Samples

RESET = (Path(__file__).parent.parent / "reset.sql").read_bytes()
START = datetime(2026, 1, 1, tzinfo=UTC)
BASE = int(START.timestamp())
NAMES = {"g": Kind.GAUGE, "n": Kind.COUNTER, "d": Kind.DISTRIBUTION}


def member(name: str, number: int) -> Series:
    return Series(
        metric=name, component="a", labels=labels_of({"n": str(number)}), kind=NAMES[name]
    )


async def put(
    connection: Connection, numbers: SeriesNumbers, series: Series, samples: Samples
) -> None:
    await insert(
        connection,
        numbers,
        [Sample(series, datetime.fromtimestamp(t, UTC), v) for t, v in samples.items()],
    )


def grid(start_s: int, end_s: int, step_s: int) -> Grid:
    """Return the buckets of a step that cover a range of seconds from START."""
    first = (BASE + start_s) // step_s * step_s
    last = -(-(BASE + end_s) // step_s) * step_s
    return Grid(range(first, last + 1, step_s), step_s, first - step_s)


class Expected(Struct):
    """What was told the database, and when it was rolled up."""

    samples: dict[tuple[str, int], dict[float, float]]
    late: dict[tuple[str, int], dict[float, float]]
    rolled_up_h: int | None
    compressed: bool

    @property
    def all(self) -> dict[tuple[str, int], dict[float, float]]:
        """What must be known in the end: of two values at a time the first."""
        return {key: self.late[key] | self.samples[key] for key in self.samples}


MAGNITUDES = st.floats(-12, 12).map(lambda exponent: 10.0**exponent)
VALUES = {
    "g": st.one_of(
        st.integers(-1000, 1000).map(lambda n: n / 4), st.floats(0, 9).map(lambda x: 1e9 + x)
    ),
    "n": st.one_of(st.integers(0, 50).map(float), st.floats(0, 1e6)),
    "d": st.one_of(MAGNITUDES, MAGNITUDES.map(lambda x: -x), st.just(0.0)),
}
SECONDS = st.one_of(
    st.integers(0, 3 * 86400 * 4), st.integers(0, 5000 * 4), st.integers(86400 * 4, 90000 * 4)
).map(lambda quarter: BASE + quarter / 4)


@st.composite
def histories(draw: st.DrawFn) -> Expected:
    keys = [(name, number) for name in NAMES for number in (0, 1)]
    samples = {
        key: draw(st.dictionaries(SECONDS, VALUES[key[0]], max_size=60 >> key[1])) for key in keys
    }
    late = {key: draw(st.dictionaries(SECONDS, VALUES[key[0]], max_size=8)) for key in keys}
    again = {key: dict.fromkeys(list(samples[key])[:3], 777.0) for key in keys}
    return Expected(
        samples,
        {key: late[key] | again[key] for key in keys},
        draw(st.one_of(st.none(), st.integers(0, 96))),
        draw(st.booleans()),
    )


async def tell(connection: Connection, reported: Expected) -> None:
    """Store all of it, with maintenance before and after the late samples."""
    await connection.execute(RESET)
    numbers = SeriesNumbers()
    if reported.compressed:
        for tier in await tiers.read(connection):
            await tiers.want(connection, tiers.Wanted(tier.name, None, timedelta(hours=1)))
    for part in (reported.samples, reported.late):
        for key, samples in part.items():
            await put(connection, numbers, member(*key), samples)
        if reported.rolled_up_h is not None:
            await tiers.maintain(connection, START + timedelta(hours=reported.rolled_up_h))
