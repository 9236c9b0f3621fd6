"""The real program as a process of its own, on a port and a database of its own."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

import aiohttp
import psycopg
import pytest
from psycopg import sql

NATIVE_URL = os.environ.get("VIGIA_TEST_DATABASE_URL", "")
ADMIN_KEY = "an-admin-key-of-the-tests-0123456789"
BASE = "/api/v1/monitoring"
READY_TIMEOUT_S = 60.0
COMMAND = (sys.executable, "-m", "vigia")


class Program:
    """`vigia serve` with an environment; it can be killed and started again on the same data."""

    def __init__(
        self,
        environment: dict[str, str],
        command: tuple[str, ...] = COMMAND,
        folder: Path | None = None,
    ) -> None:
        self.command, self.folder = command, folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = environment | {"VIGIA_PORT": str(self.port)}
        self.process: Process | None = None
        self.output: int | IO[bytes] = PIPE
        """Where what it prints goes; a pipe, which nobody reads before the end, holds little."""
        self.http = aiohttp.ClientSession(
            self.url, headers={"Authorization": f"Bearer {ADMIN_KEY}"}
        )

    async def start(self) -> None:
        self.process = await vigia(
            *(self.environment, "serve"),
            output=self.output,
            command=self.command,
            folder=self.folder,
        )
        async with asyncio.timeout(READY_TIMEOUT_S):
            while not await self._is_ready():
                assert self.process.returncode is None, await self.process.communicate()
                await asyncio.sleep(0.1)

    async def _is_ready(self) -> bool:
        with contextlib.suppress(aiohttp.ClientError):
            async with self.http.get("/readyz") as response:
                return response.status == 200
        return False

    async def end(self, number: signal.Signals) -> tuple[int | None, str]:
        """Send a signal; return the exit code and all that was printed."""
        assert self.process is not None
        self.process.send_signal(number)
        async with asyncio.timeout(READY_TIMEOUT_S):
            out, err = await self.process.communicate()
        return self.process.returncode, ((out or b"") + (err or b"")).decode()

    async def get(self, path: str) -> dict[str, object]:
        async with self.http.get(BASE + path) as response:
            assert response.status == 200, await response.text()
            found: dict[str, object] = await response.json()
            return found

    async def send(self, path: str, body: object, method: str = "POST") -> dict[str, object]:
        async with self.http.request(method, BASE + path, json=body) as response:
            assert response.status < 300, await response.text()
            found: dict[str, object] = await response.json()
            return found

    async def close(self) -> None:
        await self.http.close()
        if self.process is not None and self.process.returncode is None:
            await self.end(signal.SIGTERM)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


async def vigia(
    environment: dict[str, str],
    *arguments: str,
    output: int | IO[bytes] = PIPE,
    command: tuple[str, ...] = COMMAND,
    folder: Path | None = None,
) -> Process:
    return await asyncio.create_subprocess_exec(
        *command, *arguments, env=environment, stdout=output, stderr=output, cwd=folder
    )


async def run(
    environment: dict[str, str],
    *arguments: str,
    command: tuple[str, ...] = COMMAND,
    folder: Path | None = None,
) -> tuple[int | None, str, str]:
    process = await vigia(environment, *arguments, command=command, folder=folder)
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@pytest.fixture
async def environment(tmp_path: Path, migrated_folder: Path) -> AsyncIterator[dict[str, str]]:
    """A clean environment: a database without rows, embedded or on the native server."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("VIGIA_")}
    clean |= {"VIGIA_DATA_DIR": str(tmp_path), "VIGIA_ADMIN_KEY": ADMIN_KEY}
    if not NATIVE_URL:
        shutil.copytree(migrated_folder / "postgres", tmp_path / "postgres")
        yield clean
        return
    name = re.sub(r"\W", "_", f"vigia_system_{os.getpid()}")
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    async with await psycopg.AsyncConnection.connect(NATIVE_URL, autocommit=True) as server:
        await server.execute(drop)
        await server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        url = make_url(NATIVE_URL, name)
        yield clean | {"VIGIA_DATABASE_URL": url}
        await server.execute(drop)


def make_url(url: str, database: str) -> str:
    return url.rsplit("/", 1)[0] + "/" + database


@pytest.fixture
async def program(environment: dict[str, str]) -> AsyncIterator[Program]:
    made = Program(environment)
    try:
        yield made
    finally:
        await made.close()
