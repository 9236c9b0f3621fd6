"""Files that the disk refuses to read, write or delete: they wait, and hold up no others."""

import time
from pathlib import Path

import structlog
from msgspec import Struct

log = structlog.get_logger()

REST_S = 2.0
REST_S_MAX = 60.0
"""How long a file rests before it is tried again; twice as long after each failure."""


class _Failure(Struct, frozen=True):
    cause: str
    rest_s: float
    again_at: float


class DiskFailures:
    """Which files failed, why, and when each is tried again. A cause is logged once."""

    def __init__(self) -> None:
        self._failures: dict[Path, _Failure] = {}

    def __len__(self) -> int:
        return len(self._failures)

    def __contains__(self, path: Path) -> bool:
        return path in self._failures

    @property
    def text(self) -> str:
        """What the disk says, with the first file that it says it of; empty when all is well."""
        return next((f"{one.cause}: {path.name}" for path, one in self._failures.items()), "")

    def is_resting(self, path: Path) -> bool:
        """Whether a file failed just now."""
        found = self._failures.get(path)
        return found is not None and time.monotonic() < found.again_at

    def note(self, path: Path, error: OSError) -> None:
        """Let a file rest that failed."""
        cause, before = error.strerror or str(error), self._failures.pop(path, None)
        if cause not in self._causes() and (before is None or before.cause != cause):
            log.error("spool_file_failed", file=path.name, error=cause)
        rest_s = min(2 * before.rest_s, REST_S_MAX) if before else REST_S
        self._failures[path] = _Failure(cause, rest_s, time.monotonic() + rest_s)

    def clear(self, path: Path) -> None:
        """Forget that a file failed: it was read, written or deleted."""
        before = self._failures.pop(path, None)
        if before is not None and before.cause not in self._causes():
            log.info("spool_file_works_again", file=path.name, was=before.cause)

    def _causes(self) -> set[str]:
        return {one.cause for one in self._failures.values()}
