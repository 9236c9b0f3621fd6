"""A database that answers, but wrongly: nothing acknowledged is lost, or stored as another series.

Each life is under load, with a kill of the service in the middle, on a database of its own.
"""

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import psycopg
import pytest
import structlog
from psycopg import sql

from tests.proxy import Proxy
from tests.system.conftest import BASE, NATIVE_URL, Program, free_port, vigia
from tests.system.ledger.account import Ledger, identity_of
from tests.system.ledger.databases import TERMINATE, stored
from tests.system.ledger.standby import Standby, programs_of, standby_of

pytestmark = pytest.mark.skipif(
    not NATIVE_URL, reason="the embedded engine's database cannot be exchanged while it runs"
)

log = structlog.get_logger()

PHASE_S = float(os.environ.get("VIGIA_TEST_PHASE_S", "3"))
"""How long each state of the database lasts; 30 in a long run."""
OUTAGES_S = [7.9, 140.0, *map(float, os.environ.get("VIGIA_TEST_OUTAGES_S", "").split())]
"""And 900 in a long run."""
READY_S = 2.0
STARTED_S = 15.0
"""For a service that was killed meanwhile, and has yet to start."""
COLUMNS = 20
PASSWORD = "a-password-of-the-tests"


class WriteBatch:
    """Sends samples of old and of ever new series, and writes down what is acknowledged."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.ledger = Ledger()
        self.statuses: list[int] = []
        self.is_stable = True
        """Whether what is acknowledged now stays: a copy that takes over lacks what was stored
        after it was made, and what waited then was stored in the original."""
        self._run_of = 0

    async def run(self) -> None:
        while True:
            self._run_of += 1
            with suppress(aiohttp.ClientError, TimeoutError):
                await self._send()
            await asyncio.sleep(0.02)

    async def _send(self) -> None:
        names = [f"old_{n}" for n in range(COLUMNS)] + [f"new_{self._run_of // 10}"]
        at = time.time_ns() // 1000
        columns = [
            {"metric": m, "component": "load", "times": [at / 1e6], "values": [hash(m) % 997 + 0.5]}
            for m in names
        ]
        rows = [
            (identity_of(c["metric"], "load", {}), at, c["values"][0])  # type: ignore[arg-type, index]
            for c in columns
        ]
        self.ledger.note_sent(rows)
        stays = self.is_stable
        timeout = aiohttp.ClientTimeout(total=10)
        async with self.program.http.post(
            f"{BASE}/metrics", json={"series": columns}, timeout=timeout
        ) as answer:
            self.statuses.append(answer.status)
            if answer.status in {200, 202} and stays and self.is_stable:
                self.ledger.note_acknowledged("load", rows)


class Stage:
    """A program behind a proxy, and a superuser's hands on the databases behind it."""

    def __init__(self, program: Program, server: psycopg.AsyncConnection, url: str) -> None:
        self.program = program
        self.server = server
        self.url = url
        self.name = urlsplit(url).path.strip("/")
        self.sending: asyncio.Task[None] | None = None
        self.proxy = Proxy(url)
        self.load = WriteBatch(program)

    async def do(self, statement: str, *names: str) -> None:
        await self.server.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    async def connect(self) -> psycopg.AsyncConnection:
        dsn = psycopg.conninfo.make_conninfo(NATIVE_URL, dbname=self.name)
        return await psycopg.AsyncConnection.connect(dsn, autocommit=True)

    async def end_sessions(self) -> None:
        async with await self.connect() as own:
            await own.execute(TERMINATE)

    @asynccontextmanager
    async def cut(self, *, is_final: bool = False) -> AsyncIterator[None]:
        """Let nobody reach the database, so that it can be copied or renamed.

        From the cut before it is `is_final`ly exchanged, what is acknowledged is to stay.
        """
        await self.proxy.refuse()
        self.load.is_stable = self.load.is_stable or is_final
        await self.do("ALTER DATABASE {} ALLOW_CONNECTIONS false", self.name)
        await self.server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            [self.name],
        )
        async with asyncio.timeout(20):
            while await self._is_in_use():
                await asyncio.sleep(0.05)
        yield
        await self.do("ALTER DATABASE {} ALLOW_CONNECTIONS true", self.name)
        await self.proxy.listen()

    async def _is_in_use(self) -> bool:
        found = await self.server.execute(
            "SELECT FROM pg_stat_activity WHERE datname = %s", [self.name]
        )
        return await found.fetchone() is not None

    async def exchange(self, kept: str, taken: str) -> None:
        """Give the database another name, and its name to another one."""
        async with self.cut(is_final=True):
            await self.do("ALTER DATABASE {} RENAME TO {}", self.name, kept)
            await self.do("ALTER DATABASE {} ALLOW_CONNECTIONS true", kept)
            await self.do("ALTER DATABASE {} RENAME TO {}", taken, self.name)

    async def copy(self, name: str) -> None:
        async with self.cut():
            await self.do("CREATE DATABASE {} TEMPLATE {}", name, self.name)

    async def kill(self) -> None:
        """Kill the service and start it again, without waiting for its database."""
        assert self.program.process is not None
        self.program.process.send_signal(signal.SIGKILL)
        await self.program.process.communicate()
        self.program.process = await vigia(
            self.program.environment, "serve", output=self.program.output
        )

    async def cause(self) -> str:
        """Return what /readyz says, empty when ready."""
        async with self.program.http.get("/readyz") as answer:
            return "" if answer.status == 200 else str((await answer.json())["detail"])

    async def seconds_to_ready(self) -> float:
        began = time.monotonic()
        async with asyncio.timeout(60):
            while True:
                with suppress(aiohttp.ClientError):
                    if not await self.cause():
                        return time.monotonic() - began
                await asyncio.sleep(0.05)


