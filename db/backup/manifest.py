"""The manifest of a backup: its time, its versions, and the expected content."""

from datetime import datetime
from enum import StrEnum

import msgspec
from msgspec import Struct

from db.backup.archive import Archive, ArchiveWriter, DamagedError, Member

MANIFEST = "manifest.json"
FORMAT = 1


class Kind(StrEnum):
    """The kind of a backup."""

    ROWS = "rows"
    """The rows of each table in COPY's text format. psql can restore them on any server."""
    FILES = "files"
    """The files of an embedded database."""


class Table(Struct, frozen=True):
    """The number of rows of a table, and a checksum that does not depend on their order."""

    name: str
    rows: int
    checksum: str
    """The sum, modulo 2^64, of the first 64 bits of the SHA-256 of each row's line in COPY's text
    format: 16 hexadecimal digits."""


class NumberSequence(Struct, frozen=True):
    """The last value of a sequence."""

    name: str
    last_value: int


class Manifest(Struct, frozen=True, kw_only=True):
    """The manifest. It is the last member before the digest."""

    format: int = FORMAT
    kind: Kind
    time: datetime
    """Every sample that was acknowledged before this time is in the backup."""
    finished_at: datetime
    reason: str
    """Why the backup was made."""
    program: str
    schema_version: int
    server_version: str
    timescaledb_version: str
    held_s: float = 0.0
    """For how many seconds the embedded engine served no other client."""
    tables: list[Table]
    """Empty for an embedded database whose copy could not be opened; see `unproven`."""
    unproven: str = ""
    """Why the rows were not counted, or "" if they were."""
    sequences: list[NumberSequence] = []
    left_out: list[str] = []
    """Tables that do not belong to Vigia. They are not in the backup."""
    spool_bytes: int
    members: list[Member]

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)


def write_manifest(writer: ArchiveWriter, manifest: Manifest) -> None:
    """Add the manifest as the last member before the digest."""
    writer.add(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")


def read_manifest(archive: Archive) -> Manifest:
    """Return the manifest of an archive. Raises DamagedError for an unknown format."""
    text = archive.read(MANIFEST)
    try:
        found = msgspec.json.decode(text, type=Manifest)
    except msgspec.MsgspecError as error:
        raise DamagedError(
            f"the backup was made by another version of Vigia: its {MANIFEST} cannot be read "
            f"({error})"
        ) from None
    if found.format != FORMAT:
        raise DamagedError(
            f"the backup has format {found.format}, but this version reads format {FORMAT}; "
            f"restore it with Vigia {found.program}"
        )
    return found
