"""Lists and requeues the records in the spool's quarantine, which the database has refused.

Both work beside a running service. It looks for requeued records each half second.
"""

import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from runtime.spool import QUARANTINE, REASON, REQUEUED, refused_in
from samples.spooling.spool import unpack


class Quarantined(Struct, frozen=True):
    """A quarantined record. `samples` is None if it cannot be read; `reason` is the error."""

    name: str
    time: datetime
    bytes: int
    samples: int | None
    reason: str


def read(spool: Path) -> list[Quarantined]:
    """Return the records in the quarantine of a spool's folder, oldest first. Raises OSError."""
    return [_describe(path) for path in refused_in(spool / QUARANTINE)]


def requeue(spool: Path, names: list[str]) -> list[str]:
    """Move records back to the spool, all of them without names, and return their names.

    Raises FileNotFoundError for an unknown name, and then moves nothing. Raises PermissionError for
    folders of another user.
    """
    there = {path.name: path for path in refused_in(spool / QUARANTINE)}
    if missing := sorted(set(names) - there.keys()):
        raise FileNotFoundError(", ".join(missing))
    target = _folder_of_the_owner(spool / REQUEUED)
    chosen = names or list(there)
    for name in chosen:
        # The record is moved before its reason is deleted: no kill can lose the record.
        there[name].rename(target / name)
        (spool / QUARANTINE / (name + REASON)).unlink(missing_ok=True)
    return chosen


def _folder_of_the_owner(folder: Path) -> Path:
    """Create a folder that the service can read, even if root creates it or created it before."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found, wanted = folder.stat(), folder.parent.stat()
    if (found.st_uid, found.st_gid) != (wanted.st_uid, wanted.st_gid) and os.geteuid() == 0:
        os.chown(folder, wanted.st_uid, wanted.st_gid)
    return folder


def _describe(path: Path) -> Quarantined:
    found, reason = path.stat(), path.with_name(path.name + REASON)
    return Quarantined(
        name=path.name,
        time=datetime.fromtimestamp(found.st_mtime, UTC),
        bytes=found.st_size,
        samples=_samples(path),
        reason=reason.read_text(errors="replace") if reason.exists() else "",
    )


def _samples(path: Path) -> int | None:
    try:
        return unpack(path.read_bytes()).samples
    except (OSError, ValueError, msgspec.MsgspecError):
        return None
