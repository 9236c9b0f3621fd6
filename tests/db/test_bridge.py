"""The bridge in front of the embedded engine: whole messages, one session, one client at a time."""

import asyncio
import os
import re
import signal
import stat
import struct
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection, errors

from db.engine import SOCKET, Engine, open_engine
from runtime.settings import Settings
from tests.db.wire import (
    FLUSH,
    IDLE,
    STARTUP,
    SYNC,
    Recorder,
    Wire,
    extended,
    kinds,
    packet,
    simple,
)
from tests.db.wire import message as wire_message

DEADLINE_S = 4.0

Connection = AsyncConnection[Any]


@pytest.fixture(scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("bridge") / "made" / "by us")
    async with open_engine(settings, deadline_s=DEADLINE_S) as opened:
        yield opened
        assert opened.restarts == 0


@pytest.fixture
def path(engine: Engine) -> Path:
    return Path(str(psycopg.conninfo.conninfo_to_dict(engine.dsn)["host"])) / SOCKET


@pytest.fixture
async def connection(engine: Engine) -> AsyncIterator[Connection]:
    async with await connect(engine) as opened:
        yield opened


async def connect(engine: Engine) -> Connection:
    return await AsyncConnection.connect(engine.dsn, autocommit=True, prepare_threshold=None)


async def fetch(connection: Connection, query: str, *parameters: object) -> Any:
    row = await (await connection.execute(query.encode(), parameters or None)).fetchone()
    assert row is not None
    return row[0]


async def converse(dsn: str) -> None:
    """Use every kind of query that libpq knows, and an error."""
    connection = await AsyncConnection.connect(dsn, prepare_threshold=None)
    assert await fetch(connection, "SELECT 'plain'") == "plain"
    assert await fetch(connection, "SELECT %s::int + %b", 40, 2) == 42
    with pytest.raises(errors.DivisionByZero):
        await connection.execute("SELECT 1 / %s::int", [0])
    await connection.rollback()
    async with connection.pipeline():
        await connection.execute("SELECT generate_series(1, %s)", [3])
        await connection.execute("SELECT 'last'")
    await connection.close()


async def replay(path: Path, pieces: Iterable[bytes]) -> bytes:
    async with Wire(path) as wire:
        return await wire.ask(*pieces, end=b"")


async def test_conversation_split_at_every_byte_gets_the_same_answers(
    engine: Engine, path: Path, tmp_path: Path
) -> None:
    recorder = Recorder(path)
    async with await asyncio.start_unix_server(recorder.relay, tmp_path / SOCKET):
        await converse(psycopg.conninfo.make_conninfo(engine.dsn, host=str(tmp_path)))
        await asyncio.wait_for(recorder.ended.wait(), DEADLINE_S)
    said = bytes(recorder.said)
    whole = await replay(path, [said])
    assert b"plain" in whole
    assert b"last" in whole

    for at in range(1, len(said)):
        assert await replay(path, [said[:at], said[at:]]) == whole, f"split at {at}"

    assert await replay(path, [said[at : at + 1] for at in range(len(said))]) == whole


async def test_message_of_five_megabytes_arrives_whole(connection: Connection) -> None:
    text = os.urandom(2_500_000).hex()

    assert await fetch(connection, "SELECT %s::text", text) == text


async def test_batch_over_the_limit_is_refused_with_its_reason(engine: Engine) -> None:
    async with await connect(engine) as connection:
        with pytest.raises(errors.ProgramLimitExceeded, match="67108864 bytes"):
            await connection.execute("SELECT length(%s)", ["x" * (64 << 20)])

    async with await connect(engine) as connection:
        assert await fetch(connection, "SELECT 1") == 1


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (STARTUP + wire_message("?"), b"C08P01"),
        (STARTUP + b"Q" + struct.pack(">i", 3), b"C08P01"),
        (STARTUP + b"Q" + struct.pack(">i", -1), b"C08P01"),
        (packet(2 << 16), b"C0A000"),
        (b"GET / HTTP/1.1\r\n\r\n", b"C54000"),
    ],
    ids=["unknown type", "too short", "negative", "protocol 2", "http"],
)
async def test_what_is_no_protocol_is_refused(path: Path, said: bytes, code: bytes) -> None:
    assert code in await replay(path, [said])


