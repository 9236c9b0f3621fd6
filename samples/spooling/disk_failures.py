"""Tracks files that cannot be read, written or deleted. They wait, and do not block others."""

import time
from pathlib import Path

import structlog
from msgspec import Struct

log = structlog.get_logger()

REST_S = 2.0
REST_S_MAX = 60.0
"""Seconds until a failed file is tried again: first `REST_S`, doubled after each failure."""


class _Failure(Struct, frozen=True):
    cause: str
    rest_s: float
    again_at: float


class DiskFailures:
    """The failed files, their causes, and the time of the next attempt. A cause is logged once."""

    def __init__(self) -> None:
        self._failures: dict[Path, _Failure] = {}

    def __len__(self) -> int:
        return len(self._failures)

    def __contains__(self, path: Path) -> bool:
        return path in self._failures

    @property
    def text(self) -> str:
        """The cause and the name of the first failed file, or "" without a failure."""
        return next((f"{one.cause}: {path.name}" for path, one in self._failures.items()), "")

    def is_resting(self, path: Path) -> bool:
        """Return whether a file failed recently and must not be tried yet."""
        found = self._failures.get(path)
        return found is not None and time.monotonic() < found.again_at

    def note(self, path: Path, error: OSError) -> None:
        """Note the failure of a file, and set the time of its next attempt."""
        cause, before = error.strerror or str(error), self._failures.pop(path, None)
        if cause not in self._causes() and (before is None or before.cause != cause):
            log.error("spool_file_failed", file=path.name, error=cause)
        rest_s = min(2 * before.rest_s, REST_S_MAX) if before else REST_S
        self._failures[path] = _Failure(cause, rest_s, time.monotonic() + rest_s)

    def clear(self, path: Path) -> None:
        """Remove a file that was read, written or deleted successfully."""
        before = self._failures.pop(path, None)
        if before is not None and before.cause not in self._causes():
            log.info("spool_file_works_again", file=path.name, was=before.cause)

    def _causes(self) -> set[str]:
        return {one.cause for one in self._failures.values()}
