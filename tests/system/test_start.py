"""The service starts while its database is away, and gives up only what waiting cannot mend."""

import asyncio
import json
import os
import signal
import time
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest
from psycopg import sql

from db.migrate import migrate
from db.pool import CONNECTIONS_MIN, AwayError
from db.queries import Pool
from runtime.settings import Secret, Settings
from tests.proxy import Proxy, proxy_of
from tests.system.conftest import BASE, NATIVE_URL, Program, free_port, make_url, run, vigia
from vigia import start
from vigia.banner import print_banner
from vigia.main import run_services
from vigia.service import Service, open_unprepared

READY_S = 3.0
"""Two seconds, and what a loaded machine may add."""
SILENT_S = 9.0
"""The deadline of five seconds, one for the attempt to cancel, and what a machine may add."""
EXCHANGED_S = 12.0
"""Every connection that was there is silent, and each is given up by itself."""
NO_TLS = b"N"


async def start_away(program: Program) -> None:
    """Start the program and wait until it answers, which needs no database."""
    program.process = await vigia(program.environment, "serve")
    async with asyncio.timeout(30):
        while True:
            with suppress(aiohttp.ClientError):
                async with program.http.get("/livez") as response:
                    assert response.status == 200
                    return
            await asyncio.sleep(0.1)


async def post(program: Program, value: float) -> int:
    column = {
        "metric": "kept",
        "component": "test",
        "times": [int(time.time() - 60 * value)],
        "values": [value],
    }
    async with program.http.post(BASE + "/metrics", json={"series": [column]}) as response:
        return response.status


async def count(program: Program) -> float:
    path = "/metrics/history?metric=kept&start=-1h&step=1h&agg=count"
    async with program.http.get(BASE + path) as response:
        # Until the first sample is stored, the metric does not exist: 404.
        found: Any = (await response.json()).get("series", [])
    return sum(one or 0 for series in found for one in series["values"]["count"])


async def test_without_its_database_it_answers_why_and_keeps_what_it_may_believe(
    program: Program,
) -> None:
    program.environment["VIGIA_DATABASE_URL"] = f"postgresql://u:p@127.0.0.1:{free_port()}/none"
    await start_away(program)
    async with program.http.get("/readyz") as ready, program.http.get(BASE + "/health") as health:
        found = [(one.status, (await one.json())["detail"]) for one in (ready, health)]
    assert [status for status, _ in found] == [503, 503]
    assert all("starting; the database is away: Connection refused" in text for _, text in found)

    code, out, _ = await run(program.environment, "doctor", "--json")
    [service] = [one for one in json.loads(out) if one["check"] == "service"]
    assert (code, service["ok"]) == (1, False)
    assert "starting; the database is away: Connection refused" in service["found"]

    for authorization, status in (("Bearer wrong", 401), ("Bearer vigia_" + "a" * 40, 401)):
        headers = {"Authorization": authorization}
        async with program.http.get(BASE + "/health", headers=headers) as response:
            assert response.status == status
    assert await post(program, 1) == 202

    began = time.monotonic()
    code, printed = await program.end(signal.SIGTERM)
    assert (code, "Traceback" in printed) == (0, False), printed
    assert time.monotonic() - began < 10


async def test_a_chosen_key_that_can_be_guessed_is_reported_and_works(program: Program) -> None:
    program.environment["VIGIA_DATABASE_URL"] = f"postgresql://u:p@127.0.0.1:{free_port()}/none"
    program.environment["VIGIA_ADMIN_KEY"] = "password" * 4
    await start_away(program)
    headers = {"Authorization": "Bearer " + "password" * 4}
    async with program.http.get(BASE + "/health", headers=headers) as response:
        assert response.status == 503

    _, printed = await program.end(signal.SIGTERM)
    [line] = [line for line in printed.splitlines() if "admin_key_is_guessable" in line]
    assert "openssl rand -hex 32" in line
    assert "passwordpassword" not in printed


