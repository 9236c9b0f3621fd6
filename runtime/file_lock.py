"""A lock on a file, by which a folder belongs to one process at a time."""

import asyncio
import fcntl
import os
import time
from pathlib import Path

POLL_S = 0.1
TEXT_BYTES_MAX = 8192


class FileLock:
    """An open file that one holder at a time can lock.

    The kernel unlocks it when the last copy of `fd` is closed. So the lock ends with its process,
    however that ends, but not before a child process that inherited `fd`. Closed with `close`.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, and make it where there is none. Raises OSError."""
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def try_lock(self) -> bool:
        """Lock the file now; return False while somebody else holds it."""
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    async def lock(self, wait_s: float) -> bool:
        """Lock the file; return False when somebody else still holds it after `wait_s` seconds."""
        deadline = time.monotonic() + wait_s
        while not self.try_lock():
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(POLL_S)
        return True

    def write(self, text: str) -> None:
        """Write into the file what others are to know of its holder; paths may be of any bytes."""
        os.ftruncate(self.fd, os.pwrite(self.fd, os.fsencode(text), 0))

    def read(self) -> str:
        """Return what the holder wrote; it may be about a holder before, or be empty."""
        return os.fsdecode(os.pread(self.fd, TEXT_BYTES_MAX, 0))

    def close(self) -> None:
        os.close(self.fd)
