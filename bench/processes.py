"""Starts the measured servers on a free port, waits until they are ready, and stops them."""

import asyncio
import os
import socket
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from msgspec import Struct

READY_S = 60.0
STOP_S = 20.0
REQUEST_S = 60.0
POLL_S = 0.1
OUTPUT_CHARS_SHOWN = 2000
KEY = "a-key-for-measuring-0123456789abcdef"
OK = 200


class Server(Struct, frozen=True):
    """The command of a server, and the path that answers when it is ready."""

    command: Callable[[int], list[str]]
    ready: str
    key: str = ""
    environment: Callable[[int], dict[str, str]] | None = None
    directory: Path | None = None


class Running(Struct, frozen=True):
    """A running server: its process, and an HTTP session with kept connections."""

    pid: int
    http: aiohttp.ClientSession


def vigia(
    dsn: str | None, folder: Path, roles: str = "api", checkout: Path | None = None
) -> Server:
    """Return the real service. By default it has only the role `api`: no collection, no retention.

    Without an address it uses the embedded engine. `checkout` selects another installation.
    """
    others = {name: text for name, text in os.environ.items() if not name.startswith("VIGIA_")}
    python = str(checkout / ".venv" / "bin" / "python") if checkout else sys.executable
    return Server(
        lambda _: [python, "-m", "vigia", "serve"],
        ready="/readyz",
        key=KEY,
        directory=checkout,
        environment=lambda port: {
            **others,
            **({"VIGIA_DATABASE_URL": dsn} if dsn else {}),
            "VIGIA_DATA_DIR": str(folder),
            "VIGIA_PORT": str(port),
            "VIGIA_ADMIN_KEY": KEY,
            "VIGIA_ROLES": roles,
        },
    )


@asynccontextmanager
async def serving(
    server: Server, log: Path, connections: int = 1
) -> AsyncIterator[aiohttp.ClientSession]:
    """Run a server during the block, and yield an HTTP session with kept connections."""
    async with running(server, log, connections) as started:
        yield started.http


@asynccontextmanager
async def running(server: Server, log: Path, connections: int = 1) -> AsyncIterator[Running]:
    """Run a server during the block, and yield its process and session."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *server.command(port),
            stdout=output,
            stderr=output,
            env=server.environment(port) if server.environment else None,
            cwd=server.directory,
        )
    try:
        async with _session(port, server.key, connections) as session:
            await _await_ready(session, server.ready, process, log)
            yield Running(process.pid, session)
    finally:
        await _end(process)


def _session(port: int, key: str, connections: int) -> aiohttp.ClientSession:
    # Uncompressed answers, because they do not leave the machine.
    headers = {"Accept-Encoding": "identity"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    return aiohttp.ClientSession(
        f"http://127.0.0.1:{port}",
        headers=headers,
        timeout=aiohttp.ClientTimeout(total=REQUEST_S),
        # A server may close an idle connection after 5 s, and a request at that time would fail.
        connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=2.0),
    )


async def _await_ready(
    session: aiohttp.ClientSession, path: str, process: Process, log: Path
) -> None:
    deadline = time.monotonic() + READY_S
    while process.returncode is None and time.monotonic() < deadline:
        try:
            async with session.get(path) as response:
                if response.status == OK:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(POLL_S)
    said = await asyncio.to_thread(log.read_text, errors="replace")
    raise RuntimeError(f"a server is not ready: {said[-OUTPUT_CHARS_SHOWN:]}")


async def _end(process: Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def fetch(session: aiohttp.ClientSession, path: str) -> bytes:
    async with session.get(path) as response:
        body = await response.read()
    if response.status != OK:
        raise RuntimeError(f"{path} answered {response.status}: {body[:500]!r}")
    return body
