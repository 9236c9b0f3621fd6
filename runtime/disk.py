"""Files that are on the disk, not only in the system's memory, when a call returns.

A kill may come between any two steps. So a file is written under a name that nobody looks for, and
gets its own only when all of it is on the disk.
"""

import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

FRESH = ".new"
"""Suffix of a file that is being written; what a kill leaves of such is of no use to anybody."""


def write_file(path: Path, data: bytes) -> None:
    """Write a file and return when it is on the disk, or else leave none. Raises OSError."""
    try:
        replace_file(path, data)
    except OSError:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        raise


def replace_file(path: Path, data: bytes) -> None:
    """Write a file so that at any moment either the old or the new one is there, and whole."""
    fresh = path.with_name(f"{uuid4().hex}{FRESH}")
    try:
        with fresh.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def is_whole(path: Path, size_bytes: int) -> bool:
    """Whether a file that is named by its content is there, and not one that was cut short."""
    try:
        return path.stat().st_size == size_bytes
    except FileNotFoundError:
        return False


def clear_fresh(folder: Path) -> None:
    """Delete what a kill left of files that were being written."""
    for path in folder.glob(f"*{FRESH}"):
        with suppress(OSError):
            path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Return when the names in a folder are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