async def test_requests_before_the_startup_are_answered(path: Path) -> None:
    async with Wire(path) as wire:
        assert await wire.ask(packet(80877103), end=b"N") == b"N"
        assert await wire.ask(packet(80877104), end=b"N") == b"N"
        assert re.fullmatch("RS+KZ", kinds(await wire.ask(STARTUP)))

    assert await replay(path, [packet(80877102, bytes(8))]) == b""


async def test_failed_batch_is_skipped_to_its_sync(path: Path) -> None:
    async with Wire(path) as wire:
        await wire.ask(STARTUP)
        failing = extended("SELECT 1 / 0") + extended("SELECT 2") + SYNC

        assert kinds(await wire.ask(failing)) == "1EZ"
        assert kinds(await wire.ask(extended("SELECT 3") + FLUSH, end=b"SELECT 1\0")) == "12DC"
        assert kinds(await wire.ask(SYNC)) == "Z"


async def test_copy_from_the_client_is_refused_and_traps_nothing(path: Path) -> None:
    async with Wire(path) as wire:
        await wire.ask(STARTUP)
        await wire.ask(simple("CREATE TEMPORARY TABLE copied (id int)"))
        copy = "COPY copied FROM STDIN"

        assert kinds(await wire.ask(simple(copy))) == "GEZ"
        assert kinds(await wire.ask(extended(copy) + SYNC)) == "12GEZ"
        assert kinds(await wire.ask(extended(copy) + FLUSH, SYNC)) == "12GEZ"
        assert kinds(await wire.ask(simple("SELECT 1"))) == "TDCZ"


async def test_notification_does_not_keep_the_session(engine: Engine) -> None:
    async with await connect(engine) as first, await connect(engine) as second:
        await first.execute("LISTEN doorbell")
        await first.execute("NOTIFY doorbell")

        assert await fetch(second, "SELECT 1") == 1
        assert await fetch(first, "SELECT 2") == 2


async def test_slow_reader_gets_the_answer_that_was_meant_for_it(path: Path) -> None:
    async with Wire(path) as slow, Wire(path) as quick:
        await slow.ask(STARTUP)
        await quick.ask(STARTUP)
        await slow.send(simple("SELECT repeat('x', 900000)"))

        assert await quick.ask(simple("SELECT repeat('y', 900000)"))
        assert (await slow.read(IDLE)).count(b"x") == 900_000


async def test_transactions_of_many_connections_do_not_mix(engine: Engine) -> None:
    async with await connect(engine) as connection:
        await connection.execute("CREATE TABLE total AS SELECT 0 AS amount")

    async def work(amount: int) -> int:
        async with await connect(engine) as own, own.transaction():
            await own.execute("CREATE TEMPORARY TABLE mine (amount int) ON COMMIT DROP")
            for _ in range(3):
                await own.execute("INSERT INTO mine VALUES (%s)", [amount])
                await asyncio.sleep(0)
            await own.execute("UPDATE total SET amount = amount + (SELECT sum(amount) FROM mine)")
            return int(await fetch(own, "SELECT sum(amount) FROM mine"))

    sums = await asyncio.gather(*(work(amount) for amount in range(20)))

    assert sums == [3 * amount for amount in range(20)]
    async with await connect(engine) as connection:
        assert await fetch(connection, "SELECT amount FROM total") == sum(sums)


async def test_waiting_clients_are_served_in_the_order_they_asked(path: Path) -> None:
    async with Wire(path) as holder, Wire(path) as first, Wire(path) as second:
        for wire in (holder, first, second):
            await wire.ask(STARTUP)
        await holder.ask(simple("CREATE TABLE turns (id serial, name text)"))
        await holder.ask(simple("BEGIN"), end=b"T")
        await second.send(simple("INSERT INTO turns (name) VALUES ('second')"))
        await first.send(simple("INSERT INTO turns (name) VALUES ('first')"))
        await holder.send(simple("COMMIT"))
        await asyncio.gather(first.read(b"I"), second.read(b"I"), holder.read(b"I"))

        names = await holder.ask(simple("SELECT string_agg(name, ' ' ORDER BY id) FROM turns"))

    assert b"second first" in names