@pytest.mark.skipif(not NATIVE_URL, reason="the embedded engine is started by the service")
async def test_it_begins_as_soon_as_the_database_is_there_and_stores_what_it_kept(
    program: Program,
) -> None:
    proxy = Proxy(program.environment["VIGIA_DATABASE_URL"])
    program.environment["VIGIA_DATABASE_URL"] = proxy.url
    await start_away(program)
    for value in (1, 2, 3):
        assert await post(program, value) == 202
    code, printed = await program.end(signal.SIGKILL)
    assert code == -signal.SIGKILL, printed

    await start_away(program)
    assert await post(program, 4) == 202
    await proxy.listen()
    async with asyncio.timeout(20):
        while not await program._is_ready():
            await asyncio.sleep(0.1)
    async with asyncio.timeout(20):
        while await count(program) < 4:
            await asyncio.sleep(0.2)
    await program.close()
    await proxy.refuse()


@pytest.mark.skipif(not NATIVE_URL, reason="the embedded engine is started by the service")
@pytest.mark.parametrize("outage_s", [5, pytest.param(140, marks=pytest.mark.long)])
async def test_it_is_ready_again_at_once_however_long_the_database_was_away(
    program: Program, outage_s: float
) -> None:
    async with proxy_of(program.environment["VIGIA_DATABASE_URL"]) as proxy:
        program.environment["VIGIA_DATABASE_URL"] = proxy.url
        program.output = DEVNULL
        await program.start()
        await proxy.refuse()
        await asyncio.sleep(outage_s)
        assert not await program._is_ready()
        assert await post(program, 1) == 202

        await proxy.listen()
        async with asyncio.timeout(READY_S):
            while not await program._is_ready():
                await asyncio.sleep(0.05)
        await program.close()


@pytest.mark.skipif(not NATIVE_URL, reason="a cable cannot be cut inside one process")
async def test_a_database_that_goes_silent_holds_up_no_request_for_long(program: Program) -> None:
    async with proxy_of(program.environment["VIGIA_DATABASE_URL"]) as proxy:
        program.environment["VIGIA_DATABASE_URL"] = proxy.url
        program.output = DEVNULL
        await program.start()
        proxy.freeze()
        asked = time.monotonic()

        async def ask() -> int:
            async with program.http.get(BASE + "/alerts/history") as response:
                return response.status

        found = await asyncio.gather(post(program, 1), ask(), post(program, 2), ask())
        assert found == [202, 503, 202, 503]
        assert time.monotonic() - asked < SILENT_S
        await proxy.refuse()
        await program.close()


async def _refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer as a server does that does not know the password."""
    fields = [b"SFATAL", b"VFATAL", b"C28P01", b'Mpassword authentication failed for user "u"']
    body = b"\0".join(fields) + b"\0\0"
    with suppress(ConnectionError):
        if (await reader.read(8))[4:] in {b"\4\xd2\x16\x2f", b"\4\xd2\x16\x30"}:
            writer.write(NO_TLS)
            await reader.read(1024)
        writer.write(b"E" + (len(body) + 4).to_bytes(4) + body)
        await writer.drain()
    writer.close()


@pytest.fixture
async def wrong(tmp_path: Path) -> AsyncIterator[Settings]:
    """Settings with a password that their server refuses."""
    async with await asyncio.start_server(_refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"postgresql://u:secret@127.0.0.1:{port}/none?sslmode=disable"
        yield Settings(data_dir=tmp_path, database_url=Secret(url))


async def test_a_cause_that_stays_is_given_up_after_a_while_and_named(wrong: Settings) -> None:
    async with open_unprepared(wrong) as service:
        with pytest.raises(AwayError, match=r'^password authentication failed for user "u"$'):
            await service.start.run(grace_s=1.0)


async def test_another_cause_is_waited_for(wrong: Settings) -> None:
    nobody = Secret(make_url(f"postgresql://u:p@127.0.0.1:{free_port()}/x", "none"))
    settings = Settings(data_dir=wrong.data_dir, database_url=nobody)
    async with open_unprepared(settings) as service:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await service.start.run(grace_s=0.5)
        assert "Connection refused" in service.start.obstacle


ROLE = f"vigia_test_starter_{os.getpid()}"
WORDS = {"user": ROLE, "password": "a-password-of-the-tests"}


def url_of(environment: dict[str, str], **words: str) -> str:
    return psycopg.conninfo.make_conninfo(environment["VIGIA_DATABASE_URL"], **words)


@pytest.fixture
async def own(environment: dict[str, str]) -> AsyncIterator[psycopg.AsyncConnection]:
    """A superuser's connection to the empty database of the test."""
    url = url_of(environment)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture
