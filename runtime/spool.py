"""Records that wait on disk: appended with a checksum, read again in order, deleted when done.

A segment is a file of records `length | crc | payload`, both numbers 32 bits, little-endian.
Whatever is cut short or changed on disk, every record before it is kept, the damaged segment is set
aside, and the damage is counted.
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
    """Bytes of a segment that were no record any more, and were quarantined.

    No bytes: the segment is missing, and who knows how many of them with it.
    """

    segment: str
    offset: int
    bytes: int


class MissingError(OSError):
    """The segment that is being written, or its folder, is no longer where it was made."""

    def __init__(self) -> None:
        super().__init__(errno.ENOENT, "the folder of the spool was deleted or moved")


class Spool:
    """A folder of segments, of one writer. Every method blocks on the disk: call it in a thread."""

    def __init__(self, folder: Path, budget_bytes: int) -> None:
        """Open the folder, mending what is damaged; `damage` says what was lost."""
        self.folder = folder
        self._budget_bytes = budget_bytes
        self.beside_bytes = 0
        """What else takes of the budget: records that are postponed."""
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
        """Whether there is a segment that is being written."""
        return self._active is not None

    def append(self, payloads: Iterable[bytes]) -> None:
        """Write records and return when they are on the disk, all of them or none.

        Raises UnavailableError when they would exceed the budget, OSError when the disk refuses,
        and ValueError for a payload that could not be read again: an empty or a huge one.
        """
        records = b"".join(_record(payload) for payload in payloads)
        if self.size_bytes + self.beside_bytes + len(records) > self._budget_bytes:
            raise UnavailableError(
                f"the spool is full ({self._budget_bytes} bytes) and the database is away; "
                "send it again later"
            )
        try:
            self._write(records)
        except MissingError:
            # Somebody deleted or moved the folder. What was in it is gone; this is not to follow.
            self._start_anew()
            self._write(records)

    def segments(self) -> list[Path]:
        """Return what there is to read, oldest first; later records go to other segments."""
        self._rotate()
        return self.closed()

    def closed(self) -> list[Path]:
        """Return the segments to which nothing is added any more, oldest first."""
        return sorted(self._sizes)

    def read(self, segment: Path) -> Iterator[bytes]:
        """Yield the payloads of a segment in order; what has been damaged by now is counted."""
        try:
            self._sizes[segment] = self._mend(segment)
            data = segment.read_bytes()
        except FileNotFoundError:
            self._report(Damage(segment.name, 0, 0))
            return
        for offset, length in _records(data):
            yield data[offset : offset + length]

    def remove(self, segment: Path) -> None:
        """Delete a segment whose every record is stored elsewhere by now. Raises OSError."""
        segment.unlink(missing_ok=True)
        self._sizes.pop(segment, None)
        with suppress(OSError):
            _passed(segment).unlink(missing_ok=True)
            for older in self._sizes:
                if older < segment:
                    _passed(older).touch(mode=0o600)

    def write_quarantined(self, name: str, data: bytes) -> None:
        """Keep what cannot be used where a person may look at it, beside what is there already."""
        write_file(self._free(name), data)

    def quarantine(self, payload: bytes, reason: str) -> bool:
        """Keep a refused record and the reason; False when it is there already.

        It is named by its content, so that trying it again fills no disk.
        """
        self._quarantine.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._quarantine / f"{REFUSED}{blake2b(payload, digest_size=16).hexdigest()}"
        if is_whole(path, len(payload)):
            # Whoever wrote it may have been killed before its name was on the disk.
            sync_folder(self._quarantine)
            return False
        # Its reason first: a record without one is listed all the same.
        write_file(path.with_name(path.name + REASON), reason.encode())
        write_file(path, payload)
        return True

    def move_aside(self, segment: Path) -> None:
        """Move a segment there as it is, which needs neither room nor that it can be read."""
        segment.rename(self._free(segment.name))
        self._sizes.pop(segment, None)

    def _free(self, name: str) -> Path:
        names = (f"{name}.{number}" if number else name for number in count())
        return next(path for each in names if not (path := self._quarantine / each).exists())

    def quarantined(self) -> int:
        """Return how many refused records are in the quarantine; listed only when it changed."""
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
        """Make the folder again after it was deleted, and report what was in it as lost."""
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
            # What an attempt that failed has left; the next one is to have another name.
            self._next += 1
            raise
        except FileNotFoundError as error:
            raise MissingError from error
        self._next += 1
        return made

    def _size_of(self, path: Path) -> int:
        """Return what there is to read in a segment that was found; damage is mended."""
        try:
            return self._mend(path)
        except OSError as error:
            # The others can be read, and this one perhaps later.
            log.warning("spool_not_read", segment=path.name, error=str(error))
            return path.stat().st_size

    def _mend(self, path: Path) -> int:
        """Cut out of a segment what is no record, and return the size of the rest."""
        data = path.read_bytes()
        good = b"".join(data[at - HEADER.size : at + length] for at, length in _records(data))
        if len(good) == len(data):
            return len(data)
        self._report(Damage(path.name, _first_gap(data), len(data) - len(good)))
        try:
            self.write_quarantined(f"{path.name}.damaged", data)
            replace_file(path, good)
        except OSError as error:
            # A full disk: whoever reads passes over the damage all the same.
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
    """Return the refused records in a folder, oldest first; none where there is no folder.

    Raises OSError for a folder that cannot be read.
    """
    found = []
    # Not glob, which takes a folder of somebody else for an empty one.
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
    """The file that is being written."""

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
        """Write and sync; what a failure leaves half written is cut off, or else written over."""
        if os.fstat(self._file).st_size < self.size_bytes:
            # Somebody cut it short. What follows a hole would not be found.
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
        """Whether who opens the folder later finds this file: it may have been deleted or moved."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(found, os.fstat(self._file))

    def close(self) -> int:
        with suppress(OSError):
            # What it says here is of no record: each is synced when it is written.
            os.close(self._file)
        return self.size_bytes


def _name(number: int) -> str:
    return f"{number:016x}{SUFFIX}"


def _passed(segment: Path) -> Path:
    """Return the mark of a segment that is kept, while later ones are stored and deleted."""
    return segment.with_name(segment.name + PASSED)


def _number(segment: Path) -> int:
    return int(segment.stem, 16)


def _record(payload: bytes) -> bytes:
    if not 0 < len(payload) <= RECORD_BYTES_MAX:
        raise ValueError(f"a record has 1 to {RECORD_BYTES_MAX} bytes, not {len(payload)}")
    return HEADER.pack(len(payload), zlib.crc32(payload)) + payload


def _records(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield offset and length of each payload that is whole.

    One whose content changed is passed over. Where a length is changed, the rest is lost, unless it
    leads to a whole record by chance.
    """
    at = 0
    while (end := _end(data, at)) is not None:
        if _is_whole(data, at, end):
            yield at + HEADER.size, end - at - HEADER.size
        at = end


def _end(data: bytes, at: int) -> int | None:
    """Return where a record ends by its own account; None when it cannot.

    An empty one is none: a tail of zeros, which a crash may leave, would be many.
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
    """Return where the first damage begins."""
    at = 0
    for offset, length in _records(data):
        if offset - HEADER.size != at:
            return at
        at = offset + length
    return at
