"""The spool in a backup: samples that were acknowledged, and wait on disk for the database."""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from db.backup.archive import Archive, ArchiveWriter
from runtime.disk import FRESH, write_file
from runtime.spool import NAME, QUARANTINE, REQUEUED, SUFFIX

FOLDER = "spool"
BESIDE = (REQUEUED, "postponed", QUARANTINE)
"""Folders of single records, in the order in which records move on: one that moves while they are
copied is met again."""
SEGMENT = re.compile(rf"{FOLDER}/({NAME.pattern})")


def write_spool(writer: ArchiveWriter, folder: Path) -> int:
    """Add what waits in a spool to a backup; return how many bytes. Raises OSError.

    A file that goes meanwhile was stored: whatever snapshot is taken after this has its samples.
    Files that come meanwhile are added too, as a record may move from one folder to another.
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
    """Add what waited to a spool that nobody uses now; return how many files. Raises OSError.

    Segments get the next numbers, so that nothing that is there is touched. Samples that the
    database has already are stored once.
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
