"""The embedded engine's life: one per data directory, replaced when it dies, gone with us."""

import asyncio
import os
import shutil
import signal
import stat
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from psycopg import AsyncConnection, OperationalError
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from db import engine as engine_module
from db import supervisor
from db.engine import Engine, EngineError, open_engine
from db.engine_packages import EMBEDDED, NODE
from runtime.settings import Secret, Settings

pytestmark = pytest.mark.db  # It starts engines of its own.

WAIT_S = 30.0
DEADLINE_S = 2.0
CREATE_SAMPLES = """
DROP TABLE IF EXISTS samples CASCADE;
CREATE TABLE samples (time timestamptz, id int, PRIMARY KEY (time, id));
SELECT create_hypertable('samples', 'time');
ALTER TABLE samples SET (timescaledb.compress, timescaledb.compress_segmentby = 'id');
"""
CREATE_HOURLY = """
CREATE MATERIALIZED VIEW hourly WITH (timescaledb.continuous) AS
SELECT time_bucket('1 hour', time) AS bucket, count(*) AS amount FROM samples GROUP BY 1
WITH NO DATA
"""
INSERT_SAMPLES = b"""
INSERT INTO samples
SELECT '2026-01-01'::timestamptz + second * interval '1 s', %s
FROM generate_series(1, 10) AS second ON CONFLICT DO NOTHING
"""
ROOT = Path(engine_module.__file__).parents[1]
COUNT_SYNCS = """
import fs from 'node:fs';
const synced = [];
for (const name of ['fsyncSync', 'fdatasyncSync']) {
  const original = fs[name];
  fs[name] = (fd) => { synced.push(name); original(fd); };
}
const { openEngine } = await import(process.argv[1]);
const pg = await openEngine(process.argv[2]);
await pg.exec('CREATE TABLE IF NOT EXISTS synced (id int)');
for (const statement of ['INSERT INTO synced VALUES (1)', 'CHECKPOINT']) {
  synced.length = 0;
  await pg.exec(statement);
  console.log(...new Set(synced));
}
await pg.close();
"""
PARENT = """
import asyncio, sys
from pathlib import Path
from db.engine import open_engine
from runtime.settings import Settings

async def main():
    async with open_engine(Settings(data_dir=Path(sys.argv[1]))) as engine:
        print(engine.dsn, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""

Connection = AsyncConnection[Any]


@pytest.fixture(scope="module")
async def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that holds a database: starting one is cheap, making one is not."""
    made: Path = tmp_path_factory.mktemp("engine")
    async with opened(made):
        pass
    return made


@asynccontextmanager
async def opened(data_dir: Path, **options: Any) -> AsyncIterator[Engine]:
    options = {"deadline_s": DEADLINE_S, "lock_wait_s": WAIT_S} | options
    async with open_engine(Settings(data_dir=data_dir), **options) as engine:
        yield engine


async def connect(dsn: str) -> Connection:
    """Connect as soon as there is somebody to connect to."""
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                return await AsyncConnection.connect(dsn, autocommit=True, prepare_threshold=None)
            except OperationalError:
                await asyncio.sleep(0.02)


async def fetch(connection: Connection, query: str) -> Any:
    row = await (await connection.execute(query.encode())).fetchone()
    assert row is not None
    return row[0]


async def ask(dsn: str, query: str) -> Any:
    async with await connect(dsn) as connection:
        return await fetch(connection, query)


async def run(dsn: str, script: str) -> None:
    async with await connect(dsn) as connection:
        await connection.execute(script.encode())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)


def mode_of(path: str) -> int:
    return stat.S_IMODE(Path(path).stat().st_mode)


async def grown(items: list[int], *, by: int) -> None:
    before = len(items)
    await until(lambda: len(items) >= before + by)


async def kill(engine: Engine) -> None:
    """Kill the engine and wait for the next."""
    restarts = engine.restarts
    async with await connect(engine.dsn) as connection:
        os.kill(connection.pgconn.backend_pid, signal.SIGKILL)
    await until(lambda: engine.restarts > restarts)


async def test_database_of_the_settings_is_handed_out_and_nothing_started(tmp_path: Path) -> None:
    url = "postgresql://someone:secret@db.example/monitoring"
    settings = Settings(data_dir=tmp_path / "none", database_url=Secret(url))
    children = psutil.Process().children()

    async with open_engine(settings) as engine:
        assert (engine.dsn, engine.embedded, engine.restarts) == (url, False, 0)
        assert "secret" not in repr(engine)
        assert psutil.Process().children() == children
        assert not settings.data_dir.exists()


async def test_second_service_is_refused_and_a_tool_shares(data_dir: Path) -> None:
    async with opened(data_dir) as first:
        with pytest.raises(EngineError, match=rf"^VIGIA_DATA_DIR: .* process {os.getpid()}$"):
            async with opened(data_dir, lock_wait_s=0.2):
                pass
        async with opened(data_dir, share=True) as shared:
            assert (shared.dsn, shared.embedded) == (first.dsn, True)
            assert await ask(shared.dsn, "SELECT 1") == 1
        assert await ask(first.dsn, "SELECT 1") == 1


async def test_second_service_takes_over_when_the_first_ends(data_dir: Path) -> None:
    async with opened(data_dir):
        second = opened(data_dir)
        waiting = asyncio.ensure_future(second.__aenter__())
    engine = await asyncio.wait_for(waiting, WAIT_S)

    assert await ask(engine.dsn, "SELECT 1") == 1
    await second.__aexit__(None, None, None)