async def owned(
    environment: dict[str, str], own: psycopg.AsyncConnection
) -> AsyncIterator[Settings]:
    """Settings with a role that is no superuser, and owns its database."""

    async def do(statement: str) -> None:
        names = {"database": sql.Identifier(own.info.dbname), "role": sql.Identifier(ROLE)}
        password = sql.Literal(WORDS["password"])
        await own.execute(sql.SQL(statement).format(**names, password=password))

    await do("CREATE ROLE {role} LOGIN PASSWORD {password}")
    await do("ALTER DATABASE {database} OWNER TO {role}")
    await do("CREATE EXTENSION timescaledb")
    await do("GRANT ALL ON SCHEMA public TO {role}")
    url = url_of(environment, **WORDS)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await migrate(connection)
    yield Settings(data_dir=Path(environment["VIGIA_DATA_DIR"]), database_url=Secret(url))
    await do("SELECT delete_job(job_id) FROM timescaledb_information.jobs WHERE job_id >= 1000")
    await do("DROP OWNED BY {role}")
    await do("ALTER DATABASE {database} OWNER TO CURRENT_USER")
    await do("DROP ROLE {role}")


async def wait_for(service: Service, cause: str) -> None:
    async with asyncio.timeout(10):
        while cause not in service.start.obstacle:
            await asyncio.sleep(0.05)


@pytest.mark.skipif(not NATIVE_URL, reason="the embedded engine is the service's own")
async def test_a_database_that_is_back_and_not_ready_yet_is_not_said_to_be_away(
    owned: Settings, own: psycopg.AsyncConnection
) -> None:
    assert owned.database_url is not None
    proxy = Proxy(owned.database_url.reveal())
    settings = Settings(data_dir=owned.data_dir, database_url=Secret(proxy.dsn))
    async with open_unprepared(settings) as service, asyncio.TaskGroup() as tasks:
        starting = tasks.create_task(service.start.run())
        await wait_for(service, "Connection refused")
        async with own.transaction():
            await own.execute("LOCK TABLE schema_migrations")
            await proxy.listen()
            await wait_for(service, "its database is being prepared")
        async with asyncio.timeout(20):
            await starting
    await proxy.refuse()


@pytest.mark.skipif(not NATIVE_URL, reason="a cable cannot be cut inside one process")
async def test_a_connection_that_goes_silent_while_it_begins_is_exchanged_for_another(
    owned: Settings, own: psycopg.AsyncConnection
) -> None:
    """A proxy may keep it open for ever; meanwhile a lock, which takes long too, is waited for."""
    assert owned.database_url is not None
    async with proxy_of(owned.database_url.reveal()) as proxy:
        settings = Settings(data_dir=owned.data_dir, database_url=Secret(proxy.dsn))
        async with open_unprepared(settings) as service, asyncio.TaskGroup() as tasks:
            async with own.transaction():
                await own.execute("LOCK TABLE schema_migrations")
                starting = tasks.create_task(service.start.run())
                await asyncio.sleep(1 + 2 * start.SILENT_S)
                assert service.start.preparing_pid
                proxy.strand()
            async with asyncio.timeout(EXCHANGED_S):
                await starting


