"""What a backup says of itself: of which moment it is, and what has to be found in it."""

from datetime import datetime
from enum import StrEnum

import msgspec
from msgspec import Struct

from db.backup.archive import Archive, ArchiveWriter, DamagedError, Member

MANIFEST = "manifest.json"
FORMAT = 1


class Kind(StrEnum):
    """How a backup holds the database."""

    ROWS = "rows"
    """The rows of each table, as COPY writes them; with psql they make a database of any server."""
    FILES = "files"
    """The files of an embedded database."""


class Table(Struct, frozen=True):
    """How many rows a table has, and a checksum of all of them, whatever their order."""

    name: str
    rows: int
    checksum: str
    """The sum, modulo 2^64, of the first 64 bits of the SHA-256 of each row's line in COPY's text
    format: 16 hexadecimal digits."""


class NumberSequence(Struct, frozen=True):
    """The newest number that a sequence has given."""

    name: str
    last_value: int


class Manifest(Struct, frozen=True, kw_only=True):
    """The last part of a backup but the digest."""

    format: int = FORMAT
    kind: Kind
    time: datetime
    """Every sample that was acknowledged before this time is in the backup."""
    finished_at: datetime
    reason: str
    """What it was made for."""
    program: str
    schema_version: int
    server_version: str
    timescaledb_version: str
    held_s: float = 0.0
    """How long the embedded engine served nobody else."""
    tables: list[Table]
    """None of an embedded database that could not be opened for want of memory; see `unproven`."""
    unproven: str = ""
    """Why the rows were not counted; empty: they were."""
    sequences: list[NumberSequence] = []
    left_out: list[str] = []
    """Tables beside Vigia's own, which are not in it."""
    spool_bytes: int
    members: list[Member]

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)


def write_manifest(writer: ArchiveWriter, manifest: Manifest) -> None:
    """Add the manifest as the last part."""
    writer.add(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")


def read_manifest(archive: Archive) -> Manifest:
    """Return the manifest of an archive that is whole. Raises DamagedError for another format."""
    text = archive.read(MANIFEST)
    try:
        found = msgspec.json.decode(text, type=Manifest)
    except msgspec.MsgspecError as error:
        raise DamagedError(f"its {MANIFEST} is of another version of Vigia: {error}") from None
    if found.format != FORMAT:
        raise DamagedError(
            f"it has format {found.format} and this version of Vigia reads format {FORMAT}; "
            f"restore it with Vigia {found.program}"
        )
    return found
