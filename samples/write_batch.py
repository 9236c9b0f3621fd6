"""What is stored together: columns of samples, and histograms."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from model.series import Column, Histogram, Sample, Series, columns_of

GROUP_SAMPLES_MAX = 20_000
FIRST_SAMPLES_MAX = 1_000
"""Of the first portion, whose success says that the database is back."""


class WriteBatch(Struct, frozen=True):
    """What is stored in one transaction. Each histogram counts as a sample.

    `is_own` is what the service collected itself: there is room for series of its own when senders
    have filled theirs.
    """

    columns: Sequence[Column] = ()
    histograms: Sequence[Histogram] = ()
    is_own: bool = False

    @property
    def samples(self) -> int:
        return sum(len(column.times) for column in self.columns) + len(self.histograms)

    def series(self) -> list[Series]:
        """Return each series once, in the order they come."""
        columns = [column.series for column in self.columns]
        return list(dict.fromkeys([*columns, *(one.series for one in self.histograms)]))


class Stored(Struct, frozen=True):
    """What became of a load: samples and histograms.

    `duplicate` is None while it waits on disk. `refused` is what belongs to series that would be
    one too many; `series` counts those that were taken for new.
    """

    accepted: int
    duplicate: int | None
    refused: WriteBatch = WriteBatch()
    series: int = 0


def write_batch_of(samples: Iterable[Sample], *, is_own: bool = False) -> WriteBatch:
    """Return samples as a load: a column for each series."""
    return WriteBatch(columns_of(samples), is_own=is_own)


def sort_out(batch: WriteBatch, known: Mapping[Series, int]) -> tuple[WriteBatch, WriteBatch]:
    """Return what belongs to series that have a number, and what does not."""
    if all(series in known for series in batch.series()):
        return batch, WriteBatch()
    parts: dict[bool, tuple[list[Column], list[Histogram]]] = {True: ([], []), False: ([], [])}
    for column in batch.columns:
        parts[column.series in known][0].append(column)
    for histogram in batch.histograms:
        parts[histogram.series in known][1].append(histogram)
    return WriteBatch(*parts[True], batch.is_own), WriteBatch(*parts[False], batch.is_own)


def grouped(batches: Iterable[WriteBatch]) -> Iterator[list[WriteBatch]]:
    """Put loads together that are stored in one transaction: of small ones there may be many.

    The service's own and those of senders stay apart.
    """
    group: list[WriteBatch] = []
    samples, samples_max = 0, FIRST_SAMPLES_MAX
    for batch in batches:
        is_full = samples + batch.samples > samples_max
        if group and (is_full or batch.is_own != group[0].is_own):
            yield group
            group, samples, samples_max = [], 0, GROUP_SAMPLES_MAX
        group.append(batch)
        samples += batch.samples
    if group:
        yield group


def halves_of(batch: WriteBatch) -> list[WriteBatch]:
    """Return a load as two of about half the size; nothing when it is a single sample."""
    columns, histograms = batch.columns, batch.histograms
    if len(columns) == 1 and not histograms:
        [column] = columns
        middle = len(column.times) // 2
        cuts = (slice(middle), slice(middle, None)) if middle else ()
        return [
            replace(
                batch,
                columns=[replace(column, times=column.times[cut], values=column.values[cut])],
            )
            for cut in cuts
        ]
    middle = (len(columns) + len(histograms)) // 2
    if not middle:
        return []
    of_histograms = max(0, middle - len(columns))
    return [
        WriteBatch(columns[:middle], histograms[:of_histograms], batch.is_own),
        WriteBatch(columns[middle:], histograms[of_histograms:], batch.is_own),
    ]


def merged(batches: Sequence[WriteBatch]) -> WriteBatch:
    """Return a portion as one load."""
    columns = [column for batch in batches for column in batch.columns]
    histograms = [one for batch in batches for one in batch.histograms]
    return WriteBatch(columns, histograms, bool(batches) and batches[0].is_own)
