"""A thread runs one piece of work at a time, and its outcome reaches the caller."""

import asyncio
import subprocess
import sys
import threading

import pytest

from collectors.host.thread import BusyError, OneThread

EXIT_WITH_A_HUNG_THREAD = """
import asyncio, threading
from collectors.host.thread import OneThread

async def main():
    try:
        async with asyncio.timeout(0.01):
            await OneThread("hung").run(threading.Event().wait)
    except TimeoutError:
        print("gave up", flush=True)

asyncio.run(main())
"""


async def test_work_runs_in_the_named_thread_and_its_answer_comes_back() -> None:
    assert await OneThread("by name").run(lambda: threading.current_thread().name) == "by name"


async def test_an_exception_comes_back_to_the_waiter() -> None:
    def divide() -> float:
        return 1 / 0

    thread = OneThread("divides")

    with pytest.raises(ZeroDivisionError):
        await thread.run(divide)
    assert not thread.is_busy


async def test_a_hung_thread_refuses_work_until_it_ends() -> None:
    release = threading.Event()
    thread = OneThread("hangs")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await thread.run(release.wait)
    with pytest.raises(BusyError):
        await thread.run(release.wait)
    release.set()
    for hung in threading.enumerate():
        if hung.name == "hangs":
            hung.join(5)

    assert await thread.run(release.is_set)


def test_a_hung_thread_does_not_keep_the_process_from_ending() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", EXIT_WITH_A_HUNG_THREAD],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )

    assert ended.stdout == "gave up\n"
    assert ended.stderr == ""
