"""Histograms become counts by log bucket, and quantiles stay as exact as possible."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.ingest.admission.parsed_write import FaultError
from api.ingest.formats.histograms import (
    BUCKETS_MAX,
    COUNT_MAX,
    PLACES_MAX,
    Buckets,
    explicit,
    exponential,
    log_bucket,
    spread,
)
from db.queries import Pool
from model.limits import VALUE_MAX

DEFAULT_BOUNDS = [0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000]
ONE_PERCENT = 0.02 / 2.02


def values_of(numbers: np.ndarray) -> np.ndarray:
    return np.sign(numbers) * 2 / 2.02 * np.power(1.02, np.abs(numbers.astype(float)) - 18_000)


def quantile(numbers: np.ndarray, counts: np.ndarray, q: float) -> float:
    at = int(np.searchsorted(np.cumsum(counts), q * counts.sum()))
    return float(values_of(numbers)[min(at, len(numbers) - 1)])


def made(bounds: Sequence[float], counts: Sequence[int]) -> Buckets:
    found = explicit(bounds, counts)
    assert found is not None
    return found


def explicit_of(values: np.ndarray, bounds: Sequence[float]) -> Buckets:
    counts = np.bincount(np.searchsorted(bounds, values), minlength=len(bounds) + 1)
    return made(bounds, counts.tolist())


def exponential_of(values: np.ndarray, scale: int) -> Buckets:
    indices = np.ceil(np.log2(values) * 2**scale).astype(int) - 1
    counts = np.bincount(indices - indices.min())
    return exponential(scale, 0, (int(indices.min()), counts.tolist()), (0, []))


async def test_log_buckets_are_those_of_the_database(migrated_pool: Pool) -> None:
    random = np.random.default_rng(5)
    spread_out = np.exp(random.uniform(-340, 340, 1000)) * random.choice([-1, 1], 1000)
    values = [*spread_out.tolist(), 0.0, -0.0, 1.0, -1.0, 1e-150, 9e-151, 5e-324, 1e150, 1.02]

    async with migrated_pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT log_bucket(v) FROM unnest(%s::float8[]) WITH ORDINALITY AS g (v, n) ORDER BY n",
            (values,),
        )
        expected = [number for (number,) in await cursor.fetchall()]

    assert log_bucket(np.array(values)).tolist() == expected


async def test_the_database_tells_quantiles_of_what_was_spread(migrated_pool: Pool) -> None:
    values = np.exp(np.random.default_rng(3).normal(3, 1, 5000))
    numbers, counts = spread(exponential_of(values, 6))

    async with migrated_pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT percentile(q, %s::int[], %s::bigint[]) FROM unnest(%s::float8[]) AS g (q)",
            (numbers.tolist(), counts.tolist(), [0.5, 0.9, 0.99]),
        )
        found = [quantile for (quantile,) in await cursor.fetchall()]

    assert found == pytest.approx(np.quantile(values, [0.5, 0.9, 0.99]).tolist(), rel=0.02)


def test_quantiles_of_an_explicit_histogram_are_those_of_even_buckets() -> None:
    random = np.random.default_rng(1)
    bounds = DEFAULT_BOUNDS
    values = random.uniform(0, 10_000, 200_000)

    numbers, counts = spread(explicit_of(values, bounds))

    assert counts.sum() == len(values)
    for q in (0.1, 0.5, 0.9, 0.99):
        step = 2500 / PLACES_MAX
        assert quantile(numbers, counts, q) == pytest.approx(q * 10_000, rel=0.015, abs=step)


@pytest.mark.parametrize("scale", [6, 10, 20])
def test_quantiles_of_a_fine_exponential_histogram_keep_one_percent(scale: int) -> None:
    random = np.random.default_rng(2)
    values = np.exp(random.uniform(0, 0.5 if scale == 10 else 0.0005 if scale == 20 else 5, 900))

    numbers, counts = spread(exponential_of(values, scale))

    assert counts.sum() == len(values)
    for q in (0.05, 0.5, 0.95):
        exact = np.sort(values)[math.ceil(q * len(values)) - 1]
        # A bucket of the sender's may lie across the edge of one of ours.
        width = 2.0 ** (2.0**-scale) - 1
        assert quantile(numbers, counts, q) == pytest.approx(exact, rel=ONE_PERCENT + width)


def test_a_coarse_exponential_bucket_is_spread_evenly() -> None:
    numbers, counts = spread(exponential(0, 0, (3, [1000]), (0, [])))

    values = values_of(numbers)
    assert counts.sum() == 1000
    assert len(numbers) == PLACES_MAX
    assert values.min() == pytest.approx(8 + 8 / 32, rel=0.01)
    assert values.max() == pytest.approx(16 - 8 / 32, rel=0.01)
    assert (values * counts).sum() / 1000 == pytest.approx(12, rel=0.01)


def test_negative_values_and_zeros_have_buckets_of_their_own() -> None:
    numbers, counts = spread(exponential(8, 7, (0, [3]), (0, [2])))

    assert numbers.tolist() == [-18001, 0, 18001]
    assert counts.tolist() == [2, 7, 3]


def test_the_least_and_the_largest_value_bound_the_outer_buckets() -> None:
    buckets = made([10, 20], [100, 100, 100])

    numbers, _ = spread(buckets, -4, 1000)

    values = values_of(numbers)
    assert values.min() == pytest.approx(-4 + 14 / 32, rel=0.01)
    assert values.max() == pytest.approx(1000 - 980 / 32, rel=0.01)


def test_without_them_the_first_bucket_begins_at_zero_and_the_last_has_no_width() -> None:
    buckets = made([10, 20], [10, 0, 5])

    numbers, counts = spread(buckets)

    values = values_of(numbers)
    assert values[0] == pytest.approx(0.5, rel=0.01)
    assert values[-1] == pytest.approx(20, rel=0.01)
    assert counts[-1] == 5


def test_one_value_lies_where_least_and_largest_are_one() -> None:
    buckets = made(DEFAULT_BOUNDS, [0, 0, 0, 1] + [0] * 12)

    numbers, counts = spread(buckets, 30.0, 30.0)

    assert values_of(numbers) == pytest.approx([30], rel=0.01)
    assert counts.tolist() == [1]


@given(st.lists(st.integers(0, 2**40), min_size=16, max_size=16), st.floats(-1e5, 1e5))
def test_no_value_is_lost_or_made(counts: list[int], low: float) -> None:
    buckets = made(DEFAULT_BOUNDS, counts)

    numbers, spread_counts = spread(buckets, low, 1e6)

    assert spread_counts.sum() == sum(counts)
    assert (spread_counts > 0).all()
    assert (np.diff(numbers) > 0).all()
    assert len(numbers) <= 16 * PLACES_MAX


@given(
    st.integers(-64, 64),
    st.integers(0, 9),
    st.integers(-(2**31), 2**31 - 1),
    st.lists(st.integers(0, 1000), max_size=40),
    st.integers(-(2**31), 2**31 - 1),
    st.lists(st.integers(0, 1000), max_size=40),
)
def test_any_exponential_histogram_is_spread_or_refused(
    scale: int, zeros: int, up_at: int, up: list[int], down_at: int, down: list[int]
) -> None:
    buckets = exponential(scale, zeros, (up_at, up), (down_at, down))
    begins, ends = buckets.ranges(-math.inf, math.inf)
    if (np.maximum(-begins, ends) > VALUE_MAX).any():
        with pytest.raises(FaultError, match="larger than"):
            spread(buckets)
        return

    numbers, counts = spread(buckets)

    assert counts.sum() == zeros + sum(up) + sum(down)
    assert (np.diff(numbers) > 0).all()


@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=40),
    st.lists(st.integers(0, 50), min_size=1, max_size=40),
    st.integers(-50, 50),
    st.integers(-50, 50),
    st.integers(0, 4),
)
def test_the_difference_of_running_totals_is_what_came_between(
    before: list[int], new: list[int], before_at: int, new_at: int, coarser: int
) -> None:
    """Even where the sender halved its resolution in between."""
    first = exponential(6, 1, (before_at, before), (new_at, new))
    fresh = exponential(6, 2, (new_at, new), (before_at, before))
    keys, where = np.unique(np.concatenate((first.keys, fresh.keys)), return_inverse=True)
    sums = np.zeros(len(keys), np.int64)
    np.add.at(sums, where, np.concatenate((first.counts, fresh.counts)))
    total = Buckets(keys, sums, scale=6).coarser(6 - coarser)

    found = total.since(first)

    assert found is not None
    expected = fresh.coarser(6 - coarser)
    assert found.keys.tolist() == expected.keys[expected.counts > 0].tolist()
    assert found.counts.tolist() == expected.counts[expected.counts > 0].tolist()


def test_a_total_that_fell_or_has_other_bounds_is_no_later_total() -> None:
    more, less = made([1, 2], [5, 5, 5]), made([1, 2], [5, 4, 5])
    other, gone = made([1, 3], [9, 9, 9]), made([1, 2], [9, 0, 9])
    fine, coarse = exponential(3, 0, (0, [9]), (0, [])), exponential(2, 0, (0, [1]), (0, []))

    assert less.since(more) is None
    assert gone.since(more) is None
    assert other.since(more) is None
    assert fine.since(more) is None
    assert more.since(fine) is None
    assert fine.since(coarse) is None


@pytest.mark.parametrize(
    ("bounds", "counts", "word"),
    [
        ([1, 2], [1, 1], "match"),
        ([2, 1], [1, 1, 1], "ascend"),
        ([1, 1], [1, 1, 1], "ascend"),
        ([1, math.nan], [1, 1, 1], "ascend"),
        ([1, math.inf], [1, 1, 1], "ascend"),
        ([1], [1, 2**64], "large"),
        ([1], [1, -1], "large"),
        (list(range(BUCKETS_MAX)), [1] * (BUCKETS_MAX + 1), "buckets"),
    ],
)
def test_a_bad_histogram_is_refused(bounds: list[float], counts: list[int], word: str) -> None:
    with pytest.raises(FaultError, match=word):
        explicit(bounds, counts)


def test_values_and_counts_beyond_what_can_be_summed_are_refused() -> None:
    huge, many = made([1e151, 1e160], [0, 1, 0]), made([1.0], [COUNT_MAX + 1, 0])

    with pytest.raises(FaultError, match="larger than"):
        spread(huge)
    with pytest.raises(FaultError, match="large"):
        spread(many)


def test_a_single_bucket_says_nothing_of_the_spread() -> None:
    assert explicit([], [5]) is None
    assert explicit([], []) is None
