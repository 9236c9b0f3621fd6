"""Copies a folder while another process writes to it, in several passes.

Each pass copies the files that are new or have changed since the pass before. The other process
must not write during the last pass. That pass is short, because few files are left.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

STEADY_NS = 1_000_000_000
"""A file that changed less than this before its copy is copied again in the next pass. It may have
changed a second time with the same modification time, which has a resolution of milliseconds."""

OnBytes = Callable[[int], None]
"""Called with the number of bytes that were just copied."""
Stamp = tuple[int, int, int]
"""The inode, size and modification time (ns) of a file."""
IsWanted = Callable[[Path], bool]
"""Returns whether a file is copied. The path is relative to the folder."""


class FolderCopy:
    """A copy of the folder `source` at the new path `target`. Every method blocks on the disk."""

    def __init__(self, source: Path, target: Path) -> None:
        self._source, self._target = source, target
        self._copied: dict[Path, Stamp] = {}
        self.folders: set[Path] = set()
        target.mkdir(mode=0o700, parents=True)

    @property
    def files(self) -> list[Path]:
        """The files of the copy, relative to the folder."""
        return sorted(self._copied)

    def path_of(self, file: Path) -> Path:
        return self._target / file

    def update(self, is_wanted: IsWanted, now_ns: int, on_bytes: OnBytes = lambda _: None) -> int:
        """Copy the changes since the last call; return the copied bytes. Raises OSError."""
        found = {file: stamp for file, stamp in self._walk() if is_wanted(file)}
        for file in self._copied.keys() - found.keys():
            self._drop(file)
        size = 0
        for file, stamp in found.items():
            if self._copied.get(file) != stamp and self._copy(file):
                size += stamp[1]
                on_bytes(stamp[1])
                self._copied[file] = stamp if stamp[2] < now_ns - STEADY_NS else (0, 0, 0)
        return size

    def _walk(self) -> Iterator[tuple[Path, Stamp]]:
        """Yield every file with its stamp, and note the folders. Skip files deleted meanwhile."""
        self.folders = set()
        for folder, _, names in os.walk(self._source):
            place = Path(folder).relative_to(self._source)
            self.folders.add(place)
            self.path_of(place).mkdir(mode=0o700, exist_ok=True)
            for name in names:
                try:
                    found = (Path(folder) / name).lstat()
                except FileNotFoundError:
                    continue
                yield place / name, (found.st_ino, found.st_size, found.st_mtime_ns)

    def _copy(self, file: Path) -> bool:
        """Copy a file; return False if it was deleted meanwhile."""
        try:
            shutil.copyfile(self._source / file, self.path_of(file))
        except FileNotFoundError:
            self._drop(file)
            return False
        return True

    def _drop(self, file: Path) -> None:
        self._copied.pop(file, None)
        self.path_of(file).unlink(missing_ok=True)
