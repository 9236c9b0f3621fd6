"""The service starts while its database is away, and gives up only what waiting cannot mend."""

import asyncio
import signal
import time
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from db.pool import AwayError
from tests.proxy import Proxy, proxy_of
from tests.system.conftest import BASE, NATIVE_URL, Program, free_port, make_url, vigia
from vigia.service import open_parts
from vigia.settings import Secret, Settings
from vigia.start import begin

READY_S = 3.0
"""Two seconds, and what a loaded machine may add."""
SILENT_S = 9.0
"""The deadline of five seconds, one for the attempt to cancel, and what a machine may add."""
NO_TLS = b"N"


async def start_away(program: Program) -> None:
    """Start the program and wait until it answers, which needs no database."""
    program.process = await vigia(program.environment, "serve")
    async with asyncio.timeout(30):
        while True:
            with suppress(aiohttp.ClientError):
                async with program.http.get("/livez") as response:
                    assert response.status == 200
                    return
            await asyncio.sleep(0.1)


async def post(program: Program, value: float) -> int:
    column = {
        "metric": "kept",
        "component": "test",
        "times": [int(time.time() - 60 * value)],
        "values": [value],
    }
    async with program.http.post(BASE + "/metrics", json={"series": [column]}) as response:
        return response.status


async def count(program: Program) -> float:
    path = "/metrics/history?metric=kept&start=-1h&step=1h&agg=count"
    found: Any = (await program.get(path))["series"]
    return sum(one or 0 for series in found for one in series["values"]["count"])


async def test_without_its_database_it_answers_why_and_keeps_what_it_may_believe(
    program: Program,
) -> None:
    program.environment["VIGIA_DATABASE_URL"] = f"postgresql://u:p@127.0.0.1:{free_port()}/none"
    await start_away(program)
    async with program.http.get("/readyz") as ready, program.http.get(BASE + "/health") as health:
        found = [(one.status, (await one.json())["detail"]) for one in (ready, health)]
    assert [status for status, _ in found] == [503, 503]
    assert all("starting; the database is away: Connection refused" in text for _, text in found)

    for authorization, status in (("Bearer wrong", 401), ("Bearer vigia_" + "a" * 40, 401)):
        headers = {"Authorization": authorization}
        async with program.http.get(BASE + "/health", headers=headers) as response:
            assert response.status == status
    assert await post(program, 1) == 202

    began = time.monotonic()
    code, printed = await program.end(signal.SIGTERM)
    assert (code, "Traceback" in printed) == (0, False), printed
    assert time.monotonic() - began < 10


@pytest.mark.skipif(not NATIVE_URL, reason="the embedded engine is started by the service")
async def test_it_begins_as_soon_as_the_database_is_there_and_stores_what_it_kept(
    program: Program,
) -> None:
    proxy = Proxy(program.environment["VIGIA_DATABASE_URL"])
    program.environment["VIGIA_DATABASE_URL"] = proxy.url
    await start_away(program)
    for value in (1, 2, 3):
        assert await post(program, value) == 202
    code, printed = await program.end(signal.SIGKILL)
    assert code == -signal.SIGKILL, printed

    await start_away(program)
    assert await post(program, 4) == 202
    await proxy.listen()
    async with asyncio.timeout(20):
        while not await program._is_ready():
            await asyncio.sleep(0.1)
    async with asyncio.timeout(20):
        while await count(program) < 4:
            await asyncio.sleep(0.2)
    await program.close()
    await proxy.refuse()


@pytest.mark.skipif(not NATIVE_URL, reason="the embedded engine is started by the service")
@pytest.mark.parametrize("outage_s", [5, pytest.param(140, marks=pytest.mark.long)])
async def test_it_is_ready_again_at_once_however_long_the_database_was_away(
    program: Program, outage_s: float
) -> None:
    async with proxy_of(program.environment["VIGIA_DATABASE_URL"]) as proxy:
        program.environment["VIGIA_DATABASE_URL"] = proxy.url
        program.output = DEVNULL
        await program.start()
        await proxy.refuse()
        await asyncio.sleep(outage_s)
        assert not await program._is_ready()
        assert await post(program, 1) == 202

        await proxy.listen()
        async with asyncio.timeout(READY_S):
            while not await program._is_ready():
                await asyncio.sleep(0.05)
        await program.close()


@pytest.mark.skipif(not NATIVE_URL, reason="a cable cannot be cut inside one process")
async def test_a_database_that_goes_silent_holds_up_no_request_for_long(program: Program) -> None:
    async with proxy_of(program.environment["VIGIA_DATABASE_URL"]) as proxy:
        program.environment["VIGIA_DATABASE_URL"] = proxy.url
        program.output = DEVNULL
        await program.start()
        proxy.freeze()
        asked = time.monotonic()

        async def ask() -> int:
            async with program.http.get(BASE + "/alerts/history") as response:
                return response.status

        found = await asyncio.gather(post(program, 1), ask(), post(program, 2), ask())
        assert found == [202, 503, 202, 503]
        assert time.monotonic() - asked < SILENT_S
        await proxy.refuse()
        await program.close()


async def _refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer as a server does that does not know the password."""
    fields = [b"SFATAL", b"VFATAL", b"C28P01", b'Mpassword authentication failed for user "u"']
    body = b"\0".join(fields) + b"\0\0"
    with suppress(ConnectionError):
        if (await reader.read(8))[4:] in {b"\4\xd2\x16\x2f", b"\4\xd2\x16\x30"}:
            writer.write(NO_TLS)
            await reader.read(1024)
        writer.write(b"E" + (len(body) + 4).to_bytes(4) + body)
        await writer.drain()
    writer.close()


@pytest.fixture
async def wrong(tmp_path: Path) -> AsyncIterator[Settings]:
    """Settings with a password that their server refuses."""
    async with await asyncio.start_server(_refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"postgresql://u:secret@127.0.0.1:{port}/none?sslmode=disable"
        yield Settings(data_dir=tmp_path, database_url=Secret(url))


async def test_a_cause_that_stays_is_given_up_after_a_while_and_named(wrong: Settings) -> None:
    async with open_parts(wrong) as service:
        with pytest.raises(AwayError, match=r'^password authentication failed for user "u"$'):
            await begin(service, grace_s=1.0)


async def test_another_cause_is_waited_for(wrong: Settings) -> None:
    nobody = Secret(make_url(f"postgresql://u:p@127.0.0.1:{free_port()}/x", "none"))
    settings = Settings(data_dir=wrong.data_dir, database_url=nobody)
    async with open_parts(settings) as service:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await begin(service, grace_s=0.5)
        assert "Connection refused" in service.obstacle
