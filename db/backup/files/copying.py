"""Copies a folder of files that others write to: most of it while they do, and the rest once held.

Each pass copies what is new or has changed since the pass before. Nobody may write during the last
one; it is short, since it finds little.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

STEADY_NS = 1_000_000_000
"""A file that changed as shortly before it was copied may have changed again under the same time:
file systems tell times apart by some milliseconds only."""

OnBytes = Callable[[int], None]
"""Is told how many more bytes were copied."""
Stamp = tuple[int, int, int]
"""A file's inode, length and time of change."""
IsWanted = Callable[[Path], bool]
"""Whether a file, named from the folder on, is copied."""


class FolderCopy:
    """A copy of `source` at `target`, which it makes. Every method blocks on the disk."""

    def __init__(self, source: Path, target: Path) -> None:
        self._source, self._target = source, target
        self._copied: dict[Path, Stamp] = {}
        self.folders: set[Path] = set()
        target.mkdir(mode=0o700, parents=True)

    @property
    def files(self) -> list[Path]:
        """The files of the copy, named from the folder on."""
        return sorted(self._copied)

    def path_of(self, file: Path) -> Path:
        return self._target / file

    def update(self, is_wanted: IsWanted, now_ns: int, on_bytes: OnBytes = lambda _: None) -> int:
        """Bring the copy up to the source; return how many bytes were copied. Raises OSError."""
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
        """Yield every file with its stamp, and note the folders; what goes meanwhile is passed."""
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
        """Copy a file; False when it has gone meanwhile."""
        try:
            shutil.copyfile(self._source / file, self.path_of(file))
        except FileNotFoundError:
            self._drop(file)
            return False
        return True

    def _drop(self, file: Path) -> None:
        self._copied.pop(file, None)
        self.path_of(file).unlink(missing_ok=True)
