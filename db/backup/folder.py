"""The folder of backups: lists them, and deletes the old ones."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

from msgspec import Struct

from db.backup.archive import DamagedError, glance
from db.backup.manifest import Manifest, read_manifest
from model.errors import ConflictError
from runtime.disk import clear_fresh
from runtime.file_lock import FileLock

NAME = re.compile(r"vigia-(\d{8}T\d{6}Z)(-\d+)?\.backup")
TIME = "%Y%m%dT%H%M%SZ"
LOCK = "lock"


class Keep(Struct, frozen=True, forbid_unknown_fields=True):
    """How many backups are kept: the newest, one for each day, and one for each week."""

    last: int = 3
    daily: int = 7
    weekly: int = 4


class Backup(Struct, frozen=True):
    """One file in the folder. `manifest` is None if it cannot be read; `damage` says why."""

    path: str
    bytes: int
    manifest: Manifest | None
    damage: str


@contextmanager
def open_folder(folder: Path) -> Iterator[None]:
    """Lock a folder while a backup is written to it. Raises ConflictError, OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with closing(FileLock(folder / LOCK)) as lock:
        if not lock.try_lock():
            raise ConflictError(f"another backup is being written to {folder}; try again later")
        clear_fresh(folder)
        yield


def new_path(folder: Path, time: datetime) -> Path:
    """Return the path of a new backup. No file has it yet."""
    stem = f"vigia-{time.astimezone(UTC).strftime(TIME)}"
    names = (f"{stem}{f'-{number}' * bool(number)}.backup" for number in range(1000))
    return next(path for name in names if not (path := folder / name).exists())


def read_all(folder: Path) -> list[Backup]:
    """Return the backups in a folder, newest first. A missing folder has none."""
    return [_glance(path) for path in sorted(_backups(folder), reverse=True)]


def _glance(path: Path) -> Backup:
    size = path.stat().st_size
    try:
        with glance(path) as archive:
            return Backup(str(path), size, read_manifest(archive), "")
    except DamagedError as error:
        return Backup(str(path), size, None, str(error))


def drop_old(folder: Path, keep: Keep) -> list[Path]:
    """Delete the backups that `keep` does not cover, and return their paths. Raises OSError."""
    found = {path: _time_of(path) for path in _backups(folder)}
    stay = to_keep(found.values(), keep)
    gone = sorted(path for path, time in found.items() if time not in stay)
    for path in gone:
        path.unlink(missing_ok=True)
    return gone


def to_keep(times: Iterable[datetime], keep: Keep) -> Collection[datetime]:
    """Return the times of the backups to keep. The newest one is always kept."""
    newest = sorted(times, reverse=True)
    days = _first_of_each(newest, [time.date() for time in newest], keep.daily)
    weeks = _first_of_each(newest, [time.isocalendar()[:2] for time in newest], keep.weekly)
    return {*newest[: max(keep.last, 1)], *days, *weeks}


def _first_of_each(
    times: Sequence[datetime], spans: Sequence[date | tuple[int, int]], at_most: int
) -> list[datetime]:
    """Return the first time of each span, for at most `at_most` spans."""
    firsts: dict[date | tuple[int, int], datetime] = {}
    for time, span in zip(times, spans, strict=True):
        firsts.setdefault(span, time)
    return list(firsts.values())[:at_most]


def _backups(folder: Path) -> list[Path]:
    return [path for path in folder.glob("vigia-*.backup") if NAME.fullmatch(path.name)]


def _time_of(path: Path) -> datetime:
    match = NAME.fullmatch(path.name)
    assert match is not None  # noqa: S101 (`_backups` returns only names that match)
    return datetime.strptime(match[1], TIME).replace(tzinfo=UTC)
