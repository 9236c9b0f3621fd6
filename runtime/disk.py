"""Writes files durably: they are on the disk, not only in the page cache, when a call returns.

The process may be killed between any two steps. Therefore a file is written under a temporary name
and is renamed only when all of it is on the disk.
"""

import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

FRESH = ".new"
"""Suffix of a file that is being written. A file with this suffix at start is left over from a
killed process, and can be deleted."""


def write_file(path: Path, data: bytes) -> None:
    """Write a file and return when it is on the disk. Raises OSError, and then leaves no file."""
    try:
        replace_file(path, data)
    except OSError:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        raise


def replace_file(path: Path, data: bytes) -> None:
    """Replace a file atomically: a reader sees all of the old or all of the new content.

    Raises OSError, and then leaves the old file unchanged unless only the last sync failed.
    """
    fresh = path.with_name(f"{uuid4().hex}{FRESH}")
    try:
        with fresh.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # The rename comes after fsync: after a crash the name never points to missing data.
        fresh.replace(path)
    except OSError:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def is_whole(path: Path, size_bytes: int) -> bool:
    """Whether a file exists and has its full size.

    This is enough for a file that is named after a hash of its content.
    """
    try:
        return path.stat().st_size == size_bytes
    except FileNotFoundError:
        return False


def clear_fresh(folder: Path) -> None:
    """Delete the unfinished files that a killed process left."""
    for path in folder.glob(f"*{FRESH}"):
        with suppress(OSError):
            path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Sync a folder: a new, renamed or deleted file in it then survives a crash."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
