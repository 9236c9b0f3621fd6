"""Named queries of the benchmarks, each in the .sql file of its module's name."""

import re
from collections.abc import Mapping
from pathlib import Path

HEADER = re.compile(rb"^-- name: (\w+)\n", re.MULTILINE)


def load(module_file: str) -> Mapping[str, bytes]:
    """Return the queries beside a module by name."""
    _, *parts = HEADER.split(Path(module_file).with_suffix(".sql").read_bytes())
    names = [part.decode() for part in parts[::2]]
    return dict(zip(names, parts[1::2], strict=True))
