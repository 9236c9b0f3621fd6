"""A standby of the native server: it follows by streaming, can be left behind, and promoted."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

SETTINGS = """
port = {port}
listen_addresses = '127.0.0.1'
unix_socket_directories = '{folder}'
"""


class Standby:
    """A second server, made from the first; its programs run as the user who runs that one."""

    def __init__(self, url: str, port: int, programs: Path, user: int) -> None:
        self.port = port
        self._url = url
        self._own_url = make_conninfo(url, host="127.0.0.1", port=port)
        self._programs = programs
        self._user = user
        # Not below pytest's folders, which another user may not enter.
        self._folder = Path(tempfile.mkdtemp(prefix="vigia-standby-"))
        os.chown(self._folder, user, -1)

    async def start(self) -> None:
        data = self._folder / "data"
        source = make_conninfo(self._url, dbname="")
        await self._run("pg_basebackup", "-D", str(data), "-R", "-c", "fast", "-d", source)
        with (data / "postgresql.conf").open("a") as file:
            file.write(SETTINGS.format(port=self.port, folder=self._folder))
        await self._run("pg_ctl", "-D", str(data), "-l", f"{data}/log", "-w", "start")

    async def catch_up(self) -> None:
        """Wait until this server has what the first one has committed by now.

        A commit is streamed after it is acknowledged, so the newest ones are not here at once.
        """
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as first:
            found = await first.execute("SELECT pg_current_wal_insert_lsn()")
            row = await found.fetchone()
        assert row is not None
        has_it = f"SELECT WHERE pg_last_wal_replay_lsn() >= '{row[0]}'"
        async with asyncio.timeout(20):
            while not await self._execute(has_it):
                await asyncio.sleep(0.05)

    async def stop_following(self) -> None:
        """Take no more from the first server."""
        await self._execute("ALTER SYSTEM SET primary_conninfo = ''")
        await self._execute("SELECT pg_reload_conf()")
        async with asyncio.timeout(20):
            while await self._execute("SELECT FROM pg_stat_wal_receiver"):
                await asyncio.sleep(0.05)

    async def promote(self) -> None:
        await self._execute("SELECT pg_promote()")

    async def close(self) -> None:
        await self._run("pg_ctl", "-D", str(self._folder / "data"), "-m", "immediate", "stop")
        shutil.rmtree(self._folder)

    async def _execute(self, statement: str) -> int:
        async with await psycopg.AsyncConnection.connect(self._own_url, autocommit=True) as own:
            return (await own.execute(statement.encode())).rowcount

    async def _run(self, program: str, *arguments: str) -> None:
        process = await asyncio.create_subprocess_exec(
            str(self._programs / program),
            *arguments,
            user=self._user if os.getuid() == 0 else None,
            cwd=self._folder,
            stdout=asyncio.subprocess.DEVNULL,
        )
        assert await process.wait() == 0, program


async def programs_of(url: str) -> tuple[Path, int]:
    """Return where the programs of a server are, and who runs it; skip when on another machine."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as server:
        found = await server.execute(
            "SELECT setting, current_setting('data_directory') FROM pg_config WHERE name = 'BINDIR'"
        )
        row = await found.fetchone()
    assert row is not None
    programs, user = Path(row[0]), _owner_of(Path(row[1]))
    if user is None or not shutil.which(programs / "pg_basebackup"):
        pytest.skip("the server's programs and files are on another machine")
    return programs, user


@asynccontextmanager
async def standby_of(url: str, port: int) -> AsyncIterator[Standby]:
    """Start a standby of a server whose programs and files are on this machine, else skip."""
    programs, user = await programs_of(url)
    standby = Standby(url, port, programs, user)
    await standby.start()
    try:
        yield standby
    finally:
        await standby.close()


def _owner_of(folder: Path) -> int | None:
    return folder.stat().st_uid if folder.exists() else None
