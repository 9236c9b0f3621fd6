"""The growth of tiers, and the time when the disk is full."""

from datetime import UTC, datetime, timedelta

import pytest

from retention.forecast import bytes_per_day, fills_at, full_at
from retention.usage import Chunk

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def chunk(day: int, rows: int, size: int, *, packed: bool) -> Chunk:
    start = NOW + day * DAY
    oldest, newest = (start, start + DAY) if rows else (None, None)
    return Chunk("raw", start, start + DAY, packed, rows, oldest, newest, size, size * 40)


def test_each_tier_fills_the_disk_until_it_stops_growing() -> None:
    both = [(10.0, NOW + 5 * DAY), (1.0, None)]

    assert fills_at(33, both, NOW) == NOW + 3 * DAY
    assert fills_at(55, both, NOW) == NOW + 5 * DAY
    assert fills_at(60, both, NOW) == NOW + 10 * DAY
    assert fills_at(51, both[:1], NOW) is None
    assert fills_at(0, both, NOW) == NOW
    assert fills_at(10**12, both, NOW) is None
    assert fills_at(5, [], NOW) is None


def test_a_day_costs_its_rows_as_the_days_before_were_packed() -> None:
    days = [chunk(0, 100, 300, packed=True), chunk(1, 300, 900, packed=True)]
    head = chunk(2, 500, 50_000, packed=False)

    assert bytes_per_day(timedelta(0), [*days, head]) == pytest.approx((300 + 500) / 2 * 3)
    assert bytes_per_day(timedelta(0), [head]) == pytest.approx(50_000 / 8)
    assert bytes_per_day(DAY, [head]) == pytest.approx(50_000 / 8 / 2)
    assert bytes_per_day(DAY, []) is None
    assert bytes_per_day(DAY, [chunk(0, 0, 8192, packed=False)]) is None


def test_a_tier_is_full_when_its_first_chunk_is_dropped() -> None:
    days = [chunk(2, 1, 1, packed=False), chunk(0, 1, 1, packed=False)]

    assert full_at(30 * DAY, days) == NOW + 31 * DAY
    assert full_at(None, days) is None
    assert full_at(30 * DAY, []) is None
