"""A queue of records on disk: appended with a checksum, read in order, deleted when stored.

A segment is a file of records `length | crc | payload`. Both numbers are 32-bit, little-endian.
When a segment is truncated or corrupted, every record before the damage is kept, a copy of the
damaged segment is quarantined, and the damage is counted.
"""

import errno
import os
import re
import stat
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from hashlib import blake2b
from itertools import count, pairwise
from pathlib import Path

import structlog
from msgspec import Struct

from model.errors import UnavailableError
from runtime.disk import clear_fresh, is_whole, replace_file, sync_folder, write_file

log = structlog.get_logger()

HEADER = struct.Struct("<II")
SEGMENT_BYTES = 8 * 1024 * 1024
RECORD_BYTES_MAX = 64 * 1024 * 1024
SUFFIX = ".spool"
NAME = re.compile(rf"[0-9a-f]{{16}}\{SUFFIX}")
PASSED = ".passed"
QUARANTINE = "quarantine"
REQUEUED = "requeued"
REFUSED = "refused-"
REASON = ".reason"


class Damage(Struct, frozen=True):
    """Bytes of a segment that are not valid records, and were quarantined.

    `bytes` is 0 for a missing segment, because its size is unknown.
    """

    segment: str
    offset: int
    bytes: int


class MissingError(OSError):
    """The active segment or its folder was deleted or moved."""

    def __init__(self) -> None:
        super().__init__(errno.ENOENT, "the folder of the spool was deleted or moved")


