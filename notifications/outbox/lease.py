"""Whose lease it is: the same after a restart, so that a process takes over what it served."""

from pathlib import Path
from uuid import UUID, uuid4

FILE = "dispatcher_id"
"""In the data directory, whose lock only one process holds."""


def lease_of(folder: Path) -> UUID:
    """Return the id under which the process of a data directory serves addresses."""
    file = folder / FILE
    try:
        return UUID(file.read_text(encoding="ascii").strip())
    except (FileNotFoundError, ValueError):
        lease = uuid4()
        file.write_text(f"{lease}\n", encoding="ascii")
        return lease
