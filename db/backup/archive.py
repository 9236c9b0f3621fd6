"""The file of a backup: a plain tar of gzipped parts. Its last member is a SHA-256 digest.

The digest covers all bytes before the last member, and for a digest only one last member is valid.
So every truncated or changed file is detected before it is used. A person can unpack the file with
tar and gunzip alone.
"""

import gzip
import hashlib
import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO

from msgspec import Struct

from db.backup.progress import Progress
from model.errors import DomainError
from runtime.disk import FRESH, sync_folder

BLOCK_BYTES = tarfile.BLOCKSIZE
PIECE_BYTES = 1 << 20
GZIP_LEVEL = 1
"""A better level takes several times as long, and saves a tenth of the size."""
SHORT_BYTES_MAX = 16 << 20
"""Members up to this size are compressed in memory, and larger ones in a temporary file. The length
of a member precedes its content, so the content cannot be streamed."""
DIGEST = "SHA256"
DIGEST_BYTES = 65
TAIL_BYTES = 2 * BLOCK_BYTES + 2 * BLOCK_BYTES
"""The size of the last member, and of the two empty blocks at the end of a tar."""


class DamagedError(DomainError):
    """The file is not a backup, or was damaged. The message says what is wrong."""


class Member(Struct, frozen=True):
    """One member of the archive, with the size and digest of its stored bytes."""

    name: str
    bytes: int
    sha256: str


class ArchiveWriter:
    """Writes the members of an archive in order. Every method blocks on the disk."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.members: list[Member] = []
        self.size_bytes = 0

    def add(self, name: str, data: bytes) -> None:
        """Add a member, uncompressed."""
        self._begin(name, len(data))
        self._put(data)
        self._end(name, len(data), hashlib.sha256(data).hexdigest())

    def add_folder(self, name: str) -> None:
        """Add an empty folder."""
        self._begin(f"{name}/", 0)

    def add_compressed(self, name: str, data: bytes) -> None:
        """Add a gzipped member. Its name gets the suffix `.gz`."""
        self.add(f"{name}.gz", gzip.compress(data, GZIP_LEVEL, mtime=0))

    def add_file(self, name: str, path: Path) -> None:
        """Add a file as a gzipped member. Its name gets the suffix `.gz`. Raises OSError."""
        with tempfile.SpooledTemporaryFile(SHORT_BYTES_MAX, "w+b", dir=str(path.parent)) as packed:
            with path.open("rb") as raw, _gzip_into(packed) as into:
                shutil.copyfileobj(raw, into, PIECE_BYTES)
            size = packed.tell()
            packed.seek(0)
            self._begin(f"{name}.gz", size)
            digest = hashlib.sha256()
            while piece := packed.read(PIECE_BYTES):
                digest.update(piece)
                self._put(piece)
            self._end(f"{name}.gz", size, digest.hexdigest())

    def close(self) -> None:
        """Write the digest, and return when the whole file is on the disk."""
        self._file.write(_tail(self._digest.hexdigest()))
        self._file.flush()
        os.fsync(self._file.fileno())
        # Drop the page cache, so that the verification reads from the disk.
        os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        self.size_bytes += TAIL_BYTES

    def _begin(self, name: str, size: int) -> None:
        self._put(_header(name, size))

    def _end(self, name: str, size: int, digest: str) -> None:
        self._put(bytes(-size % BLOCK_BYTES))
        self.members.append(Member(name, size, digest))

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
        self.size_bytes += len(data)


@contextmanager
def new_archive(path: Path) -> Iterator[ArchiveWriter]:
    """Write a new archive. At the end all of it is on the disk. Raises OSError."""
    with path.open("xb") as file:
        path.chmod(0o600)
        writer = ArchiveWriter(file)
        yield writer
        writer.close()


@contextmanager
def fresh_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to. It is renamed to `path` if no error occurs."""
    fresh = path.with_name(path.name + FRESH)
    try:
        yield fresh
        fresh.rename(path)
    except BaseException:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


