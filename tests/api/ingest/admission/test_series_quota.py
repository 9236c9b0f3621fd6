"""New series are limited by key; known series are not."""

import asyncio
import time

import pytest

from api.ingest.admission import series_quota
from api.ingest.admission.series_quota import SeriesQuota
from model.limits import NEW_SERIES_A_MINUTE_MAX


def test_a_bucket_empties_and_fills_again_within_a_minute() -> None:
    now = 100.0
    ration = SeriesQuota(lambda: now)

    assert ration.remaining("a") == NEW_SERIES_A_MINUTE_MAX
    ration.count("a", NEW_SERIES_A_MINUTE_MAX)
    assert ration.remaining("a") == 0
    assert ration.remaining("b") == NEW_SERIES_A_MINUTE_MAX
    now += 30
    assert ration.remaining("a") == NEW_SERIES_A_MINUTE_MAX // 2
    now += 3600
    assert ration.remaining("a") == NEW_SERIES_A_MINUTE_MAX


async def test_a_key_that_brought_too_many_is_held_up_and_others_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(series_quota, "PAUSE_S", 0.05)
    ration = SeriesQuota()
    ration.remaining("a")
    began = time.monotonic()

    await asyncio.gather(*(ration.pause("a") for _ in range(4)))
    held_s = time.monotonic() - began
    began = time.monotonic()
    await ration.pause("b")

    assert held_s >= 0.2
    assert time.monotonic() - began < held_s


def test_many_keys_are_not_remembered_for_ever() -> None:
    ration = SeriesQuota(lambda: 0.0)
    for number in range(2 * series_quota.KEYS_MAX):
        ration.remaining(str(number))

    assert len(ration._buckets) == series_quota.KEYS_MAX
