"""A write batch: columns of samples and histograms that are stored together."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from model.series import Column, Histogram, Sample, Series, columns_of

GROUP_SAMPLES_MAX = 20_000
FIRST_SAMPLES_MAX = 1_000
"""Size of the first group. It is small, because its success tells that the database is back."""


class WriteBatch(Struct, frozen=True):
    """Columns and histograms that are stored in one transaction. A histogram counts as one sample.

    `is_own` marks samples that Vigia collected itself. They may create series from the reserve
    when senders have used up their limit.
    """

    columns: Sequence[Column] = ()
    histograms: Sequence[Histogram] = ()
    is_own: bool = False

    @property
    def samples(self) -> int:
        return sum(len(column.times) for column in self.columns) + len(self.histograms)

    def series(self) -> list[Series]:
        """Return each series once, in the order of the batch."""
        columns = [column.series for column in self.columns]
        return list(dict.fromkeys([*columns, *(one.series for one in self.histograms)]))


class Stored(Struct, frozen=True):
    """The outcome of a batch, in samples and histograms.

    `duplicate` is None for a batch that was written to the spool. `refused` is the part whose
    series exceed the limit. `series` counts the series that were not known before.
    """

    accepted: int
    duplicate: int | None
    refused: WriteBatch = WriteBatch()
    series: int = 0


def write_batch_of(samples: Iterable[Sample], *, is_own: bool = False) -> WriteBatch:
    """Return samples as a batch with one column for each series."""
    return WriteBatch(columns_of(samples), is_own=is_own)


def sort_out(batch: WriteBatch, known: Mapping[Series, int]) -> tuple[WriteBatch, WriteBatch]:
    """Split a batch into the part whose series have a number, and the rest."""
    if all(series in known for series in batch.series()):
        return batch, WriteBatch()
    parts: dict[bool, tuple[list[Column], list[Histogram]]] = {True: ([], []), False: ([], [])}
    for column in batch.columns:
        parts[column.series in known][0].append(column)
    for histogram in batch.histograms:
        parts[histogram.series in known][1].append(histogram)
    return WriteBatch(*parts[True], batch.is_own), WriteBatch(*parts[False], batch.is_own)


def grouped(batches: Iterable[WriteBatch]) -> Iterator[list[WriteBatch]]:
    """Group batches that are stored in one transaction, because many of them may be small.

    Own batches and those of senders are in separate groups.
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
    """Split a batch into two of about half the size. A single sample gives an empty list."""
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
    """Return a group as one batch."""
    columns = [column for batch in batches for column in batch.columns]
    histograms = [one for batch in batches for one in batch.histograms]
    return WriteBatch(columns, histograms, bool(batches) and batches[0].is_own)