class Spool:
    """A folder of segments with one writer. Every method blocks on the disk: call it in a thread.

    The last segment is active: records are appended to it. All others are closed.
    """

    def __init__(self, folder: Path, budget_bytes: int) -> None:
        """Open the folder, and repair damaged segments. `damage` lists the losses.

        `budget_bytes` limits the size of all segments together.
        """
        self.folder = folder
        self._budget_bytes = budget_bytes
        self.beside_bytes = 0
        """The size of the postponed records, which count toward the budget as well."""
        self._quarantine = folder / QUARANTINE
        self._quarantine.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._active: Segment | None = None
        self._counted_ns, self._quarantined = 0, 0
        self.damage: list[Damage] = []
        for each in (folder, self._quarantine):
            clear_fresh(each)
        found = sorted(path for path in folder.glob(f"*{SUFFIX}") if NAME.fullmatch(path.name))
        self._sizes = {path: self._size_of(path) for path in found if path.is_file()}
        self._find_missing()
        self._next = max(map(_number, found), default=0) + 1

    @property
    def size_bytes(self) -> int:
        active = self._active.size_bytes if self._active else 0
        return sum(self._sizes.values()) + active

    @property
    def is_empty(self) -> bool:
        return not self._sizes and self._active is None

    @property
    def has_active(self) -> bool:
        """Whether there is an active segment."""
        return self._active is not None

    def append(self, payloads: Iterable[bytes]) -> None:
        """Write records, all or none of them, and return when they are on the disk.

        Raises UnavailableError when they would exceed the budget, OSError when the disk fails, and
        ValueError for an empty payload or one over `RECORD_BYTES_MAX`.
        """
        records = b"".join(_record(payload) for payload in payloads)
        if self.size_bytes + self.beside_bytes + len(records) > self._budget_bytes:
            raise UnavailableError(
                f"the spool is full ({self._budget_bytes} bytes), because the database cannot be "
                "reached; send the samples again later"
            )
        try:
            self._write(records)
        except MissingError:
            # The folder was deleted or moved. Its records are lost; these must not be lost as well.
            self._start_anew()
            self._write(records)

    def segments(self) -> list[Path]:
        """Return all segments, oldest first. Records that come later go to a new segment."""
        self._rotate()
        return self.closed()

    def closed(self) -> list[Path]:
        """Return the closed segments, oldest first."""
        return sorted(self._sizes)

    def read(self, segment: Path) -> Iterator[bytes]:
        """Yield the payloads of a segment in order. Damage since the start is counted."""
        try:
            self._sizes[segment] = self._mend(segment)
            data = segment.read_bytes()
        except FileNotFoundError:
            self._report(Damage(segment.name, 0, 0))
            return
        for offset, length in _records(data):
            yield data[offset : offset + length]

    def remove(self, segment: Path) -> None:
        """Delete a segment after all its records were stored elsewhere. Raises OSError.

        Older segments that stay get a mark, so that the gap is not reported as a lost segment.
        """
        segment.unlink(missing_ok=True)
        self._sizes.pop(segment, None)
        # A missing mark only causes a false report of damage. It must not fail the removal.
        with suppress(OSError):
            _passed(segment).unlink(missing_ok=True)
            for older in self._sizes:
                if older < segment:
                    _passed(older).touch(mode=0o600)

    def write_quarantined(self, name: str, data: bytes) -> None:
        """Keep unusable data for inspection in the quarantine, beside files of the same name."""
        write_file(self._free(name), data)

    def quarantine(self, payload: bytes, reason: str) -> bool:
        """Keep a refused record and the reason; return False if it is already there.

        Its name is a hash of the record, so that repeated attempts do not fill the disk.
        """
        self._quarantine.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._quarantine / f"{REFUSED}{blake2b(payload, digest_size=16).hexdigest()}"
        if is_whole(path, len(payload)):
            # The process that wrote it may have been killed before it synced the folder.
            sync_folder(self._quarantine)
            return False
        # The reason goes first: a kill between the two writes must not leave a record without one.
        write_file(path.with_name(path.name + REASON), reason.encode())
        write_file(path, payload)
        return True

    def move_aside(self, segment: Path) -> None:
        """Move a segment to the quarantine. This needs no free space and reads nothing."""
        segment.rename(self._free(segment.name))
        self._sizes.pop(segment, None)

    def _free(self, name: str) -> Path:
        names = (f"{name}.{number}" if number else name for number in count())
        return next(path for each in names if not (path := self._quarantine / each).exists())

    def quarantined(self) -> int:
        """Return how many refused records are in the quarantine; list it only after a change."""
        self._quarantine.mkdir(mode=0o700, parents=True, exist_ok=True)
        changed_ns = self._quarantine.stat().st_mtime_ns
        if changed_ns != self._counted_ns:
            self._counted_ns, self._quarantined = changed_ns, len(refused_in(self._quarantine))
        return self._quarantined

    def close(self) -> None:
        self._rotate()

    def _write(self, records: bytes) -> None:
        if self._active is None or self._active.size_bytes >= SEGMENT_BYTES:
            self._rotate()
            self._active = self._begin()
        self._active.append(records)

    def _start_anew(self) -> None:
        """Create the folder again after it was deleted, and report its segments as lost."""
        self._rotate()
        for path in [path for path in self._sizes if not path.exists()]:
            self._report(Damage(path.name, 0, self._sizes.pop(path)))
        self._quarantine.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _rotate(self) -> None:
        if self._active is not None:
            self._sizes[self._active.path] = self._active.close()
            self._active = None

    def _begin(self) -> "Segment":
        try:
            made = Segment(self.folder, self._next)
        except FileExistsError:
            # A failed attempt left this file. The next attempt must use another name.
            self._next += 1
            raise
        except FileNotFoundError as error:
            raise MissingError from error
        self._next += 1
        return made

    def _size_of(self, path: Path) -> int:
        """Repair a segment at start, and return its size in bytes."""
        try:
            return self._mend(path)
        except OSError as error:
            # One unreadable segment must not keep the others from being read.
            log.warning("spool_not_read", segment=path.name, error=str(error))
            return path.stat().st_size

    def _mend(self, path: Path) -> int:
        """Remove the bytes that are not valid records from a segment; return the size of the rest.

        1. Find all valid records.
        2. If any byte is left over, report the damage.
        3. Copy the whole segment to the quarantine, and only then replace it by its valid records.
        """
        data = path.read_bytes()
        good = b"".join(data[at - HEADER.size : at + length] for at, length in _records(data))
        if len(good) == len(data):
            return len(data)
        self._report(Damage(path.name, _first_gap(data), len(data) - len(good)))
        try:
            self.write_quarantined(f"{path.name}.damaged", data)
            replace_file(path, good)
        except OSError as error:
            # The disk may be full. `read` skips the damage anyway.
            log.warning("spool_not_mended", segment=path.name, error=str(error))
            return len(data)
        return len(good)

    def _find_missing(self) -> None:
        for before, after in pairwise(self._sizes):
            is_gap = _number(after) > _number(before) + 1
            if is_gap and not _passed(before).exists():
                self._report(Damage(_name(_number(before) + 1), 0, 0))
        for path in self.folder.glob(f"*{PASSED}"):
            if path.with_suffix("") not in self._sizes:
                with suppress(OSError):
                    path.unlink(missing_ok=True)

    def _report(self, lost: Damage) -> None:
        if lost not in self.damage:
            self.damage.append(lost)
            log.error("spool_damaged", segment=lost.segment, offset=lost.offset, bytes=lost.bytes)


