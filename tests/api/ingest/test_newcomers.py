"""New series are rationed by key, and old ones are not."""

import asyncio
import time

import pytest

from api.ingest import newcomers
from api.ingest.limits import NEW_SERIES_A_MINUTE_MAX
from api.ingest.newcomers import Newcomers


def test_a_bucket_empties_and_fills_again_within_a_minute() -> None:
    now = 100.0
    ration = Newcomers(lambda: now)

    assert ration.room("a") == NEW_SERIES_A_MINUTE_MAX
    ration.count("a", NEW_SERIES_A_MINUTE_MAX)
    assert ration.room("a") == 0
    assert ration.room("b") == NEW_SERIES_A_MINUTE_MAX
    now += 30
    assert ration.room("a") == NEW_SERIES_A_MINUTE_MAX // 2
    now += 3600
    assert ration.room("a") == NEW_SERIES_A_MINUTE_MAX


async def test_a_key_that_brought_too_many_is_held_up_and_others_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(newcomers, "PAUSE_S", 0.05)
    ration = Newcomers()
    ration.room("a")
    began = time.monotonic()

    await asyncio.gather(*(ration.pause("a") for _ in range(4)))
    held_s = time.monotonic() - began
    began = time.monotonic()
    await ration.pause("b")

    assert held_s >= 0.2
    assert time.monotonic() - began < held_s


def test_many_keys_are_not_remembered_for_ever() -> None:
    ration = Newcomers(lambda: 0.0)
    for number in range(2 * newcomers.KEYS_MAX):
        ration.room(str(number))

    assert len(ration._buckets) == newcomers.KEYS_MAX
