"""A lock on a file. It gives one process at a time the use of a folder."""

import asyncio
import fcntl
import os
import time
from pathlib import Path

POLL_S = 0.1
TEXT_BYTES_MAX = 8192


class FileLock:
    """An open file that one holder at a time can lock.

    The kernel releases the lock when the last copy of `fd` is closed. So the lock ends with its
    process, even a killed one, but not before a child process that inherited `fd` has ended.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, and create it if it does not exist. Raises OSError."""
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def try_lock(self) -> bool:
        """Lock the file; return False when another holder has it."""
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    async def lock(self, wait_s: float) -> bool:
        """Lock the file; return False when another holder still has it after `wait_s` seconds."""
        deadline = time.monotonic() + wait_s
        while not self.try_lock():
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(POLL_S)
        return True

    def write(self, text: str) -> None:
        """Write a text about the holder into the file. Paths in it may be any bytes."""
        os.ftruncate(self.fd, os.pwrite(self.fd, os.fsencode(text), 0))

    def read(self) -> str:
        """Return the text in the file. It can be empty, or come from an earlier holder."""
        return os.fsdecode(os.pread(self.fd, TEXT_BYTES_MAX, 0))

    def close(self) -> None:
        os.close(self.fd)
