"""The spool in a backup: acknowledged samples that wait on disk for the database."""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from db.backup.archive import Archive, ArchiveWriter
from runtime.disk import FRESH, write_file
from runtime.spool import NAME, QUARANTINE, REQUEUED, SUFFIX

FOLDER = "spool"
BESIDE = (REQUEUED, "postponed", QUARANTINE)
"""Folders of single records. A record can only move from one to a later one in this order, so that
a record that moves during the copy is found again."""
SEGMENT = re.compile(rf"{FOLDER}/({NAME.pattern})")


def write_spool(writer: ArchiveWriter, folder: Path) -> int:
    """Add the files of a spool to a backup; return their size in bytes. Raises OSError.

    A file that disappears meanwhile was stored in the database, and a snapshot that is taken later
    contains its samples. New files are added too, because a record may move to another folder.
    """
    added: set[Path] = set()
    size = 0
    while fresh := [path for path in _files(folder) if path not in added]:
        added.update(fresh)
        for path in fresh:
            with suppress(FileNotFoundError):
                data = path.read_bytes()
                writer.add(f"{FOLDER}/{path.relative_to(folder)}", data)
                size += len(data)
    return size


def _files(folder: Path) -> Iterator[Path]:
    yield from sorted(path for path in folder.glob(f"*{SUFFIX}") if NAME.fullmatch(path.name))
    for name in BESIDE:
        yield from sorted(
            path for path in (folder / name).glob("*") if path.suffix != FRESH and path.is_file()
        )


def restore_spool(archive: Archive, folder: Path) -> int:
    """Add the spool files of a backup to a spool that no process uses; return their number.

    Segments get new numbers, so that no existing file is replaced. Samples that the database
    already has are not stored twice. Raises OSError.
    """
    names = [name for name in archive.names if name.startswith(f"{FOLDER}/")]
    for name in BESIDE:
        (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    number = max((int(path.stem, 16) for path in _segments(folder)), default=0)
    for name in names:
        path = folder / name.removeprefix(f"{FOLDER}/")
        if SEGMENT.fullmatch(name):
            number += 1
            path = folder / f"{number:016x}{SUFFIX}"
        if not path.exists():
            write_file(path, archive.read(name))
    return len(names)


def _segments(folder: Path) -> list[Path]:
    return [path for path in folder.glob(f"*{SUFFIX}") if NAME.fullmatch(path.name)]