@asynccontextmanager
async def _staged(program: Program, folder: Path, role: str = "") -> AsyncIterator[Stage]:
    url = program.environment["VIGIA_DATABASE_URL"]
    async with await psycopg.AsyncConnection.connect(NATIVE_URL, autocommit=True) as server:
        made = Stage(program, server, url)
        if role:
            made.proxy = Proxy(await _give_to(made, role))
        await made.proxy.listen()
        program.environment["VIGIA_DATABASE_URL"] = made.proxy.url
        with (folder / "service.log").open("wb") as log:
            program.output = log
            await program.start()
            made.sending = asyncio.create_task(made.load.run())
            try:
                await asyncio.sleep(PHASE_S)
                yield made
            finally:
                made.sending.cancel()
                await asyncio.wait([made.sending])
                await program.close()
                await made.proxy.refuse()


async def _give_to(stage: Stage, role: str) -> str:
    """Let a role that is no superuser own the database, and return its address."""
    await stage.do("DROP ROLE IF EXISTS {}", role)
    create = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
    await stage.server.execute(create.format(sql.Identifier(role), sql.Literal(PASSWORD)))
    await stage.do("ALTER DATABASE {} OWNER TO {}", stage.name, role)
    async with await stage.connect() as own:
        await own.execute("CREATE EXTENSION timescaledb")
        await own.execute(sql.SQL("GRANT ALL ON SCHEMA public TO {}").format(sql.Identifier(role)))
    parts = urlsplit(stage.url)
    netloc = f"{role}:{PASSWORD}@{parts.hostname}:{parts.port}"
    return parts._replace(netloc=netloc).geturl()


@pytest.fixture
async def stage(program: Program, tmp_path: Path) -> AsyncIterator[Stage]:
    async with _staged(program, tmp_path) as made:
        yield made


@pytest.fixture
async def owned_stage(program: Program, tmp_path: Path) -> AsyncIterator[Stage]:
    """The same with a role that owns its database and is no superuser."""
    role = f"vigia_test_owner_{os.getpid()}"
    async with _staged(program, tmp_path, role) as made:
        yield made
        async with await made.connect() as own:
            await own.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
        await made.do("ALTER DATABASE {} OWNER TO CURRENT_USER", made.name)
        await made.do("DROP ROLE {}", role)


@pytest.fixture
async def standby(stage: Stage) -> AsyncIterator[Standby]:
    """A standby that holds the stage's database."""
    assert stage.proxy
    async with standby_of(NATIVE_URL, free_port()) as made:
        yield made


async def wait_until_stored(stage: Stage) -> None:
    """Wait until everything that waited is stored, and compare the books."""
    await asyncio.sleep(PHASE_S)
    assert stage.sending is not None
    stage.sending.cancel()
    await asyncio.wait([stage.sending])
    waits = {"bytes": 1}
    async with asyncio.timeout(60):
        while waits["bytes"]:
            await asyncio.sleep(0.2)
            status = await stage.program.get("/dev/status")
            waits = status["services"]["spool"]  # type: ignore[index]
    assert waits["refused"] == waits["quarantined"] == waits["damaged_bytes"] == 0
    verdict = stage.load.ledger.judge(await stored(stage.program.environment, stage.load.ledger))
    acknowledged = sum(map(len, stage.load.ledger.acknowledged.values()))
    log.info("compared", acknowledged=acknowledged, verdict=verdict)
    assert acknowledged > 0
    assert verdict.is_clean, verdict
    assert not [status for status in stage.load.statuses if status >= 500 and status != 503]


async def spool_under_load(stage: Stage, cause: str) -> None:
    """Let the state last, with a kill in the middle; all is acknowledged, and none stored."""
    async with asyncio.timeout(20):
        while 202 not in stage.load.statuses or not re.search(cause, await stage.cause()):
            await asyncio.sleep(0.1)
    await asyncio.sleep(PHASE_S)
    await stage.kill()
    await asyncio.sleep(PHASE_S)


async def test_a_database_that_turns_read_only_gets_everything_later(stage: Stage) -> None:
    """As a failover to a hot standby looks."""
    await stage.do("ALTER DATABASE {} SET default_transaction_read_only = on", stage.name)
    await stage.end_sessions()
    await spool_under_load(stage, "read-only")

    await stage.do("ALTER DATABASE {} RESET default_transaction_read_only", stage.name)
    assert await stage.seconds_to_ready() < STARTED_S
    await wait_until_stored(stage)


