"""On a full or failing disk, a refused record is absent and every other record is present."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime.spool import Damage, Spool
from tests.runtime.spools import BUDGET_BYTES, PAYLOADS, kept_aside, read

LITTLE = """
import resource, sys
from pathlib import Path
from runtime.spool import Spool

resource.setrlimit(resource.RLIMIT_FSIZE, (10_100, resource.RLIM_INFINITY))
opened = Spool(Path(sys.argv[1]), 10**9)
for size in (3000, 3001, 3002, 3003, 500, 501, 502):
    try:
        opened.append([b"x" * size])
        print(size, end=" ")
    except OSError as error:
        print(error.strerror, end=" ")
print(opened.size_bytes)
"""


def test_a_record_that_the_disk_refuses_is_absent_and_all_others_are_complete(
    tmp_path: Path,
) -> None:
    """A file may not grow beyond 10,100 bytes here: the kernel writes a part, and then fails."""
    done = subprocess.run(
        [sys.executable, "-c", LITTLE, str(tmp_path)], capture_output=True, text=True, check=False
    )

    reported = "3000 3001 3002 File too large 500 501 File too large 10044"
    assert done.stdout.split() == reported.split(), done.stderr
    opened = Spool(tmp_path, BUDGET_BYTES)
    assert opened.damage == []
    assert read(opened) == [b"x" * size for size in (3000, 3001, 3002, 500, 501)]


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, *names: str) -> Iterator[None]:
    """Let the disk refuse some of what is asked of it, from a moment on."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        for name in names:
            patch.setattr(os, name, refuse)
        yield


@pytest.mark.parametrize(
    "names", [["fsync"], ["fsync", "ftruncate"], ["pwrite"], ["pwrite", "ftruncate"]]
)
@pytest.mark.parametrize("begun", [True, False])
def test_a_failure_of_the_disk_costs_no_record_before_or_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], begun: bool
) -> None:
    opened = Spool(tmp_path, BUDGET_BYTES)
    before = PAYLOADS if begun else []
    for payload in before:
        opened.append([payload])
    for _ in range(3):
        with failing(monkeypatch, *names), pytest.raises(OSError, match="No space"):
            opened.append([b"never acknowledged" * 100])
    opened.append([b"after it"])

    again = Spool(tmp_path, BUDGET_BYTES)
    assert read(again) == [*before, b"after it"]
    # Where nothing could be cut off, what was refused may lie behind, and is no record.
    assert again.damage == [] or "ftruncate" in names
    again.append([b"and more"])
    assert read(again) == [*before, b"after it", b"and more"]


@pytest.fixture
def little_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one mebibyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if (
        sys.platform != "linux"
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        pytest.skip("only root may mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(opened: Spool) -> list[bytes]:
    """Append until the disk is full; return what was taken."""
    taken: list[bytes] = []
    for number in range(100):
        payload = bytes([65 + number % 26]) * 30_000
        try:
            opened.append([payload])
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017 (what was taken before is wanted)
            return taken
        taken.append(payload)
    pytest.fail("the disk is not little")


def test_a_full_disk_refuses_and_takes_again_when_there_is_room(little_disk: Path) -> None:
    opened = Spool(little_disk, 10**9)
    opened.append([b"old" * 10_000])
    [oldest] = opened.segments()
    taken = fill(opened)

    opened.remove(oldest)
    opened.append([b"new" * 5_000])

    again = Spool(little_disk, 10**9)
    assert again.damage == []
    assert read(again) == [*taken, b"new" * 5_000]


def test_a_damaged_segment_is_read_even_where_there_is_no_room_to_mend_it(
    little_disk: Path,
) -> None:
    filled = Spool(little_disk, 10**9)
    taken = fill(filled)
    [path] = [each for each in filled.segments() if each.stat().st_size]
    os.truncate(path, path.stat().st_size - 1)

    opened = Spool(little_disk, 10**9)

    assert opened.damage == [Damage(path.name, 30_008 * (len(taken) - 1), 30_007)]
    assert read(opened) == taken[:-1]
    assert kept_aside(little_disk) == []
