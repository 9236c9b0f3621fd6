"""The results of the comparison as tables for people, and as one line for programs."""

from collections.abc import Mapping, Sequence
from statistics import median

from bench.compare.cases import CaseTaken
from bench.tables import print_table

Rounds = Sequence[CaseTaken]
Pairs = Mapping[str, tuple[Rounds, Rounds]]
"""The rounds of the old and the new checkout, by case and engine."""


def ratios(old: Rounds, new: Rounds) -> list[float]:
    """Return the ratio of each round. A disturbance of a round affects both checkouts."""
    return [one.cpu_ms / other.cpu_ms for one, other in zip(new, old, strict=True)]


def report(pairs: Pairs) -> None:
    print("CPU ms of service and database for each request: median (minimum to maximum).\n")
    rows = []
    for name, (old, new) in pairs.items():
        cells = [_spread([one.cpu_ms for one in some]) for some in (old, new)]
        parts = [f"{_middle(some):.2f}" for some in _parts(old, new)]
        waits = [f"{median(one.wall_ms for one in some):.2f}" for some in (old, new)]
        rows.append([name, *cells, _spread(ratios(old, new)), *parts, *waits])
    columns = [
        *("old", "new", "new / old", "old service", "old db", "new service", "new db"),
        *("old wait ms", "new wait ms"),
    ]
    print_table(["", *columns], rows)


def summary(pairs: Pairs) -> dict[str, object]:
    """Return the medians. `ratio` is the worst ratio of new to old: below 1 is faster."""
    found = {name: median(ratios(old, new)) for name, (old, new) in pairs.items()}
    return {
        "ratio": round(max(found.values()), 3),
        "ratios": {name: round(ratio, 3) for name, ratio in found.items()},
        "old_cpu_ms": {name: round(_cpu_ms(old), 3) for name, (old, _) in pairs.items()},
        "new_cpu_ms": {name: round(_cpu_ms(new), 3) for name, (_, new) in pairs.items()},
    }


def _parts(old: Rounds, new: Rounds) -> list[list[float]]:
    return [
        part
        for some in (old, new)
        for part in ([one.service_ms for one in some], [one.database_ms for one in some])
    ]


def _cpu_ms(some: Rounds) -> float:
    return _middle([one.cpu_ms for one in some])


def _middle(numbers: Sequence[float]) -> float:
    return float(median(numbers))


def _spread(numbers: Sequence[float]) -> str:
    return f"{_middle(numbers):.2f} ({min(numbers):.2f} to {max(numbers):.2f})"
