"""Running totals are taken one request at a time, and no key keeps out another."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from api.ingest.admission import series_quota
from api.ingest.admission.receivers import TOTALS_KEY_SHARE, TOTALS_WAITING_MAX, Receivers
from model.errors import UnavailableError
from model.principal import Role
from tests.api.ingest.test_otlp_routes import PROTOBUF, now_ns, send, stored, written
from tests.api.server.serving import until

BEGAN_NS = now_ns() - 600 * 10**9


@pytest.fixture
async def other(service: Any) -> str:
    """The header of a second key that may send."""
    return f"Bearer {await service.new_key('other', Role.INGEST)}"


def histogram(name: str, count: int = 1) -> bytes:
    """Return a histogram whose total has come so far; each of its observations took a second."""
    point = {
        "timeUnixNano": BEGAN_NS + count * 10**9,
        "startTimeUnixNano": BEGAN_NS,
        "count": count,
        "sum": count,
        "bucketCounts": [count, 0],
        "explicitBounds": [5],
    }
    data = {"dataPoints": [point], "aggregationTemporality": 2}
    return written(PROTOBUF, {"name": name, "histogram": data})


async def test_a_key_that_is_held_up_for_its_new_series_holds_up_no_other(
    service: Any, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for count in (1, 2):
        assert (await send(service, histogram("known", count), Authorization=other))[0] == 200
    monkeypatch.setattr(series_quota, "NEW_SERIES_A_MINUTE_MAX", 0)
    monkeypatch.setattr(series_quota, "PAUSE_S", 3.0)
    ration = service.context.receivers.series_quota
    flood = [asyncio.create_task(send(service, histogram(f"new{n}"))) for n in range(6)]
    await until(lambda: any(bucket.pausing.locked() for bucket in ration._buckets.values()))

    status, _, answer = await send(service, histogram("known", 3), Authorization=other)

    assert (status, answer) == (200, b"")
    assert not any(task.done() for task in flood)
    monkeypatch.setattr(series_quota, "PAUSE_S", 0.0)
    assert {status for status, _, _ in await asyncio.gather(*flood)} == {200}
    assert set(await stored(service)) == {"known_count", "known_sum"}


async def test_a_key_with_many_running_totals_delays_another_by_one_of_them(
    service: Any, other: str
) -> None:
    limiter, came = service.context.receivers.totals_limiter, []

    async def push(name: str, **headers: str) -> None:
        assert (await send(service, histogram(name), **headers))[0] == 200
        came.append(name)

    async with AsyncExitStack() as held, asyncio.TaskGroup() as group:
        await held.enter_async_context(limiter.slot("somebody"))
        for n in range(12):
            group.create_task(push(f"many{n}"))
        await until(lambda: limiter.usage().waiting == 12)
        group.create_task(push("few", Authorization=other))
        await until(lambda: limiter.usage().waiting == 13)
        await held.aclose()

    # Answers are written side by side, so the order is that of slots but for a few.
    assert came.index("few") < 6


async def test_one_key_takes_only_its_share_of_the_places_to_wait() -> None:
    limiter = Receivers().totals_limiter
    share = TOTALS_WAITING_MAX // TOTALS_KEY_SHARE
    async with limiter.slot("somebody"):
        many = [asyncio.create_task(limiter.acquire("many")) for _ in range(share)]
        await until(lambda: limiter.usage().waiting == share)
        with pytest.raises(UnavailableError, match=f"{share} of one key"):
            await limiter.acquire("many")
        other = asyncio.create_task(limiter.acquire("other"))
        await until(lambda: limiter.usage().waiting == share + 1)
    for task in (*many, other):
        task.cancel()
    await asyncio.gather(*many, other, return_exceptions=True)