@pytest.mark.skipif(not NATIVE_URL, reason="the embedded engine is the service's own")
async def test_a_database_that_is_away_when_it_would_greet_ends_no_service(
    owned: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, causes = asyncio.Event(), [AwayError("the database is away: Connection refused")]

    async def greet_at_last(pool: Pool, settings: Settings) -> None:
        if causes:
            raise causes.pop()
        await print_banner(pool, settings)
        stop.set()

    monkeypatch.setattr("vigia.banner.print_banner", greet_at_last)
    async with open_unprepared(owned) as service, asyncio.timeout(30):
        await run_services(service, None, asyncio.Event(), stop)
    assert not causes


SPOILS = {
    "the database is read-only": (
        "ALTER DATABASE {database} SET default_transaction_read_only = on",
        "ALTER DATABASE {database} RESET default_transaction_read_only",
    ),
    "the database lacks tables of Vigia": (
        "ALTER TABLE replica_tokens RENAME TO gone",
        "ALTER TABLE gone RENAME TO replica_tokens",
    ),
    "the database's role lacks a permission": (
        "REVOKE SELECT ON series FROM {role}",
        "GRANT SELECT ON series TO {role}",
    ),
}
"""What is wrong, and how it comes and goes."""


@pytest.mark.skipif(not NATIVE_URL, reason="the embedded engine is the service's own")
@pytest.mark.parametrize("cause", SPOILS)
async def test_a_database_that_takes_no_writes_at_the_start_is_waited_for_and_named(
    owned: Settings, own: psycopg.AsyncConnection, cause: str
) -> None:
    names = {"database": sql.Identifier(own.info.dbname), "role": sql.Identifier(ROLE)}
    spoil, mend = (sql.SQL(statement).format(**names) for statement in SPOILS[cause])
    await own.execute(spoil)
    async with open_unprepared(owned) as service, asyncio.TaskGroup() as tasks:
        starting = tasks.create_task(service.start.run(grace_s=0.5))
        await wait_for(service, cause)
        await asyncio.sleep(1)
        assert not starting.done()

        await own.execute(mend)
        async with asyncio.timeout(20):
            await starting
        assert service.start.obstacle == ""


@pytest.mark.skipif(not NATIVE_URL, reason="the embedded engine is the service's own")
async def test_connections_of_an_attempt_that_failed_late_serve_the_next_one(
    owned: Settings, own: psycopg.AsyncConnection
) -> None:
    """They were checked by then, and it begins with the same database."""
    role = sql.Identifier(ROLE)
    await own.execute(sql.SQL("REVOKE SELECT ON monitoring_config FROM {}").format(role))
    async with open_unprepared(owned) as service:
        for _ in range(4):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await service.start.prepare()
            async with asyncio.timeout(10):
                while service.pool.get_stats().get("pool_available", 0) < CONNECTIONS_MIN:
                    await asyncio.sleep(0.05)
        await own.execute(sql.SQL("GRANT SELECT ON monitoring_config TO {}").format(role))
        async with asyncio.timeout(10):
            await service.start.run()


NEVER = {
    "the database is at version 9999": (
        "INSERT INTO schema_migrations VALUES (9999, '9999_later.sql', 'x', now())"
    ),
    "is not a TimescaleDB": (
        "DROP EXTENSION timescaledb CASCADE; "
        "ALTER DATABASE {} SET extension_control_path = '/nowhere'"
    ),
}


@pytest.mark.skipif(not NATIVE_URL, reason="the embedded engine is the service's own")
@pytest.mark.parametrize("cause", NEVER)
async def test_a_database_that_can_never_be_used_ends_the_start_at_once_with_the_cause(
    program: Program, own: psycopg.AsyncConnection, cause: str
) -> None:
    if "extension_control_path" in NEVER[cause] and own.info.server_version < 18_00_00:
        pytest.skip("an extension cannot be hidden on this server")
    await migrate(own)
    await own.execute(sql.SQL(NEVER[cause]).format(sql.Identifier(own.info.dbname)))
    program.process = await vigia(program.environment, "serve")
    async with asyncio.timeout(20):
        out, err = await program.process.communicate()
    assert program.process.returncode == 1
    last = (out + err).decode().splitlines()[-1]
    assert last.startswith("vigia: ")
    assert cause in last
