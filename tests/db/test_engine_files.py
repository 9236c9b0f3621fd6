"""The files of the embedded engine: of no database, damaged, and deleted while it runs."""

import asyncio
import shutil
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from db.engine import EngineError
from tests.db.test_engine import ROOT, ask, data_dir, opened, until

__all__ = ["data_dir"]

OPEN = """
import asyncio, sys
from pathlib import Path
from db.engine import EngineError, open_engine
from runtime.settings import Settings

async def main():
    async with open_engine(Settings(data_dir=Path(sys.argv[1]))):
        pass

try:
    asyncio.run(main())
except EngineError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda path: path.touch(), "is not a directory"),
        (lambda path: (path / "postgres").mkdir(parents=True), "is empty; is a disk not mounted"),
        (lambda path: (path / "postgres" / "base").mkdir(parents=True), "has no file PG_VERSION"),
    ],
)
async def test_a_folder_without_a_database_is_refused_and_none_is_created_in_it(
    tmp_path: Path, made: Callable[[Path], None], reason: str
) -> None:
    place = tmp_path / "data"
    made(place)

    with pytest.raises(EngineError, match=rf"^VIGIA_DATA_DIR: .*{reason}"):
        async with opened(place):
            pass
    assert not [*place.glob("**/PG_VERSION")]


async def test_damaged_files_are_told_without_the_engine_s_own_calls(
    data_dir: Path, tmp_path: Path
) -> None:
    shutil.copytree(data_dir, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "postgres" / "base")

    with pytest.raises(EngineError, match="does not start") as caught:
        async with opened(tmp_path / "copy"):
            pass
    assert "object Object" not in str(caught.value)
    assert " at " not in str(caught.value).partition("does not start")[2]


async def test_files_that_are_deleted_end_the_engine_and_no_new_ones_are_made(
    data_dir: Path, tmp_path: Path
) -> None:
    place = tmp_path / "copy"
    shutil.copytree(data_dir, place)

    with capture_logs() as logs:
        async with opened(place) as engine:
            await ask(engine.dsn, "SELECT 1")
            (place / "postgres").rename(tmp_path / "away")
            await until(lambda: engine.restarts > 0)
            assert not (place / "postgres").exists()
            (tmp_path / "away").rename(place / "postgres")
            assert await ask(engine.dsn, "SELECT 1") == 1

    [ended, *_] = [line for line in logs if line["event"] == "engine_ended"]
    assert ended["complaint"].startswith("the directory of the database was deleted or moved")


async def open_under(limit: str, place: Path) -> str:
    """Open an engine under a limit of the shell; return why it could not be, empty if it could."""
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", f"ulimit {limit}; exec {sys.executable} -c '{OPEN}' {place}"),
        cwd=ROOT,
        stdout=PIPE,
        stderr=PIPE,
    )
    out, _ = await process.communicate()
    return out.decode()


async def test_too_little_memory_is_reported_in_one_line(tmp_path: Path) -> None:
    reported = await open_under("-v 3000000", tmp_path)

    assert "out of memory" in reported
    assert "no limit on addresses (ulimit -v)" in reported


async def test_too_few_files_are_told_in_one_line_before_any_is_made(tmp_path: Path) -> None:
    reported = await open_under("-n 64", tmp_path)

    assert reported.startswith(
        "the embedded database needs 256 open files, but this process may open only "
    )
    assert "64; raise the hard limit: ulimit -Hn 4096" in reported
    assert reported.count("\n") == 1
    assert not (tmp_path / "postgres").exists()


@pytest.mark.parametrize("limit", ["-n 256", "-Sn 64"])
async def test_a_few_files_will_do_and_a_soft_limit_is_raised(limit: str, tmp_path: Path) -> None:
    assert await open_under(limit, tmp_path) == ""
    assert (tmp_path / "postgres" / "PG_VERSION").exists()
