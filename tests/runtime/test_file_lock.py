"""A locked file has one holder, and is free again when the holder ends in any way."""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from runtime.file_lock import FileLock

ROOT = Path(__file__).parents[2]
HOLDER = """
import sys
from pathlib import Path
from runtime.file_lock import FileLock

lock = FileLock(Path(sys.argv[1]))
print(lock.try_lock(), flush=True)
sys.stdin.read()
"""
CHILD = "import sys; print('began', flush=True); sys.stdin.read()"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


@contextmanager
def holder(path: Path) -> Iterator[Popen[bytes]]:
    """Another process that holds the lock, and is killed at the end."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    with Popen(command, cwd=ROOT, stdin=PIPE, stdout=PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"True\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_lock_has_one_holder_until_it_is_closed(path: Path) -> None:
    first = FileLock(path)
    with closing(FileLock(path)) as second:
        assert first.try_lock()
        assert not second.try_lock()

        first.close()
        assert second.try_lock()


def test_a_file_that_was_locked_is_its_owner_s_alone(path: Path) -> None:
    FileLock(path).close()

    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_waiting_holder_gets_the_lock_as_soon_as_it_is_free(path: Path) -> None:
    first = FileLock(path)
    with closing(FileLock(path)) as second:
        assert first.try_lock()
        waiting = asyncio.create_task(second.lock(wait_s=30))
        await asyncio.sleep(0)
        assert not waiting.done()

        first.close()
        async with asyncio.timeout(5):
            assert await waiting


async def test_waiting_for_a_lock_ends_after_the_given_time(path: Path) -> None:
    with closing(FileLock(path)) as first, closing(FileLock(path)) as second:
        assert first.try_lock()

        assert not await second.lock(wait_s=0.2)


def test_a_process_that_is_killed_holds_no_lock(path: Path) -> None:
    with closing(FileLock(path)) as ours:
        with holder(path):
            assert not ours.try_lock()

        assert ours.try_lock()


def test_a_lock_is_held_until_the_child_that_inherited_it_ends(path: Path) -> None:
    with closing(FileLock(path)) as other:
        lock = FileLock(path)
        assert lock.try_lock()
        with Popen([sys.executable, "-c", CHILD], stdin=PIPE, pass_fds=[lock.fd]):
            lock.close()
            assert not other.try_lock()

        assert other.try_lock()


def test_a_child_that_was_not_given_the_lock_does_not_hold_it(path: Path) -> None:
    with closing(FileLock(path)) as other:
        lock = FileLock(path)
        assert lock.try_lock()
        command = [sys.executable, "-c", CHILD]
        with Popen(command, stdin=PIPE, stdout=PIPE, close_fds=False) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"began\n"
            lock.close()
            assert other.try_lock()


@pytest.mark.parametrize("text", ["1234\n/tmp/a", "5\n" + os.fsdecode(b"/tmp/\xff"), ""])
def test_what_the_holder_wrote_is_read_by_others(path: Path, text: str) -> None:
    with closing(FileLock(path)) as first, closing(FileLock(path)) as second:
        first.write("a longer text of a holder before")
        first.write(text)

        assert second.read() == text


def test_a_file_that_cannot_be_made_is_an_error_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FileLock(tmp_path / "absent" / "lock")
