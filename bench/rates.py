"""What the ingest benchmark measured, as tables for people and as one line for machines."""

from collections.abc import Mapping, Sequence
from statistics import median

from msgspec import Struct

from bench.bodies import Shape
from bench.senders import GZIP, JSON, OTLP, REMOTE_WRITE, Copied, Inserted
from bench.tables import print_table

UNNEST, COPY = Inserted.name, Copied.name
OF_UNNEST_MIN, OF_COPY_AIM, OF_JSON_MIN = 0.7, 0.5, 0.5
GROWTH_MAX_MB = 20.0


class Rates(Struct, frozen=True):
    """Samples a second in every round on one engine, and what others took of the processors."""

    engine: str
    rounds: Mapping[tuple[str, Shape], Sequence[float]]
    others_percent: Sequence[float]

    @property
    def shapes(self) -> list[Shape]:
        return list(dict.fromkeys(shape for _, shape in self.rounds))

    def ratio(self, name: str, to: str, shape: Shape) -> float | None:
        """Return the median of the rounds' ratios: what disturbs a round disturbs both."""
        if not {(name, shape), (to, shape)} <= self.rounds.keys():
            return None
        pairs = zip(self.rounds[name, shape], self.rounds[to, shape], strict=True)
        return median(one / other for one, other in pairs)

    def worst(self, names: Sequence[str], to: str) -> float | None:
        """Return the smallest ratio of some ways to another, over all shapes."""
        ratios = [self.ratio(name, to, shape) for name in names for shape in self.shapes]
        return min((ratio for ratio in ratios if ratio is not None), default=None)


class Flat(Struct, frozen=True):
    """Memory of the service before, while and after it took in very many samples.

    `warm` is the most that it took for the first tenth of them, and `most` for the others.
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
    print(f"{rates.engine}: samples/s, the slowest and the fastest round; ratios of a round.\n")
    rows = []
    for (name, shape), found in rates.rounds.items():
        ratios = [rates.ratio(name, to, shape) for to in (UNNEST, COPY, JSON.name)]
        shown = ["" if ratio is None else f"{ratio:.2f}" for ratio in ratios]
        spread = f"{min(found):,.0f} to {max(found):,.0f}"
        rows.append([f"{name}, {shape}", f"{median(found):,.0f}", spread, *shown])
    print_table(["", "samples/s", "rounds", "/ unnest", "/ COPY", "/ JSON"], rows)
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
    """Return the worst of each figure; `ratio` is that of native ingest to the bare INSERT."""
    of_unnest = {r.engine: r.worst([JSON.name, GZIP.name], UNNEST) for r in found}
    of_copy = {r.engine: r.worst([JSON.name, GZIP.name], COPY) for r in found}
    otlp = {r.engine: r.worst([OTLP.name], JSON.name) for r in found}
    remote_write = {r.engine: r.worst([REMOTE_WRITE.name], JSON.name) for r in found}
    growth = {flat.engine: round(flat.growth_mb, 1) for flat in flats}
    return {
        "ratio": min(_rounded(of_unnest).values()),
        "of_unnest": _rounded(of_unnest),
        "of_copy": _rounded(of_copy),
        "otlp_of_json": _rounded(otlp),
        "remote_write_of_json": _rounded(remote_write),
        "samples_per_s": {
            r.engine: {
                f"{name}, {shape}": round(median(s)) for (name, shape), s in r.rounds.items()
            }
            for r in found
        },
        "others_percent": {r.engine: round(median(r.others_percent), 1) for r in found},
        "flat_growth_mb": growth,
        "is_aim_met": all(one >= OF_COPY_AIM for one in _rounded(of_copy).values())
        if _rounded(of_copy)
        else None,
        "is_met": all(ratio >= OF_UNNEST_MIN for ratio in _rounded(of_unnest).values())
        and all(ratio >= OF_JSON_MIN for ratio in _rounded(otlp).values())
        and all(ratio >= OF_JSON_MIN for ratio in _rounded(remote_write).values())
        and all(mb <= GROWTH_MAX_MB for mb in growth.values()),
    }


def _rounded(ratios: Mapping[str, float | None]) -> dict[str, float]:
    """Leave out what an engine cannot be compared with."""
    return {engine: round(ratio, 3) for engine, ratio in ratios.items() if ratio is not None}