async def test_an_emptied_database_gets_nothing_until_it_is_restored(stage: Stage) -> None:
    empty, kept = f"{stage.name}_empty", f"{stage.name}_kept"
    await stage.do("CREATE DATABASE {}", empty)
    await stage.exchange(kept, empty)
    await spool_under_load(stage, "empty")

    await stage.exchange(empty, kept)
    assert await stage.seconds_to_ready() < STARTED_S
    await wait_until_stored(stage)
    await stage.do("DROP DATABASE {} WITH (FORCE)", empty)


async def test_a_database_without_its_rows_gets_nothing_until_it_is_restored(
    stage: Stage,
) -> None:
    """As in the midst of a restore, once the tables are made."""
    async with await stage.connect() as own:
        await own.execute("CREATE TABLE kept AS TABLE schema_migrations")
        await own.execute("TRUNCATE schema_migrations, replica_tokens")
        await spool_under_load(stage, "being restored")
        await own.execute("INSERT INTO schema_migrations TABLE kept")
    assert await stage.seconds_to_ready() < STARTED_S
    await wait_until_stored(stage)


async def test_an_older_copy_gets_its_samples_under_their_own_series_twice_in_a_row(
    stage: Stage,
) -> None:
    for turn in ("first", "second"):
        copy, replaced = f"{stage.name}_copy_{turn}", f"{stage.name}_replaced_{turn}"
        stage.load.is_stable = False
        await stage.copy(copy)
        await asyncio.sleep(PHASE_S)
        await stage.exchange(replaced, copy)
        if turn == "second":
            await stage.kill()
        await asyncio.sleep(PHASE_S)
        assert await stage.seconds_to_ready() < STARTED_S
        await stage.do("DROP DATABASE {} WITH (FORCE)", replaced)
    await wait_until_stored(stage)


async def test_a_permission_that_is_lost_costs_nothing(owned_stage: Stage) -> None:
    stage, role = owned_stage, sql.Identifier(f"vigia_test_owner_{os.getpid()}")
    tables = sql.SQL("system_metrics, series_state")
    async with await stage.connect() as own:
        await own.execute(sql.SQL("REVOKE INSERT ON {} FROM {}").format(tables, role))
        await spool_under_load(stage, "permission")
        await own.execute(sql.SQL("GRANT INSERT ON {} TO {}").format(tables, role))
    assert await stage.seconds_to_ready() < STARTED_S
    await wait_until_stored(stage)


async def test_a_lagging_standby_that_is_promoted_gets_its_samples_under_their_own_series(
    stage: Stage, standby: Standby
) -> None:
    stage.load.is_stable = False
    await standby.catch_up()
    await standby.stop_following()
    await asyncio.sleep(PHASE_S)
    await stage.proxy.refuse()
    stage.load.is_stable = True
    stage.proxy.lead_to(standby.port)
    await stage.proxy.listen()
    await spool_under_load(stage, "read-only")

    await standby.promote()
    assert await stage.seconds_to_ready() < STARTED_S
    await wait_until_stored(stage)


async def test_a_database_that_is_restored_under_open_connections_is_used_at_once(
    stage: Stage, tmp_path: Path
) -> None:
    """The extension is dropped and made anew, which leaves sessions that fail for ever."""
    programs, _ = await programs_of(NATIVE_URL)
    database = ["-d", psycopg.conninfo.make_conninfo(NATIVE_URL, dbname=stage.name)]
    dump = str(tmp_path / "dump")
    stage.load.is_stable = False
    await run_program(programs / "pg_dump", *database, "-Fc", "-f", dump)
    async with await stage.connect() as own:
        await own.execute("SELECT timescaledb_pre_restore()")
    # It says of the extension's own rows that they cannot be dropped, and goes on.
    await run_program(
        programs / "pg_restore", *database, "--clean", "--if-exists", dump, codes=(0, 1)
    )
    async with await stage.connect() as own:
        await own.execute("SELECT timescaledb_post_restore()")
    assert await stage.seconds_to_ready() < READY_S
    stage.load.is_stable = True
    sent = len(stage.load.statuses)
    await wait_until_stored(stage)
    assert set(stage.load.statuses[sent:]) == {200}


async def run_program(program: Path, *arguments: str, codes: tuple[int, ...] = (0,)) -> None:
    process = await asyncio.create_subprocess_exec(
        str(program), *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    assert process.returncode in codes, said.decode()


@pytest.mark.parametrize(
    "outage_s", [pytest.param(s, marks=pytest.mark.long if s > 20 else ()) for s in OUTAGES_S]
)
async def test_a_database_that_is_back_is_found_within_two_seconds(
    stage: Stage, outage_s: float
) -> None:
    await stage.proxy.refuse()
    await asyncio.sleep(outage_s)
    await stage.proxy.listen()

    took_s = await stage.seconds_to_ready()
    log.info("ready", outage_s=outage_s, after_s=round(took_s, 2))
    assert took_s < READY_S
    await wait_until_stored(stage)
