"""How much memory a process takes at most while something happens: this one, unless said."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RESET_PEAK = "5"


@contextmanager
def little_memory(growth_bytes_max: int, process: int | str = "self") -> Iterator[None]:
    """Fail when the peak is further above the beginning."""
    place = Path(f"/proc/{process}")
    (place / "clear_refs").write_text(RESET_PEAK)
    before = _bytes_of(place, "VmRSS")
    yield
    assert _bytes_of(place, "VmHWM") - before < growth_bytes_max


def _bytes_of(place: Path, name: str) -> int:
    lines = (place / "status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith(f"{name}:")]
    return int(line.split()[1]) << 10
