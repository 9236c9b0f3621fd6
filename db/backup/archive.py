"""A backup's file: a plain tar of gzipped parts, whose last member is the SHA-256 of all before it.

Every bit of the file counts: the digest covers what stands before the last member, and that member
has one possible text. So a file that was cut short or changed is found out before it is used. With
nothing but tar and gunzip a person can take it apart.
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
"""A better level costs several times as much, and saves a tenth."""
SHORT_BYTES_MAX = 16 << 20
"""What is compressed in memory; more goes through a file, since a member's length comes first."""
DIGEST = "SHA256"
DIGEST_BYTES = 65
TAIL_BYTES = 2 * BLOCK_BYTES + 2 * BLOCK_BYTES
"""The last member, and the two empty blocks that end a tar."""


class DamagedError(DomainError):
    """The file is no backup, or not the one that was written; the message says what is wrong."""


class Member(Struct, frozen=True):
    """One part of the archive, as it is stored."""

    name: str
    bytes: int
    sha256: str


class ArchiveWriter:
    """Writes members one after the other; every method blocks on the disk."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.members: list[Member] = []
        self.size_bytes = 0

    def add(self, name: str, data: bytes) -> None:
        """Add a part as it is."""
        self._begin(name, len(data))
        self._put(data)
        self._end(name, len(data), hashlib.sha256(data).hexdigest())

    def add_folder(self, name: str) -> None:
        """Add an empty folder."""
        self._begin(f"{name}/", 0)

    def add_compressed(self, name: str, data: bytes) -> None:
        """Add a part, gzipped under the name with `.gz`."""
        self.add(f"{name}.gz", gzip.compress(data, GZIP_LEVEL, mtime=0))

    def add_file(self, name: str, path: Path) -> None:
        """Add the content of a file, gzipped under the name with `.gz`. Raises OSError."""
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
        """Write the digest of everything, and return when all of it is on the disk."""
        self._file.write(_tail(self._digest.hexdigest()))
        self._file.flush()
        os.fsync(self._file.fileno())
        # Whoever reads it back is to see what the disk has, and not what memory has.
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
    """Write a new file; all of it is on the disk in the end. Raises OSError."""
    with path.open("xb") as file:
        path.chmod(0o600)
        writer = ArchiveWriter(file)
        yield writer
        writer.close()


@contextmanager
def fresh_file(path: Path) -> Iterator[Path]:
    """Yield the path of a file to write, which gets its name when nothing fails until the end."""
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
    """An archive and its members, in the order in which they were written."""

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
        """Return a member as it is stored. Raises DamagedError for one that is missing."""
        if name not in self._places:
            raise DamagedError(f"it is no backup of Vigia: it has no {name}")
        offset, size = self._places[name]
        self._file.seek(offset)
        return self._file.read(size)

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield a gzipped member's content in pieces."""
        offset, size = self._places[name]
        with gzip.GzipFile(fileobj=_Window(self._file, offset, size), mode="rb") as content:
            while piece := content.read(PIECE_BYTES):
                yield piece


class _Window(io.RawIOBase):
    """The bytes of one member, as a file."""

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
    """Read all of a file and open it as an archive. Raises DamagedError, and OSError."""
    size = path.stat().st_size
    progress.begin("bytes read", max(size - TAIL_BYTES, 0))
    with path.open("rb") as file:
        _check(file, size, progress)
        yield Archive(file, dict(_places(file, size - TAIL_BYTES)))


@contextmanager
def glance(path: Path) -> Iterator[Archive]:
    """Open an archive without reading all of it: whether it is whole stays open.

    Raises DamagedError, and OSError.
    """
    with path.open("rb") as file:
        size = path.stat().st_size
        if size <= TAIL_BYTES or size % BLOCK_BYTES:
            raise DamagedError(f"it was cut short: {size} bytes are no whole archive")
        yield Archive(file, dict(_places(file, size - TAIL_BYTES)))


def _check(file: BinaryIO, size: int, progress: Progress) -> None:
    """Compare the digest at the end with what stands before it. Raises DamagedError."""
    if size <= TAIL_BYTES or size % BLOCK_BYTES:
        raise DamagedError(f"it was cut short: {size} bytes are no whole archive")
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
            f"it was cut short or changed, or is no backup: it ends without {DIGEST}"
        )
    raise DamagedError(f"it was changed after it was written: {DIGEST} is of another content")


def _places(file: BinaryIO, end: int) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the name, the offset and the length of each member."""
    at = 0
    while at < end:
        file.seek(at)
        try:
            info = tarfile.TarInfo.frombuf(file.read(BLOCK_BYTES), "utf-8", "strict")
        except tarfile.HeaderError as error:
            raise DamagedError(f"it is no archive of Vigia: {error} at byte {at}") from None
        yield _safe(info.name) + "/" * info.isdir(), (at + BLOCK_BYTES, info.size)
        at += BLOCK_BYTES + info.size + -info.size % BLOCK_BYTES
    if at > end:
        raise DamagedError("it was cut short: its last part goes beyond its end")


def _safe(name: str) -> str:
    """Return a name that leads nowhere outside. Raises DamagedError for others."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise DamagedError(f"it is no archive of Vigia: a part is named {name!r}")
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