def lost_with(*said: bytes) -> tuple[bytes, ...]:
    return (simple("BEGIN"), simple("INSERT INTO work VALUES (1)"), *said)


@pytest.mark.parametrize(
    "said",
    [
        lost_with(),
        lost_with(simple("SELECT 1 / 0")),
        lost_with(extended("no query") + FLUSH),
        lost_with(simple("SELECT 1")[:-3]),
        (*lost_with(), wire_message("X")),
    ],
    ids=["idle", "failed", "before sync", "within a message", "terminate"],
)
async def test_lost_clients_work_is_rolled_back(
    engine: Engine, path: Path, said: tuple[bytes, ...]
) -> None:
    async with await connect(engine) as connection:
        await connection.execute("CREATE TABLE IF NOT EXISTS work (id int)")
    async with Wire(path) as wire:
        await wire.ask(STARTUP)
        await wire.send(*said)

    async with await connect(engine) as connection:
        assert await fetch(connection, "SELECT count(*) FROM work") == 0


async def test_client_that_stops_inside_a_transaction_is_disconnected(path: Path) -> None:
    async with Wire(path) as stopped, Wire(path) as waiting:
        await stopped.ask(STARTUP)
        await waiting.ask(STARTUP)
        await stopped.ask(simple("BEGIN"), end=b"T")

        assert kinds(await waiting.ask(simple("SELECT 1"))) == "TDCZ"
        assert b"C25P03" in await stopped.read()


async def test_the_services_own_work_waits_for_one_of_the_others_at_most(engine: Engine) -> None:
    """It never keeps them waiting for ever either, however much of it there is."""
    order: list[str] = []

    async def work(name: str) -> None:
        dsn = psycopg.conninfo.make_conninfo(engine.dsn, application_name=name)
        async with await AsyncConnection.connect(dsn, autocommit=True) as client:
            ready.release()
            async with client.transaction():
                order.append(name)

    ready = asyncio.Semaphore(0)
    async with await connect(engine) as holder:
        await holder.execute("BEGIN")
        others = [asyncio.create_task(work("vigia requests")) for _ in range(10)]
        own = [asyncio.create_task(work("vigia")) for _ in range(20)]
        for _ in (*others, *own):
            await ready.acquire()
        await asyncio.sleep(0.2)
        await holder.execute("COMMIT")
        await asyncio.gather(*others, *own)

    assert order[:8] == ["vigia"] * 8
    assert order[8] == order[-1] == "vigia requests"


async def test_what_a_connection_sets_ends_with_it(engine: Engine) -> None:
    async with await connect(engine) as connection:
        await connection.execute("CREATE ROLE reader")
        await connection.execute("SET timezone = 'Asia/Tokyo'")
        await connection.execute("SET search_path = pg_catalog")
        await connection.execute("CREATE TEMPORARY TABLE leftover ()")
        await connection.execute("SET ROLE reader")

    async with await connect(engine) as connection:
        assert await fetch(connection, "SELECT current_user") == "postgres"
        assert await fetch(connection, "SHOW timezone") == "UTC"
        assert await fetch(connection, "SHOW search_path") == '"$user", public'
        assert await fetch(connection, "SELECT to_regclass('leftover')") is None


def test_socket_and_files_are_only_for_their_owner(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE((path.parent / "postgres").stat().st_mode) == 0o700


async def test_signals_to_the_group_leave_the_engine_to_its_parent(
    engine: Engine, connection: Connection
) -> None:
    pid = connection.pgconn.backend_pid
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, number)

    assert await fetch(connection, "SELECT 1") == 1
    assert engine.restarts == 0
