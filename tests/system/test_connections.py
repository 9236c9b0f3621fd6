"""A stranger who holds connections: the program goes on, with few files and for everybody else."""

import asyncio
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.system.conftest import ADMIN_KEY, BASE, READY_TIMEOUT_S, Program

FILES = 1024
HALF_OPEN = 1100
PROBES = 200
P99_S_MAX = 0.5


@pytest.fixture
def many_files() -> Iterator[None]:
    """This process holds the other end of every connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def start_with_few_files(program: Program) -> None:
    command = f"ulimit -n {FILES}; exec {sys.executable} -m vigia serve"
    program.process = await asyncio.create_subprocess_exec(
        "bash", "-c", command, env=program.environment, stdout=program.output, stderr=program.output
    )
    async with asyncio.timeout(READY_TIMEOUT_S):
        while not await program._is_ready():
            await asyncio.sleep(0.1)


async def hold(port: int, source: str) -> asyncio.StreamWriter | None:
    """Open a connection and send half of a head."""
    with suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
        writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n")
        return writer
    return None


async def probe(port: int) -> float:
    """Ask on a new connection, as a stranger's or a colleague's browser would."""
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    key = f"Authorization: Bearer {ADMIN_KEY}"
    writer.write(f"GET {BASE}/config HTTP/1.1\r\nHost: x\r\n{key}\r\n\r\n".encode())
    async with asyncio.timeout(READY_TIMEOUT_S):
        head = await reader.readuntil(b"\r\n")
    writer.close()
    assert head.startswith(b"HTTP/1.1 200"), head
    return time.perf_counter() - began


async def besiege(port: int, addresses: int) -> float:
    """Hold connections from so many addresses; return the p99 of what others are answered in."""
    sources = [f"127.0.1.{1 + i % addresses}" for i in range(HALF_OPEN)]
    writers = await asyncio.gather(*(hold(port, source) for source in sources))
    try:
        taken = sorted([await probe(port) for _ in range(PROBES)])
    finally:
        for writer in writers:
            if writer is not None:
                writer.transport.abort()
    return taken[int(PROBES * 0.99)]


@pytest.mark.usefixtures("many_files")
async def test_half_open_connections_beyond_the_files_keep_nobody_out(program: Program) -> None:
    await start_with_few_files(program)

    assert await besiege(program.port, addresses=1) < P99_S_MAX
    assert await besiege(program.port, addresses=20) < P99_S_MAX

    services: Any = (await program.get("/dev/status"))["services"]
    assert services["connections"]["max"] == FILES - 256
    assert services["connections"]["ended"]["address"] > 0
    assert services["connections"]["ended"]["connections"] > 0
    assert services["pool"].get("connections_errors", 0) == 0