class Archive:
    """An open archive with its members in the order of the file."""

    def __init__(self, file: BinaryIO, places: dict[str, tuple[int, int]]) -> None:
        self._file = file
        self._places = places

    @property
    def names(self) -> list[str]:
        """The members that are files."""
        return [name for name in self._places if not name.endswith("/")]

    @property
    def folders(self) -> list[str]:
        return [name.rstrip("/") for name in self._places if name.endswith("/")]

    def read(self, name: str) -> bytes:
        """Return the stored bytes of a member. Raises DamagedError if it is missing."""
        if name not in self._places:
            raise DamagedError(f"the file is not a backup of Vigia: it has no {name}")
        offset, size = self._places[name]
        self._file.seek(offset)
        return self._file.read(size)

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield the uncompressed content of a gzipped member in pieces."""
        offset, size = self._places[name]
        with gzip.GzipFile(fileobj=_Window(self._file, offset, size), mode="rb") as content:
            while piece := content.read(PIECE_BYTES):
                yield piece


class _Window(io.RawIOBase):
    """The bytes of one member as a file object."""

    def __init__(self, file: BinaryIO, offset: int, size: int) -> None:
        super().__init__()
        self._file, self._left = file, size
        file.seek(offset)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(min(len(buffer), self._left))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)


@contextmanager
def open_archive(path: Path, progress: Progress) -> Iterator[Archive]:
    """Verify the digest of a file, and open it as an archive. Raises DamagedError, OSError."""
    size = path.stat().st_size
    progress.begin("bytes read", max(size - TAIL_BYTES, 0))
    with path.open("rb") as file:
        _check(file, size, progress)
        yield Archive(file, dict(_places(file, size - TAIL_BYTES)))


@contextmanager
def glance(path: Path) -> Iterator[Archive]:
    """Open an archive without verifying its digest. Raises DamagedError, OSError."""
    with path.open("rb") as file:
        size = path.stat().st_size
        if size <= TAIL_BYTES or size % BLOCK_BYTES:
            raise DamagedError(f"the file was truncated to {size} bytes")
        yield Archive(file, dict(_places(file, size - TAIL_BYTES)))


def _check(file: BinaryIO, size: int, progress: Progress) -> None:
    """Compare the digest at the end with the bytes before it. Raises DamagedError."""
    if size <= TAIL_BYTES or size % BLOCK_BYTES:
        raise DamagedError(f"the file was truncated to {size} bytes")
    digest, left = hashlib.sha256(), size - TAIL_BYTES
    while left:
        piece = file.read(min(PIECE_BYTES, left))
        digest.update(piece)
        left -= len(piece)
        progress.advance(len(piece))
    tail = file.read(TAIL_BYTES)
    if tail == _tail(digest.hexdigest()):
        return
    if tail[:BLOCK_BYTES] != _tail("")[:BLOCK_BYTES]:
        raise DamagedError(
            f"the file was truncated or changed, or is not a backup: it does not end with {DIGEST}"
        )
    raise DamagedError(f"the file was changed after it was written: its {DIGEST} does not match")


def _places(file: BinaryIO, end: int) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the name, the offset and the length of each member."""
    at = 0
    while at < end:
        file.seek(at)
        try:
            info = tarfile.TarInfo.frombuf(file.read(BLOCK_BYTES), "utf-8", "strict")
        except tarfile.HeaderError as error:
            raise DamagedError(f"the file is not a backup of Vigia: {error} at byte {at}") from None
        yield _safe(info.name) + "/" * info.isdir(), (at + BLOCK_BYTES, info.size)
        at += BLOCK_BYTES + info.size + -info.size % BLOCK_BYTES
    if at > end:
        raise DamagedError("the file was truncated: its last member is longer than the file")


def _safe(name: str) -> str:
    """Return a name that stays inside the target folder. Raises DamagedError for another name."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise DamagedError(f"the file is not a backup of Vigia: it has a member {name!r}")
    return name


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    if name.endswith("/"):
        info.type, info.mode = tarfile.DIRTYPE, 0o700
    return info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict")


def _tail(digest: str) -> bytes:
    text = f"{digest}\n".encode().ljust(BLOCK_BYTES, b"\0")
    return _header(DIGEST, DIGEST_BYTES) + text + bytes(2 * BLOCK_BYTES)


def _gzip_into(file: IO[bytes]) -> gzip.GzipFile:
    return gzip.GzipFile(filename="", mode="wb", compresslevel=GZIP_LEVEL, fileobj=file, mtime=0)
