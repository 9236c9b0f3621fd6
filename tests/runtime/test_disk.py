"""A kill while a record is written loses none that was acknowledged."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from psycopg import errors

from runtime.spool import refused_in
from samples.spooling.drain import Drain
from samples.spooling.spool import open_spool, unpack
from tests.samples.spooling.test_quarantine import Database, yes

KILLED_WHILE_IT_DRAINS = """
import asyncio, resource, signal, sys
from pathlib import Path

from psycopg import errors

from samples.spooling.spool import open_spool
from samples.spooling.drain import Drain
from tests.samples.spooling.test_quarantine import BAD, GOOD, Database, batch, yes


async def run(folder, error):
    async with open_spool(Path(folder)) as spool:
        await spool.put(batch(BAD))
        await spool.put(batch(GOOD))
        # The kernel takes so many bytes of a file, and ends the process at the next one.
        resource.setrlimit(resource.RLIMIT_FSIZE, (BYTES, resource.RLIM_INFINITY))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        await Drain(spool, Database(getattr(errors, error)("of this sample")).store, yes).run()


asyncio.run(run(*sys.argv[1:]))
"""
OF_THIS_SAMPLE = ["InternalError_", "NumericValueOutOfRange"]
"""What postpones a record, and what quarantines it."""


def drain_and_be_killed(folder: Path, error: str, after_bytes: int) -> None:
    program = KILLED_WHILE_IT_DRAINS.replace("BYTES", str(after_bytes))
    command = [sys.executable, "-c", program, str(folder), error]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGXFSZ, done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends the process at a limit")
@pytest.mark.parametrize("after_bytes", [0, 20])
@pytest.mark.parametrize("error", OF_THIS_SAMPLE)
async def test_a_kill_while_a_record_is_postponed_or_quarantined_loses_none(
    tmp_path: Path, error: str, after_bytes: int
) -> None:
    drain_and_be_killed(tmp_path / "spool", error, after_bytes)

    async with open_spool(tmp_path / "spool") as spool:
        refusing = Database(getattr(errors, error)("of this sample"))
        await Drain(spool, refusing.store, yes).run()
        assert spool.is_empty
    assert kept(tmp_path / "spool") == ["bad"]
    assert refusing.stored == ["good"]
    assert not list((tmp_path / "spool").rglob("*.new"))


def kept(spool: Path) -> list[str]:
    """Return the metrics of what is postponed or quarantined, as the next service reads it."""
    files = [*(spool / "postponed").glob("postponed-*"), *refused_in(spool / "quarantine")]
    return [one.metric for file in files for one in unpack(file.read_bytes()).series()]
