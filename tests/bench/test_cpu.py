import asyncio
import subprocess
import sys
from asyncio.subprocess import PIPE

import pytest

from bench.cpu import Meter, process_s

BUSY_S = 0.3
WORK = f"""
import threading, time
def work():
    while time.thread_time() < {BUSY_S}:
        pass
thread = threading.Thread(target=work)
thread.start()
thread.join()
print(flush=True)
input()
"""


def test_the_cpu_of_a_process_holds_that_of_threads_that_have_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", WORK], stdin=-1, stdout=-1) as process:
        assert process.stdout is not None
        process.stdout.readline()

        used = process_s(process.pid)

        process.communicate(b"\n")
    assert BUSY_S <= used < BUSY_S + 0.5


async def test_what_a_service_started_counts_as_its_database_even_when_it_has_ended() -> None:
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {WORK!r}]); input()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", parent, stdin=PIPE, stdout=PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    await process.stdout.readline()
    meter = Meter(process.pid)

    during = await meter.read()
    process.stdin.write(b"\n")
    await process.stdin.drain()
    async with asyncio.timeout(10):
        while meter.has_children:
            await meter.read()
    after = await meter.read()

    await process.communicate(b"\n")
    assert during.database_s >= BUSY_S
    assert after.database_s >= during.database_s
    assert during.service_s < BUSY_S


def test_a_process_that_is_not_there_has_no_cpu_time() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()

    with pytest.raises(OSError, match="Invalid argument"):
        process_s(process.pid)