async def test_callers_own_error_passes_unchanged(data_dir: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with opened(data_dir):
            raise ZeroDivisionError


@pytest.mark.parametrize("name", ["a" * 100, "one,two"], ids=["long", "comma"])
async def test_path_that_fits_no_socket_is_no_hindrance(
    tmp_path: Path, data_dir: Path, name: str
) -> None:
    copy = shutil.copytree(data_dir, tmp_path / name)

    async with opened(copy) as engine:
        assert await ask(engine.dsn, "SELECT 1") == 1
        socket_dir = str(conninfo_to_dict(engine.dsn)["host"])
        assert mode_of(socket_dir) == 0o700
    with pytest.raises(FileNotFoundError):
        mode_of(socket_dir)


async def test_data_directory_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(EngineError, match=r"^VIGIA_DATA_DIR: .*file"):
        async with opened(tmp_path / "file" / "below"):
            pass


async def test_broken_database_ends_the_start_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir(mode=0o700)
    (tmp_path / "postgres" / "PG_VERSION").write_text("9")

    with pytest.raises(EngineError, match=r"does not start: .*FATAL"):
        async with opened(tmp_path):
            pass


async def test_hung_query_is_ended_and_the_next_one_works(data_dir: Path) -> None:
    async with opened(data_dir) as engine:
        async with await connect(engine.dsn) as connection:
            with pytest.raises(OperationalError):
                await asyncio.wait_for(connection.execute("SELECT pg_sleep(3600)"), WAIT_S)

        assert await ask(engine.dsn, "SELECT 1") == 1
        assert engine.restarts == 1


@pytest.mark.slow
async def test_engine_killed_ten_times_loses_nothing_it_acknowledged(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "PAUSE_S_MAX", supervisor.PAUSE_S_MIN)
    acknowledged: list[int] = []

    async def insert_for_ever(dsn: str) -> None:
        while True:
            async with await connect(dsn) as connection:
                with suppress(OperationalError):
                    while True:
                        await connection.execute(INSERT_SAMPLES, [len(acknowledged)])
                        acknowledged.append(len(acknowledged))

    async with opened(data_dir) as engine:
        await run(engine.dsn, CREATE_SAMPLES)
        inserting = asyncio.create_task(insert_for_ever(engine.dsn))
        while engine.restarts < 10:
            await grown(acknowledged, by=20)
            await kill(engine)
        await grown(acknowledged, by=20)
        inserting.cancel()

        ids = await ask(engine.dsn, "SELECT array_agg(DISTINCT id ORDER BY id) FROM samples")
        assert ids[: len(acknowledged)] == acknowledged
        assert await ask(engine.dsn, "SELECT count(*) FROM samples") == 10 * len(ids)


async def test_community_features_work_after_a_restart(data_dir: Path) -> None:
    async with opened(data_dir) as engine:
        await run(engine.dsn, CREATE_SAMPLES)
        await run(engine.dsn, CREATE_HOURLY)
        async with await connect(engine.dsn) as connection:
            await connection.execute(INSERT_SAMPLES, [1])
        await kill(engine)

        await run(engine.dsn, "CALL refresh_continuous_aggregate('hourly', NULL, NULL)")
        compressed = "SELECT count(compress_chunk(chunk)) FROM show_chunks('samples') AS chunk"
        assert await ask(engine.dsn, compressed) == 1
        assert await ask(engine.dsn, "SELECT sum(amount)::int FROM hourly") == 10
        assert await ask(engine.dsn, "SELECT count(*) FROM samples") == 10


def is_running(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


async def test_commits_and_checkpoints_reach_the_disk(data_dir: Path) -> None:
    arguments = ("--input-type=module", "-e", COUNT_SYNCS, str(EMBEDDED / "engine.mjs"))
    process = await asyncio.create_subprocess_exec(
        NODE, *arguments, str(data_dir / "postgres"), stdout=PIPE
    )
    answer, _ = await asyncio.wait_for(process.communicate(), WAIT_S)

    of_the_commit, of_the_checkpoint = answer.decode().splitlines()
    assert "fdatasyncSync" in of_the_commit
    assert "fsyncSync" in of_the_checkpoint


@asynccontextmanager
async def service(data_dir: Path) -> AsyncIterator[Process]:
    """Another process with an engine of its own, which is killed at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(data_dir), cwd=ROOT, stdout=PIPE
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def read_dsn(process: Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), WAIT_S)).decode()


async def test_engine_ends_with_its_parent(data_dir: Path) -> None:
    async with service(data_dir) as process, await connect(await read_dsn(process)) as connection:
        process.kill()
        await until(lambda: not is_running(connection.pgconn.backend_pid))

    async with opened(data_dir) as engine:
        assert await ask(engine.dsn, "SELECT 1") == 1


async def test_hung_engine_keeps_the_lock_and_ends_with_its_parent(data_dir: Path) -> None:
    async with service(data_dir) as process, await connect(await read_dsn(process)) as connection:
        hung = asyncio.create_task(connection.execute("SELECT pg_sleep(3600)"))
        await until(lambda: connection.info.transaction_status == TransactionStatus.ACTIVE)
        process.kill()
        await process.wait()
        with pytest.raises(EngineError, match=f"or stop process {process.pid}"):
            async with opened(data_dir, lock_wait_s=0.5):
                pass
        with pytest.raises(OperationalError):
            await asyncio.wait_for(hung, WAIT_S)

    async with opened(data_dir) as engine:
        assert await ask(engine.dsn, "SELECT 1") == 1


async def test_first_start_that_is_killed_leaves_no_half_made_database(tmp_path: Path) -> None:
    async with service(tmp_path) as process:
        await until((tmp_path / "postgres.new" / "PG_VERSION").exists)
        psutil.Process(process.pid).children()[0].kill()

    async with opened(tmp_path) as engine:
        assert await ask(engine.dsn, "SELECT 1") == 1
