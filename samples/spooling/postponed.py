"""Keeps records that the database refuses without a clear error, for another attempt.

They are stored beside the spool's segments, so that they block neither later records nor the wait
for an empty spool. The name of a file is a hash of its record, so that a record that is postponed
twice is kept once. Every method blocks on the disk: call it in a thread.
"""

import os
from hashlib import blake2b
from pathlib import Path

from runtime.disk import clear_fresh, is_whole, sync_folder, write_file

PREFIX = "postponed-"


class Postponed:
    """The folder of postponed records."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        clear_fresh(folder)
        self._sizes = {path: path.stat().st_size for path in folder.glob(f"{PREFIX}*")}

    @property
    def size_bytes(self) -> int:
        return sum(self._sizes.values())

    def __len__(self) -> int:
        return len(self._sizes)

    def put(self, payload: bytes) -> Path:
        """Store a record durably, and return its file. Raises OSError."""
        path = self.folder / f"{PREFIX}{blake2b(payload, digest_size=16).hexdigest()}"
        # Check the disk and not `_sizes`: a person may have deleted the file.
        if is_whole(path, len(payload)):
            sync_folder(self.folder)
        else:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_file(path, payload)
        self._sizes[path] = len(payload)
        return path

    def paths(self) -> list[Path]:
        """Return the records, least recently tried first."""
        found = {path: _tried_ns(path) for path in self._sizes}
        self._sizes = {path: self._sizes[path] for path, tried in found.items() if tried}
        return sorted(self._sizes, key=lambda path: found[path])

    def note_try(self, path: Path) -> None:
        """Move a record that failed again behind the others. Raises OSError."""
        os.utime(path)

    def remove(self, path: Path) -> None:
        """Delete a record that was stored or quarantined. Raises OSError."""
        self._sizes.pop(path, None)
        path.unlink(missing_ok=True)


def _tried_ns(path: Path) -> int:
    """Return the time of the last attempt in nanoseconds, or 0 for a deleted file."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
