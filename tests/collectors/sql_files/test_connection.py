"""The connection to a user's database, its address, and the loss of that database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from collectors.collector import CollectorRun, reason_of
from collectors.sql_files.collector import components
from collectors.sql_files.connection import AddressError, ReadOnly
from db.engine import Engine
from model.series import Sample

SLOT = datetime(2026, 1, 1, tzinfo=UTC)
SECRET = "hunter2"


class Way:
    """A port that leads to the database while it is open; the address through it."""

    def __init__(self, engine: Engine) -> None:
        options = psycopg.conninfo.conninfo_to_dict(engine.dsn)
        self._host, self._port = str(options["host"]), int(options["port"] or 5432)
        self._user = quote(str(options["user"]))
        self._password = quote(str(options.get("password") or SECRET))
        self._database = options["dbname"]
        self._server: asyncio.Server | None = None
        self._flows = set[asyncio.Task[None]]()
        self._own_port = 0

    @property
    def address(self) -> str:
        login = f"{self._user}:{self._password}"
        return f"postgresql://{login}@127.0.0.1:{self._own_port}/{self._database}?sslmode=disable"

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", self._own_port)
        self._own_port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for flow in self._flows:
            flow.cancel()
        await asyncio.gather(*self._flows, return_exceptions=True)
        self._flows.clear()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._host.startswith("/"):
            path = f"{self._host}/.s.PGSQL.{self._port}"
            back, forth = await asyncio.open_unix_connection(path)
        else:
            back, forth = await asyncio.open_connection(self._host, self._port)
        self._flows.add(asyncio.ensure_future(pass_on(reader, forth)))
        self._flows.add(asyncio.ensure_future(pass_on(back, writer)))


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while some := await reader.read(65536):
            writer.write(some)
    finally:
        writer.close()


@asynccontextmanager
async def a_way(engine: Engine) -> AsyncIterator[Way]:
    way = Way(engine)
    await way.open()
    try:
        yield way
    finally:
        await way.close()


def write_component(root: Path, address: str, mode: int = 0o600) -> None:
    folder = root / "shop"
    folder.mkdir(exist_ok=True)
    (folder / "a.sql").write_text("SELECT 7 AS shop_good")
    (folder / "database_url").write_text(f"{address}\n")
    (folder / "database_url").chmod(mode)


async def test_a_database_that_goes_away_is_down_without_showing_secrets_and_comes_back(
    engine: Engine, tmp_path: Path
) -> None:
    put: list[Sample] = []
    async with a_way(engine) as way:
        write_component(tmp_path, way.address)
        (collector,) = components(tmp_path, (), put.extend)
        run = CollectorRun(collector, put.extend)
        try:
            await run.run(SLOT)
            await way.close()
            await run.run(SLOT)
            await way.open()
            await run.run(SLOT)
        finally:
            await collector.close()

    assert [(s.series.metric, s.value) for s in put] == [
        ("shop_good", 7),
        ("component_up", 1),
        ("component_up", 0),
        ("shop_good", 7),
        ("component_up", 1),
    ]
    assert "Connection refused" in put[2].reason
    assert SECRET not in put[2].reason
    assert "postgresql://" not in put[2].reason


async def test_a_connection_lost_between_two_slots_is_not_a_failure(engine: Engine) -> None:
    async with a_way(engine) as way:
        database = ReadOnly(lambda: way.address)
        await database.connect()
        await way.close()
        await way.open()
        try:
            await database.connect()
            async with database.transaction(1) as connection:
                await connection.execute("SELECT 1")
        finally:
            await database.close()


async def test_a_changed_address_is_read_for_the_next_connection(
    engine: Engine, tmp_path: Path
) -> None:
    put: list[Sample] = []
    async with a_way(engine) as way:
        write_component(tmp_path, "postgresql://127.0.0.1:1/none")
        (collector,) = components(tmp_path, (), put.extend)
        run = CollectorRun(collector, put.extend)
        try:
            await run.run(SLOT)
            write_component(tmp_path, way.address)
            await run.run(SLOT)
        finally:
            await collector.close()

    assert [s.value for s in put if s.series.metric == "component_up"] == [0, 1]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
async def test_a_secret_that_other_users_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    put: list[Sample] = []
    write_component(tmp_path, f"postgresql://ana:{SECRET}@127.0.0.1:1/shop", mode)

    (collector,) = components(tmp_path, (), put.extend)
    await CollectorRun(collector, put.extend).run(SLOT)

    (up,) = put
    expected = "AddressError: other users can read database_url; run chmod 600 database_url"
    assert (up.value, up.reason) == (0, expected)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"mysql://ana:hunter2@db/shop", "database_url must begin with postgresql://"),
        (b"", "database_url must begin with postgresql://"),
        (b"\xff", "database_url is not UTF-8"),
        (None, "database_url: No such file or directory"),
    ],
)
async def test_a_file_without_an_address_is_a_failure(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    put: list[Sample] = []
    write_component(tmp_path, "")
    if content is None:
        (tmp_path / "shop" / "database_url").unlink()
    else:
        (tmp_path / "shop" / "database_url").write_bytes(content)

    (collector,) = components(tmp_path, (), put.extend)
    await CollectorRun(collector, put.extend).run(SLOT)

    assert put[0].reason == f"AddressError: {reason}"


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql://ana:{SECRET}@{SECRET}@127.0.0.1:1/shop",
        f"postgresql://ana:{SECRET}/{SECRET}@127.0.0.1:1/shop",
        f"postgresql://ana:{SECRET} x@127.0.0.1:1/shop",
        f"postgresql://ana:{SECRET}#x@127.0.0.1:1/shop",
        f"postgresql://ana:{SECRET}?x@127.0.0.1:1/shop",
        f"postgresql://ana:%zz{SECRET}@127.0.0.1:1/shop",
        f"postgresql://ana:{SECRET}@[::1/shop",
        f"postgresql://ana:{SECRET}@127.0.0.1:{SECRET}/shop",
        f"postgresql://127.0.0.1:1/shop?{SECRET}",
        f"postgresql://127.0.0.1:1/shop?{SECRET}=1",
        f"postgresql://127.0.0.1:1/shop?connect_timeout={SECRET}",
        f"postgresql://ana:{SECRET}@127.0.0.1:1/shop",
    ],
)
async def test_no_malformed_address_shows_its_secret(address: str) -> None:
    with pytest.raises((AddressError, psycopg.Error)) as failure:
        await ReadOnly(lambda: address).connect()

    assert SECRET not in reason_of(failure.value)
    assert SECRET not in str(failure.value)
