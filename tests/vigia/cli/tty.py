"""A terminal for `vigia`, with a simulated user."""

import asyncio
import os
import pty
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

TIMEOUT_S = 60.0
Environment = dict[str, str]


class Terminal:
    """A person before the prompt, who waits for what is written before typing on."""

    def __init__(self, process: Process, master: int) -> None:
        self.process = process
        self._master = master
        self._seen = ""
        self._has_output = asyncio.Event()
        self._has_ended = False
        asyncio.get_running_loop().add_reader(master, self._read)

    def _read(self) -> None:
        try:
            self._seen += os.read(self._master, 65536).decode(errors="replace")
        except OSError:
            asyncio.get_running_loop().remove_reader(self._master)
            self._has_ended = True
        self._has_output.set()

    async def all(self) -> str:
        """Return all that was written, once the program has ended."""
        async with asyncio.timeout(TIMEOUT_S):
            while not self._has_ended:
                self._has_output.clear()
                await self._has_output.wait()
        return self._seen

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    async def see(self, text: str) -> None:
        """Wait for a text, and forget what was before it."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                while text not in self._seen:
                    assert not self._has_ended, self._seen
                    self._has_output.clear()
                    await self._has_output.wait()
        except TimeoutError:
            pytest.fail(f"{text!r} did not come, but {self._seen!r}")
        self._seen = self._seen.partition(text)[2]


@asynccontextmanager
async def terminal(environment: Environment, *command: str) -> AsyncIterator[Terminal]:
    master, slave = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "vigia", *command),
        env={**environment, "TERM": "dumb"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        asyncio.get_running_loop().remove_reader(master)
        os.close(master)
