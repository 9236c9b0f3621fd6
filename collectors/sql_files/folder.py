"""Reads a folder of SQL files, and the secret address of their database."""

import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from collectors.sql_files.connection import AddressError
from collectors.sql_files.header import MeasurementError
from collectors.sql_files.measurement import Measurement, read_file

FILES_MAX = 100
FILE_BYTES_MAX = 65536
ADDRESS_FILE = "database_url"
ADDRESS_BYTES_MAX = 8192

Stamp = tuple[int, int, int]
Read = tuple[Stamp, Measurement]
Paths = Callable[[], Sequence[Path]]


class Files:
    """Reads the files of a folder, and later only the changed ones."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._read: dict[Path, Read] = {}

    def read(self) -> tuple[list[Measurement], list[str]]:
        """Return the measurements, and a message for each file that cannot be used."""
        paths = self._paths()
        failures: list[str] = []
        if not paths:
            failures.append("the folder has no .sql file")
        if len(paths) > FILES_MAX:
            failures.append(f"the folder has more than {FILES_MAX} .sql files; the rest is ignored")
        before, self._read = self._read, {}
        for path in paths[:FILES_MAX]:
            try:
                self._read[path] = _read_changed(path, before.get(path))
            except MeasurementError as error:
                failures.append(str(error))
            except OSError as error:
                failures.append(f"{path.name}: {error.strerror}")
        return [measurement for _, measurement in self._read.values()], failures


def sql_paths(folder: Path) -> list[Path]:
    """Return the SQL files of a folder in order. A missing folder has none."""
    return sorted(path for path in folder.glob("*.sql") if not path.name.startswith("."))


def address_in(file: Path) -> str:
    """Return the address in a secret file.

    Raises AddressError, also when other users can read the file.
    """
    try:
        with file.open("rb") as opened:
            if os.fstat(opened.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise AddressError(f"other users can read {file.name}; run chmod 600 {file.name}")
            address = opened.read(ADDRESS_BYTES_MAX).decode().strip()
    except OSError as error:
        raise AddressError(f"{file.name}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise AddressError(f"{file.name} is not UTF-8") from None
    if not address.startswith(("postgresql://", "postgres://")):
        raise AddressError(f"{file.name} must begin with postgresql://")
    return address


def _read_changed(path: Path, before: Read | None) -> Read:
    found = path.stat()
    stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
    if before is not None and before[0] == stamp:
        return before
    if found.st_size > FILE_BYTES_MAX:
        raise MeasurementError(f"{path.name}: is larger than {FILE_BYTES_MAX} bytes")
    return stamp, read_file(path)
