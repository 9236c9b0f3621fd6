"""Writes the rows of a snapshot to a backup, and reads them back."""

import asyncio
import hashlib
import re
from collections.abc import Sequence

from db.backup.archive import Archive, ArchiveWriter, DamagedError
from db.backup.manifest import Manifest, Table
from db.backup.progress import Progress
from db.backup.rows import script
from db.backup.rows.snapshot import Snapshot
from db.backup.tables import COPY_OUT, Reading, checksum_text, count

PART_BYTES = 8 << 20
"""The size of one member with rows. This much is held in memory."""
ROWS = re.compile(r"rows/\d+-(\w+)\.copy\.gz")
SCRIPT = "rows/{:06}.sql"
PART = "rows/{:06}-{}.copy"


async def write_rows(
    writer: ArchiveWriter, snapshot: Snapshot, closing: Sequence[bytes], progress: Progress
) -> list[Table]:
    """Write the rows of every table, and return their counts and checksums.

    In the order of their names, the members are one script for psql. `closing` are the statements
    at its end.
    """
    progress.begin("parts counted", snapshot.parts)
    found = [await count(snapshot.connection, one, progress.advance) for one in snapshot.readings]
    dump = _Dump(writer, snapshot, progress)
    progress.begin("parts written", snapshot.parts)
    await dump.add_script(script.begin(snapshot))
    for reading in snapshot.readings:
        await dump.write_table(reading)
    await dump.add_script(script.end(snapshot.sequences, closing))
    return found


class _Dump:
    """Writes the members of the dump, and numbers them."""

    def __init__(self, writer: ArchiveWriter, snapshot: Snapshot, progress: Progress) -> None:
        self._writer, self._snapshot, self._progress = writer, snapshot, progress
        self._number = 0

    async def write_table(self, reading: Reading) -> None:
        name = reading.source.name
        await self.add_script(script.before_rows(reading))
        rows = bytearray()
        for statement in reading.statements(COPY_OUT):
            async with self._snapshot.connection.cursor() as cursor, cursor.copy(statement) as copy:
                async for block in copy:
                    rows += block
                    if len(rows) >= PART_BYTES:
                        await self._add(PART, bytes(rows), name)
                        rows.clear()
            self._progress.advance(1)
        if rows:
            await self._add(PART, bytes(rows), name)
        await self.add_script(script.after_rows())

    async def add_script(self, text: bytes) -> None:
        await self._add(SCRIPT, text)

    async def _add(self, name: str, data: bytes, table: str = "") -> None:
        self._number += 1
        await asyncio.to_thread(self._writer.add_compressed, name.format(self._number, table), data)


def rows_of(archive: Archive, table: str) -> list[str]:
    """Return the members with the rows of a table, in order."""
    return [name for name in archive.names if (match := ROWS.fullmatch(name)) and match[1] == table]


def check_rows(archive: Archive, manifest: Manifest, progress: Progress) -> None:
    """Count the rows in a backup. Raises DamagedError if they differ from the manifest."""
    progress.begin("rows read back", manifest.rows)
    for table in manifest.tables:
        found = _count(archive, table.name, progress)
        if found != table:
            raise DamagedError(
                f"table {table.name}: the backup has {found.rows} rows with checksum "
                f"{found.checksum}, but {table.rows} rows with {table.checksum} were read from "
                "the database; make the backup again"
            )


def _count(archive: Archive, name: str, progress: Progress) -> Table:
    rows = total = 0
    for member in rows_of(archive, name):
        lines = b"".join(archive.pieces(member)).split(b"\n")[:-1]
        total += sum(map(_first_bits, lines))
        rows += len(lines)
        progress.advance(len(lines))
    return Table(name, rows, checksum_text(total))


def _first_bits(line: bytes) -> int:
    return int.from_bytes(hashlib.sha256(line).digest()[:8], "big")
