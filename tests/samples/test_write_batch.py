"""A batch is split and grouped without losing a sample."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model.series import Column, Histogram, Series
from samples.write_batch import WriteBatch, grouped, halves_of, merged


@st.composite
def batches(draw: st.DrawFn) -> WriteBatch:
    lengths = draw(st.lists(st.integers(1, 5), max_size=5))
    columns = [
        Column(Series(metric=f"m{n}", component="c"), np.arange(length), np.arange(length) + 0.5)
        for n, length in enumerate(lengths)
    ]
    histograms = [
        Histogram(Series(metric="h", component="c"), n, np.array([1]), np.array([2]))
        for n in range(draw(st.integers(0, 5)))
    ]
    return WriteBatch(columns, histograms, draw(st.booleans()))


def rows(batch: WriteBatch) -> list[tuple[str, int, float]]:
    found = [
        (column.series.metric, int(time), float(value))
        for column in batch.columns
        for time, value in zip(column.times, column.values, strict=True)
    ]
    return [*found, *(("h", one.time, 0.0) for one in batch.histograms)]


@given(batches())
def test_two_halves_contain_all_samples_of_the_batch_and_a_single_sample_has_no_halves(
    batch: WriteBatch,
) -> None:
    halves = halves_of(batch)

    assert bool(halves) == (batch.samples > 1)
    if halves:
        assert [row for half in halves for row in rows(half)] == rows(batch)
        assert {half.is_own for half in halves} == {batch.is_own}
        assert all(0 < half.samples < batch.samples for half in halves)


@given(st.lists(batches(), max_size=10))
def test_groups_contain_all_batches_in_order_and_separate_the_service_s_own(
    several: list[WriteBatch],
) -> None:
    found = list(grouped(several))

    assert [id(batch) for group in found for batch in group] == [id(batch) for batch in several]
    assert all(batch.is_own == merged(group).is_own for group in found for batch in group)
