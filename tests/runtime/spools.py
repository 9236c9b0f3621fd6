"""Spools for tests: written, damaged from outside, and read again."""

import struct
import zlib
from pathlib import Path

from runtime.spool import QUARANTINE, Spool

BUDGET_BYTES = 1_000_000
PAYLOADS = [b"first" * 20, b"second" * 30, b"the third one" * 10]


def record(payload: bytes) -> bytes:
    """A record as the format is documented, whatever the spool itself thinks of it."""
    return struct.pack("<II", len(payload), zlib.crc32(payload)) + payload


def written(folder: Path, *segments: list[bytes]) -> list[Path]:
    """Write segments as a process does that is killed: nothing is closed in order."""
    made = Spool(folder, BUDGET_BYTES)
    for payloads in segments:
        made.segments()
        for payload in payloads:
            made.append([payload])
    return made.segments()


def read(opened: Spool) -> list[bytes]:
    return [payload for segment in opened.segments() for payload in opened.read(segment)]


def kept_aside(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((folder / QUARANTINE).iterdir())]
