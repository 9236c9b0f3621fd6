"""Records that the database, while it is well, refuses without a clear reason: kept, and retried.

They stand beside the spool's segments, so that they hold up neither what came after them nor those
who wait until the spool is empty. Each is a file that is named by its content: a record that is
postponed twice is kept once. Every method blocks on the disk: call it in a thread.
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
        """Keep a record, and return its file when it is on the disk. Raises OSError."""
        path = self.folder / f"{PREFIX}{blake2b(payload, digest_size=16).hexdigest()}"
        # The disk is asked, and not memory: somebody may have deleted it.
        if is_whole(path, len(payload)):
            sync_folder(self.folder)
        else:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_file(path, payload)
        self._sizes[path] = len(payload)
        return path

    def paths(self) -> list[Path]:
        """Return the records, those first whose last try is longest ago."""
        found = {path: _tried_ns(path) for path in self._sizes}
        self._sizes = {path: self._sizes[path] for path, tried in found.items() if tried}
        return sorted(self._sizes, key=lambda path: found[path])

    def note_try(self, path: Path) -> None:
        """Put a record that was tried in vain behind the others. Raises OSError."""
        os.utime(path)

    def remove(self, path: Path) -> None:
        """Delete a record that is stored, or quarantined. Raises OSError."""
        self._sizes.pop(path, None)
        path.unlink(missing_ok=True)


def _tried_ns(path: Path) -> int:
    """Return when a record was tried last; 0 when somebody deleted it."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
