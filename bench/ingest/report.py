"""The results of the ingest benchmark as tables for people, and as one line for programs."""

from collections.abc import Mapping, Sequence
from statistics import median

from msgspec import Struct

from bench.bodies import Shape
from bench.ingest.senders import GZIP, JSON, OTLP, REMOTE_WRITE, Copied, Inserted
from bench.peers import PROMETHEUS
from bench.tables import print_table

UNNEST, COPY = Inserted.name, Copied.name
NATIVE, EMBEDDED = "native", "embedded"
LIMITS: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    NATIVE: {
        "100 x 100": {JSON.name: 0.95, GZIP.name: 0.95, OTLP.name: 1.85, REMOTE_WRITE.name: 1.05},
        "1,000 x 10": {JSON.name: 1.4, GZIP.name: 1.35, OTLP.name: 1.75, REMOTE_WRITE.name: 1.3},
        "10 x 1": dict.fromkeys((JSON.name, GZIP.name, OTLP.name, REMOTE_WRITE.name), 11.0),
    },
    EMBEDDED: {
        "100 x 100": {JSON.name: 1.5, GZIP.name: 1.4, OTLP.name: 1.7, REMOTE_WRITE.name: 1.5},
        "1,000 x 10": {JSON.name: 1.75, GZIP.name: 1.65, OTLP.name: 2.0, REMOTE_WRITE.name: 1.55},
        "10 x 1": dict.fromkeys((JSON.name, GZIP.name, OTLP.name, REMOTE_WRITE.name), 5.5),
    },
}
"""The limit of the CPU for a sample, relative to a bare INSERT, by engine, shape and format."""
OF_PROMETHEUS_MAX = {"100 x 100": 4.2, "1,000 x 10": 5.5, "10 x 1": 20.0}
"""The limit of the CPU for a remote write sample, relative to Prometheus, by shape."""
GROWTH_MAX_MB = 20.0


class Taken(Struct, frozen=True):
    """One run of a sender: samples a second, and the CPU of all processes that worked for it."""

    samples_per_s: float
    cpu_us: float
    """For each sample."""


class Rates(Struct, frozen=True):
    """The runs of every sender on one engine, and the CPU use of other processes."""

    engine: str
    rounds: Mapping[tuple[str, Shape], Sequence[Taken]]
    others_percent: Sequence[float]

    def cpu_us(self, name: str, shape: Shape) -> float:
        return median(one.cpu_us for one in self.rounds[name, shape])

    def times(self, name: str, to: str, shape: Shape) -> float | None:
        """Return the median CPU ratio of the rounds. A disturbance of a round affects both."""
        if not {(name, shape), (to, shape)} <= self.rounds.keys():
            return None
        pairs = zip(self.rounds[name, shape], self.rounds[to, shape], strict=True)
        return median(one.cpu_us / other.cpu_us for one, other in pairs)

    def of_limits(self) -> dict[str, float]:
        """Return each CPU ratio that has a limit, divided by its limit."""
        found: dict[str, float] = {}
        for name, shape in self.rounds:
            most = LIMITS[self.engine].get(str(shape), {}).get(name)
            if most and (times := self.times(name, UNNEST, shape)):
                found[f"{name}, {shape}"] = times / most
            if name == REMOTE_WRITE.name and (times := self.times(name, PROMETHEUS, shape)):
                found[f"{name} beside Prometheus, {shape}"] = times / OF_PROMETHEUS_MAX[str(shape)]
        return found


class Flat(Struct, frozen=True):
    """The memory of the service before, during and after it received very many samples.

    `warm` is the maximum during the first tenth of them, and `most` during the others.
    """

    engine: str
    samples: int
    seconds: float
    before_mb: float
    warm_mb: float
    most_mb: float
    after_mb: float

    @property
    def growth_mb(self) -> float:
        return self.most_mb - self.warm_mb


def report(rates: Rates) -> None:
    print(
        f"{rates.engine}: samples/s; CPU in \N{MICRO SIGN}s a sample, minimum and maximum of"
        " the rounds; CPU ratios of a round.\n"
    )
    rows = []
    for (name, shape), found in rates.rounds.items():
        costs = [one.cpu_us for one in found]
        ratios = [rates.times(name, to, shape) for to in (UNNEST, COPY, PROMETHEUS)]
        rows.append(
            [
                f"{name}, {shape}",
                f"{median(one.samples_per_s for one in found):,.0f}",
                f"{median(costs):.2f}",
                f"{min(costs):.2f} to {max(costs):.2f}",
                *("" if ratio is None else f"{ratio:.2f}" for ratio in ratios),
            ]
        )
    columns = ["samples/s", "CPU", "rounds", "/ unnest", "/ COPY", "/ Prometheus"]
    print_table(["", *columns], rows)
    others = rates.others_percent
    print(
        f"Others kept {median(others):.0f} % of the processors busy, at most {max(others):.0f} %.\n"
    )


def report_flat(flats: Sequence[Flat]) -> None:
    if not flats:
        return
    print("Resident memory of the service, in MB.\n")
    print_table(
        ["engine", "samples", "samples/s", "before", "first tenth", "the rest", "after", "growth"],
        [
            [
                f.engine, f"{f.samples:,}", f"{f.samples / f.seconds:,.0f}", f"{f.before_mb:.1f}",
                f"{f.warm_mb:.1f}", f"{f.most_mb:.1f}", f"{f.after_mb:.1f}", f"{f.growth_mb:+.1f}",
            ]
            for f in flats
        ],
    )  # fmt: skip


def summary(found: Sequence[Rates], flats: Sequence[Flat]) -> dict[str, object]:
    """Return the figures. `ratio` is the worst CPU ratio divided by its limit: above 1 it fails."""
    of_limits = {r.engine: r.of_limits() for r in found}
    ratio = max(of for limits in of_limits.values() for of in limits.values())
    growth = {flat.engine: round(flat.growth_mb, 1) for flat in flats}
    return {
        "ratio": round(ratio, 3),
        "of_limits": {e: {n: round(of, 3) for n, of in o.items()} for e, o in of_limits.items()},
        "cpu_us": {
            r.engine: {
                f"{name}, {shape}": round(r.cpu_us(name, shape), 3) for name, shape in r.rounds
            }
            for r in found
        },
        "samples_per_s": {
            r.engine: {
                f"{name}, {shape}": round(median(one.samples_per_s for one in some))
                for (name, shape), some in r.rounds.items()
            }
            for r in found
        },
        "others_percent": {r.engine: round(median(r.others_percent), 1) for r in found},
        "flat_growth_mb": growth,
        "is_met": ratio <= 1 and all(mb <= GROWTH_MAX_MB for mb in growth.values()),
    }