def refused_in(folder: Path) -> list[Path]:
    """Return the refused records in a folder, oldest first. A missing folder has none.

    Raises OSError for a folder that cannot be read.
    """
    found = []
    # Not glob: it returns nothing for a folder that this user may not read.
    for name in _names_in(folder):
        path = folder / name
        with suppress(FileNotFoundError):
            status = path.stat()
            if stat.S_ISREG(status.st_mode) and path.suffix != REASON:
                found.append((status.st_mtime_ns, path))
    return [path for _, path in sorted(found)]


def _names_in(folder: Path) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if name.startswith(REFUSED)]  # noqa: PTH208
    except FileNotFoundError:
        return []


class Segment:
    """The active segment: an open file that records are appended to."""

    def __init__(self, folder: Path, number: int) -> None:
        self.path = folder / _name(number)
        self.size_bytes = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        self._file = os.open(self.path, flags, 0o600)
        try:
            sync_folder(folder)
        except OSError:
            os.close(self._file)
            self.path.unlink(missing_ok=True)
            raise

    def append(self, records: bytes) -> None:
        """Write records and sync. Raises OSError, and then removes what it has written.

        1. Refuse a file that was truncated from outside: records behind a hole would not be found.
        2. Write at the end of the last complete record, and sync.
        3. If that fails, truncate the file. If even that fails, the next append overwrites it.
        4. Refuse a file that is no longer at its path: the next start would not find it.
        """
        if os.fstat(self._file).st_size < self.size_bytes:
            raise MissingError
        try:
            written = 0
            while written < len(records):
                written += os.pwrite(self._file, records[written:], self.size_bytes + written)
            os.fsync(self._file)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, self.size_bytes)
            raise
        if not self._is_in_place():
            raise MissingError
        self.size_bytes += len(records)

    def _is_in_place(self) -> bool:
        """Whether the path still names this open file. It may have been deleted or moved."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(found, os.fstat(self._file))

    def close(self) -> int:
        with suppress(OSError):
            # An error here concerns no record: each append has already synced.
            os.close(self._file)
        return self.size_bytes


def _name(number: int) -> str:
    return f"{number:016x}{SUFFIX}"


def _passed(segment: Path) -> Path:
    """Return the mark that says: later segments than this one were stored and deleted."""
    return segment.with_name(segment.name + PASSED)


def _number(segment: Path) -> int:
    return int(segment.stem, 16)


def _record(payload: bytes) -> bytes:
    if not 0 < len(payload) <= RECORD_BYTES_MAX:
        raise ValueError(f"a record has 1 to {RECORD_BYTES_MAX} bytes, not {len(payload)}")
    return HEADER.pack(len(payload), zlib.crc32(payload)) + payload


def _records(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the offset and length of each valid payload.

    A record with a wrong checksum is skipped. After a corrupted length, the rest of the segment is
    lost, unless the length happens to lead to a valid record.
    """
    at = 0
    while (end := _end(data, at)) is not None:
        if _is_whole(data, at, end):
            yield at + HEADER.size, end - at - HEADER.size
        at = end


def _end(data: bytes, at: int) -> int | None:
    """Return the end of a record according to its length field, or None for an impossible length.

    Length 0 is impossible: a tail of zeros, which a crash may leave, would be many empty records.
    """
    if at + HEADER.size > len(data):
        return None
    length, _ = HEADER.unpack_from(data, at)
    end = at + HEADER.size + length
    return end if 0 < length <= RECORD_BYTES_MAX and end <= len(data) else None


def _is_whole(data: bytes, at: int, end: int) -> bool:
    _, crc = HEADER.unpack_from(data, at)
    return zlib.crc32(data[at + HEADER.size : end]) == int(crc)


def _first_gap(data: bytes) -> int:
    """Return the offset of the first damage."""
    at = 0
    for offset, length in _records(data):
        if offset - HEADER.size != at:
            return at
        at = offset + length
    return at
