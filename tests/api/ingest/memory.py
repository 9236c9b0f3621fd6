"""How much memory this process takes at most while something happens."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STATUS = Path("/proc/self/status")
RESET_PEAK = "5"


@contextmanager
def little_memory(growth_bytes_max: int) -> Iterator[None]:
    """Fail when the peak is further above the beginning."""
    Path("/proc/self/clear_refs").write_text(RESET_PEAK)
    before = _bytes_of("VmRSS")
    yield
    assert _bytes_of("VmHWM") - before < growth_bytes_max


def _bytes_of(name: str) -> int:
    [line] = [line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) << 10
