"""Statements that are put together from parts run as they stand in their files.

tests/test_tidy.py holds that these are what is sent.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from db.engine import Engine
from db.queries import Pool
from tests.composed import ROOT, files

FILES = files()
SET = re.compile(r"\\set (\w+) '(.*)'\n")
VARIABLE = re.compile(r"(?<!:):(\w+)")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=name_of)
async def test_each_file_runs_on_the_engine(pool: Pool, path: Path) -> None:
    """As psql does it, which puts values in for its variables."""
    values = {name: value.replace("''", "'") for name, value in SET.findall(FILES[path])}
    body = SET.sub("", FILES[path])
    text = VARIABLE.sub(lambda match: values.get(match[1], match[0]), body)
    async with pool.connection() as connection:
        for statement in re.split(r";\n", text)[1:-2]:
            async with connection.transaction(force_rollback=True):
                await connection.execute(statement.encode())


@pytest.mark.skipif(shutil.which("psql") is None, reason="there is no psql")
@pytest.mark.usefixtures("pool")
@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_psql_runs_each_file(engine: Engine, path: Path) -> None:
    if engine.embedded:
        pytest.skip("one session serves this process alone")
    command = ["psql", engine.dsn, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert (ran.returncode, ran.stderr) == (0, "")
