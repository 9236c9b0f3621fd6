"""Long exports delay no other request, and a broken one never looks complete."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from structlog.testing import capture_logs

from api.http import limiter
from api.http.limits import AT_ONCE, Concurrency
from db.queries import Pool
from history.export import pages as export
from model.principal import Role
from tests.api.metrics.exporting import FORMATS, ask, rows

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
async def loaded(service: Any, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    async with pool.connection() as connection:
        await connection.execute(MAKE, [SERIES, SAMPLES])
    # A connection that has carried much before takes megabytes that nobody reads.
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as unused:
        monkeypatch.setattr(service, "http", unused)
        yield service


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "ROWS_MAX", 50)


@pytest.fixture
async def stalled(loaded: Any) -> AsyncIterator[list[aiohttp.ClientResponse]]:
    """As many exports as one key may have, of which nobody reads more than the beginning."""
    async with AsyncExitStack() as stack:
        yield [await begin(stack, loaded) for _ in range(2)]


async def begin(stack: AsyncExitStack, service: Any, **query: Any) -> aiohttp.ClientResponse:
    """Ask for an export, and read no more than its beginning."""
    answer: aiohttp.ClientResponse
    answer = await stack.enter_async_context(ask(service, "csv", **ALL, **query))
    assert answer.status == 200
    await answer.content.readany()
    return answer


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


async def test_two_of_one_key_that_are_read_slowly_keep_nobody_else_s_out(
    stalled: list[aiohttp.ClientResponse], loaded: Any
) -> None:
    for role in ("operator", "admin"):
        async with asyncio.timeout(3), ask(loaded, "csv", role, step="raw", start="-1h") as answer:
            assert answer.status == 200
            assert (await answer.read()).count(b"\n") > 500

    assert not any(answer.content.at_eof() for answer in stalled)
    limiters = loaded.context.limiters
    assert limiters[Concurrency.OPEN_EXPORT].usage().running == 2
    async with asyncio.timeout(3):
        while limiters[Concurrency.EXPORT].usage().running:
            await asyncio.sleep(0.01)


async def test_all_keys_together_keep_no_admin_s_export_out(
    loaded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limiter, "WAIT_S", 0.1)
    async with AsyncExitStack() as stack:
        for number in range(AT_ONCE[Concurrency.OPEN_EXPORT] // 2):
            key = await loaded.new_key(f"slow{number}", Role.VIEWER)
            for _ in range(2):
                await begin(stack, loaded, key=key)
        async with ask(loaded, "csv", **ALL) as answer:
            assert answer.status == 503
            assert "8 of this kind" in (await answer.json())["detail"]
        admin = await begin(stack, loaded, role="admin")

        assert (await admin.read()).count(b"\n") > SERIES * SAMPLES - 30_000


async def test_no_more_than_two_of_one_key_run_at_once(
    stalled: list[aiohttp.ClientResponse], loaded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limiter, "WAIT_S", 0.1)
    async with ask(loaded, "csv", **ALL) as answer:
        assert answer.status == 503
        assert "(2 of one key)" in (await answer.json())["detail"]

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
    [reported] = [entry for entry in logs if entry["event"] == "export_cut_off"]
    assert "system_metrics" in reported["error"]
    assert len(await rows(loaded, form, step="raw", start="-1h")) > 500


async def test_an_error_before_the_first_row_is_a_problem(loaded: Any, pool: Pool) -> None:
    async with pool.connection() as connection:
        await connection.execute("ALTER TABLE system_metrics RENAME TO elsewhere")
        try:
            async with ask(loaded, "csv", **ALL) as answer:
                assert answer.status == 503
                assert answer.content_type == "application/problem+json"
                assert "lacks tables of Vigia" in (await answer.json())["detail"]
        finally:
            await connection.execute("ALTER TABLE elsewhere RENAME TO system_metrics")


async def test_a_client_that_goes_away_ends_its_export_with_another_request_behind_it(
    loaded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read to its end, which nobody hears of, it would take a query for each five rows."""
    monkeypatch.setattr(export, "ROWS_MAX", 5)
    address = urlsplit(loaded.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    path = "/api/v1/monitoring/metrics/history?metric=load&step=raw&start=-100d&format=csv"
    head = f" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {loaded.keys['viewer']}\r\n\r\n"
    writer.write(f"GET {path}{head}GET /livez{head}".encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    open_exports = loaded.context.limiters[Concurrency.OPEN_EXPORT]
    assert open_exports.usage().running == 1
    writer.transport.abort()

    async with asyncio.timeout(3):
        while open_exports.usage().running:
            await asyncio.sleep(0.01)
