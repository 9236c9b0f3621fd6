"""What is stored together: columns of samples, and histograms."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from vigia.model import Column, Histogram, Series

PORTION_SAMPLES_MAX = 20_000


class Load(Struct, frozen=True):
    """What is stored in one transaction. Each histogram counts as a sample."""

    columns: Sequence[Column] = ()
    histograms: Sequence[Histogram] = ()

    @property
    def samples(self) -> int:
        return sum(len(column.times) for column in self.columns) + len(self.histograms)

    def series(self) -> list[Series]:
        """Return each series once, in the order they come."""
        columns = [column.series for column in self.columns]
        return list(dict.fromkeys([*columns, *(one.series for one in self.histograms)]))


def sort_out(load: Load, known: Mapping[Series, int]) -> tuple[Load, Load]:
    """Return what belongs to series that have a number, and what does not."""
    if all(series in known for series in load.series()):
        return load, Load()
    parts: dict[bool, tuple[list[Column], list[Histogram]]] = {True: ([], []), False: ([], [])}
    for column in load.columns:
        parts[column.series in known][0].append(column)
    for histogram in load.histograms:
        parts[histogram.series in known][1].append(histogram)
    return Load(*parts[True]), Load(*parts[False])


def portions(loads: Iterable[Load]) -> Iterator[list[Load]]:
    """Put loads together that are stored in one transaction: of small ones there may be many."""
    portion: list[Load] = []
    samples = 0
    for load in loads:
        if portion and samples + load.samples > PORTION_SAMPLES_MAX:
            yield portion
            portion, samples = [], 0
        portion.append(load)
        samples += load.samples
    if portion:
        yield portion


def merged(loads: Sequence[Load]) -> Load:
    columns = [column for load in loads for column in load.columns]
    return Load(columns, [one for load in loads for one in load.histograms])
