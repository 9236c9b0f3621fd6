"""The id of a process that holds leases.

It survives restarts, so that its leases can be released.
"""

from pathlib import Path
from uuid import UUID, uuid4

FILE = "dispatcher_id"
"""A file in the data directory. Only one process can hold the lock of the directory."""


def lease_of(folder: Path) -> UUID:
    """Return the lease id of the process that uses a data directory."""
    file = folder / FILE
    try:
        return UUID(file.read_text(encoding="ascii").strip())
    except (FileNotFoundError, ValueError):
        lease = uuid4()
        file.write_text(f"{lease}\n", encoding="ascii")
        return lease
