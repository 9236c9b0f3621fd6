"""Measures the size of a data directory."""

from pathlib import Path

MIB = 2**20


def mib(folder: Path) -> float:
    """Return the size of all files below a folder in MiB. Files deleted meanwhile count as 0."""
    return sum(_bytes(file) for file in folder.rglob("*")) / MIB


def log_mib(folder: Path) -> float:
    """Return the size of PostgreSQL's write-ahead log in a data directory in MiB."""
    return sum(mib(log) for log in folder.glob("**/pg_wal"))


def _bytes(file: Path) -> int:
    try:
        return file.stat().st_size if file.is_file() else 0
    except OSError:
        return 0
