"""Long exports: nobody waits behind them, and none looks whole that is not."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from api import limiter
from db import export
from db.queries import Pool
from tests.api.exporting import FORMATS, ask, rows

SERIES, SAMPLES = 2, 30_000
"""Some 5 MB: more than what sockets and readers hold between them."""
ALL: dict[str, Any] = {"step": "raw", "start": "-100d"}
MAKE = """
WITH made AS (
    INSERT INTO series (metric, component, category, labels)
    SELECT 'load', 'app', 'system', jsonb_build_object('host', i::text)
    FROM generate_series(1, %s) i
    RETURNING id
), stored AS (
    INSERT INTO system_metrics (time, series_id, value)
    SELECT date_trunc('minute', now()) - g * interval '10 s', id, g
    FROM made, generate_series(1, %s) g
)
INSERT INTO series_state (series_id, first_time, last_time, last_value)
SELECT id, now() - interval '99 d', now(), 0 FROM made
"""


@pytest.fixture
async def loaded(service: Any, pool: Pool) -> Any:
    async with pool.connection() as connection:
        await connection.execute(MAKE, [SERIES, SAMPLES])
    return service


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "ROWS_MAX", 50)


@pytest.fixture
async def stalled(loaded: Any) -> AsyncIterator[list[aiohttp.ClientResponse]]:
    """As many exports as there may be at once, of which nobody reads more than the beginning."""
    async with AsyncExitStack() as stack:
        answers = [await stack.enter_async_context(ask(loaded, "csv", **ALL)) for _ in range(2)]
        for answer in answers:
            await answer.content.readany()
        yield answers


@pytest.mark.parametrize("form", FORMATS)
async def test_others_are_answered_while_an_export_runs(loaded: Any, form: str) -> None:
    async def read_all() -> int:
        async with ask(loaded, form, **ALL) as answer:
            return len(await answer.read())

    reading = asyncio.create_task(read_all())
    slowest_s = 0.0
    while not reading.done():
        began = time.monotonic()
        for path in ("/metrics/current", "/health"):
            assert (await loaded.get(path)).status == 200
        slowest_s = max(slowest_s, time.monotonic() - began)

    assert await reading > SERIES * SAMPLES * 30
    assert slowest_s < 1


async def test_a_client_that_takes_nothing_holds_no_connection(
    stalled: list[aiohttp.ClientResponse], loaded: Any, pool: Pool
) -> None:
    async with asyncio.timeout(5):
        while (stats := pool.get_stats())["pool_available"] < stats["pool_size"]:
            await asyncio.sleep(0.01)
    assert len(stalled) == 2
    assert (await loaded.get("/metrics/history", metric="load")).status == 200


async def test_no_more_than_two_run_at_once(
    stalled: list[aiohttp.ClientResponse], loaded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limiter, "WAIT_S", 0.1)
    async with ask(loaded, "csv", **ALL) as answer:
        assert answer.status == 503
        assert "2 such requests" in (await answer.json())["detail"]

    assert (await stalled[0].read()).count(b"\n") > SERIES * SAMPLES - 30_000
    assert len(await rows(loaded, "csv", step="raw", start="-1h")) > 500


@pytest.mark.usefixtures("small_pages")
async def test_a_client_that_goes_away_ends_its_export(
    stalled: list[aiohttp.ClientResponse], loaded: Any
) -> None:
    for answer in stalled:
        answer.close()

    async with asyncio.timeout(3):
        assert len(await rows(loaded, "csv", step="raw", start="-5m")) > 20


@pytest.mark.parametrize("form", FORMATS)
async def test_an_export_that_fails_midway_is_cut_off(loaded: Any, pool: Pool, form: str) -> None:
    async def rename(one: str, other: str) -> None:
        async with pool.connection() as connection:
            await connection.execute(f"ALTER TABLE {one} RENAME TO {other}".encode())

    with capture_logs() as logs:
        async with ask(loaded, form, **ALL) as answer:
            await answer.content.readany()
            await rename("system_metrics", "elsewhere")
            try:
                with pytest.raises(aiohttp.ClientPayloadError):
                    await answer.read()
            finally:
                await rename("elsewhere", "system_metrics")

    assert answer.status == 200
    [told] = [entry for entry in logs if entry["event"] == "export_cut_off"]
    assert "system_metrics" in told["error"]
    assert len(await rows(loaded, form, step="raw", start="-1h")) > 500


async def test_what_fails_before_the_first_row_is_a_problem(loaded: Any, pool: Pool) -> None:
    async with pool.connection() as connection:
        await connection.execute("ALTER TABLE system_metrics RENAME TO elsewhere")
        try:
            async with ask(loaded, "csv", **ALL) as answer:
                assert answer.status == 503
                assert answer.content_type == "application/problem+json"
                assert "lacks tables of Vigia" in (await answer.json())["detail"]
        finally:
            await connection.execute("ALTER TABLE elsewhere RENAME TO system_metrics")
