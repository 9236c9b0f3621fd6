"""Cached series numbers are used only with the database that they come from."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg import sql

from db.engine import Engine
from db.migrate import migrate
from db.pool import open_pool
from db.queries import Connection, Pool
from model.series import Series
from samples import writer as db_writer
from samples.database.incarnation import Incarnations, UnfitError, refuse_unready, try_write
from samples.insert import Mark
from samples.series import SeriesNumbers
from samples.write_batch import write_batch_of
from samples.writer import Writer
from tests.samples.test_writer import at, ignore
from tests.system.conftest import NATIVE_URL

SERIES = [Series(metric=f"m{number}", component="a") for number in range(3)]


async def begin(pool: Pool) -> Incarnations:
    incarnations = Incarnations()
    async with pool.connection() as connection:
        await incarnations.begin(connection)
    return incarnations


async def replace_database(pool: Pool) -> None:
    """Make the database one that does not hold what this process wrote last."""
    async with pool.connection() as connection:
        await connection.execute("DELETE FROM replica_tokens")


async def test_every_series_is_known_from_the_beginning_however_many(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await Writer(pool, ignore).store(write_batch_of([at(0, 1, one) for one in SERIES]))
    monkeypatch.setattr("samples.series.SLICE_SERIES", 2)
    incarnations = await begin(pool)
    writer = Writer(pool, ignore, incarnations=incarnations)
    await writer.learn()

    async with pool.connection() as connection:
        known = await incarnations.current.numbers.of(connection, SERIES, 0)
    assert incarnations.current.numbers.is_complete
    assert (len(known.known), known.asked) == (3, 0)


async def test_a_failed_load_of_the_series_is_repeated(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await Writer(pool, ignore).store(write_batch_of([at(0, 1, one) for one in SERIES]))
    incarnations = await begin(pool)
    await replace_database(pool)
    learn = SeriesNumbers.learn

    async def fail(_: SeriesNumbers, __: Connection) -> None:
        raise psycopg.OperationalError("the connection was lost")

    async with pool.connection() as connection:
        monkeypatch.setattr(SeriesNumbers, "learn", fail)
        with pytest.raises(psycopg.OperationalError, match="lost"):
            await incarnations.verify(connection)
        monkeypatch.setattr(SeriesNumbers, "learn", learn)
        await incarnations.verify(connection)
        known = await incarnations.current.numbers.of(connection, SERIES, 0)

    assert incarnations.current.numbers.is_complete
    assert len(known.known) == 3


@pytest.mark.skipif(not NATIVE_URL, reason="one session of the embedded engine waits for another")
async def test_a_commit_in_a_replaced_database_is_not_acknowledged(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another connection finds the replacement while the old database still takes the commit."""
    incarnations = await begin(pool)
    writer = Writer(pool, ignore, incarnations=incarnations)
    numbers_of = SeriesNumbers.of

    async def exchange_meanwhile(
        self: SeriesNumbers, connection: Connection, wanted: Sequence[Series], *limits: int
    ) -> object:
        found = await numbers_of(self, connection, wanted, *limits)
        await replace_database(pool)
        async with pool.connection() as other:
            await incarnations.verify(other)
        return found

    monkeypatch.setattr(SeriesNumbers, "of", exchange_meanwhile)
    with pytest.raises(UnfitError, match="replaced"):
        await writer.store(write_batch_of([at(0, 1, SERIES[0])]))


async def rows_of(pool: Pool) -> set[tuple[str, float]]:
    async with pool.connection() as connection:
        found = await connection.execute("SELECT metric, value FROM metrics")
        return {(row[0], row[1]) for row in await found.fetchall()}


async def write_again(writer: Writer, number: int, value: float) -> None:
    """Write as `store` does behind a spool: what is refused comes again."""
    errors = []
    for _ in range(3):
        try:
            await writer.store(write_batch_of([at(10, value, SERIES[number])]))
        except psycopg.Error as error:
            errors.append(repr(error))
        else:
            return
    raise AssertionError(errors)


@pytest.fixture
async def writer(pool: Pool) -> Writer:
    """A writer that knows three series."""
    made = Writer(pool, ignore, incarnations=await begin(pool))
    for number in range(3):
        await made.store(write_batch_of([at(number, 1.0, SERIES[number])]))
    return made


async def test_a_table_of_series_truncated_under_open_connections_gets_no_wrong_samples(
    pool: Pool, writer: Writer
) -> None:
    async with pool.connection() as connection:
        await connection.execute("TRUNCATE series RESTART IDENTITY CASCADE")
        await connection.execute("DELETE FROM system_metrics")
    # Another service makes other series, which get the same numbers.
    others = [Series(metric=f"other{number}", component="a") for number in range(3)]
    await Writer(pool, ignore).store(write_batch_of([at(9, 5.0, one) for one in others]))

    for number in range(3):
        await write_again(writer, number, 7.0)

    expected = {(one.metric, 5.0) for one in others} | {(one.metric, 7.0) for one in SERIES}
    assert await rows_of(pool) == expected


async def test_an_older_state_restored_under_open_connections_gets_no_wrong_samples(
    pool: Pool, writer: Writer
) -> None:
    """The rows of series and tokens are put back as they were, and the numbers given anew."""
    async with pool.connection() as connection:
        await connection.execute("UPDATE replica_tokens SET token = gen_random_uuid()")
        await connection.execute("UPDATE series SET metric = 'foreign' WHERE metric = 'm0'")

    await write_again(writer, 0, 7.0)

    assert ("foreign", 7.0) not in await rows_of(pool)
    assert ("m0", 7.0) in await rows_of(pool)


async def test_a_series_that_was_deleted_is_made_again(pool: Pool, writer: Writer) -> None:
    async with pool.connection() as connection:
        await connection.execute("DELETE FROM series_state USING series WHERE id = series_id")
        await connection.execute("DELETE FROM series WHERE metric = 'm1'")

    await write_again(writer, 1, 7.0)
    await write_again(writer, 2, 7.0)

    assert {("m1", 7.0), ("m2", 7.0)} <= await rows_of(pool)


@pytest.mark.parametrize(
    ("spoil", "mend", "words"),
    [
        ("ALTER SEQUENCE series_id_seq RESTART WITH 1", "", "the sequence of series.id is behind"),
        (
            "SELECT setval('series_id_seq', 2147483647)",
            "SELECT setval('series_id_seq', 1000)",
            "no number left",
        ),
        (
            "ALTER TABLE late_ranges RENAME TO hidden",
            "ALTER TABLE hidden RENAME TO late_ranges",
            "lacks the table late_ranges",
        ),
    ],
)
async def test_an_obstacle_to_storing_samples_is_named_before_one_is_sent(
    pool: Pool, spoil: str, mend: str, words: str
) -> None:
    await Writer(pool, ignore).store(write_batch_of([at(0, 1.0, one) for one in SERIES]))
    async with pool.connection() as connection:
        await try_write(connection)
        await connection.execute(spoil.encode())
        try:
            with pytest.raises(UnfitError, match=words):
                await try_write(connection)
        finally:
            await connection.execute((mend or "SELECT setval('series_id_seq', 1000)").encode())


@pytest.fixture
async def restoring(pool: Pool) -> AsyncIterator[Pool]:
    """A database whose tables are there, and whose rows are not."""
    async with pool.connection() as connection:
        await connection.execute("CREATE TABLE kept AS TABLE schema_migrations")
        await connection.execute("DELETE FROM schema_migrations")
    yield pool
    async with pool.connection() as connection:
        await connection.execute("INSERT INTO schema_migrations TABLE kept")
        await connection.execute("DROP TABLE kept")


@pytest.mark.parametrize("check", [try_write, partial(refuse_unready, kept_for_it=None)])
async def test_a_database_that_is_being_restored_is_neither_used_nor_migrated(
    restoring: Pool, check: Callable[[Connection], Awaitable[None]]
) -> None:
    async with restoring.connection() as connection:
        with pytest.raises(UnfitError, match="being restored, or was emptied"):
            await check(connection)


@pytest.mark.skipif(not NATIVE_URL, reason="one session of the embedded engine serves all")
@pytest.mark.parametrize("check", [try_write, partial(refuse_unready, kept_for_it=None)])
async def test_a_session_in_restore_mode_is_not_used(
    engine: Engine, pool: Pool, check: Callable[[Connection], Awaitable[None]]
) -> None:
    """What it wrote would be in no chunk, and nobody would ever see it."""
    assert not pool.closed
    dsn = psycopg.conninfo.make_conninfo(engine.dsn, options="-c timescaledb.restoring=on")
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        with pytest.raises(UnfitError, match="timescaledb_post_restore"):
            await check(connection)


@pytest.mark.skipif(not NATIVE_URL, reason="the embedded engine has one database")
async def test_an_interrupted_first_start_is_continued() -> None:
    """It left the table of migrations, and nothing in it."""
    async with database("UTF8") as connection:
        await connection.execute(
            "CREATE TABLE schema_migrations (version integer PRIMARY KEY, name text NOT NULL, "
            "checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        await refuse_unready(connection, None)
        await migrate(connection)
        await try_write(connection)


@asynccontextmanager
async def database(encoding: str) -> AsyncIterator[Connection]:
    """Connect to a new database of some encoding."""
    name = sql.Identifier("vigia_test_encoding")
    create = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {} LOCALE 'C'")
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name)
    async with await psycopg.AsyncConnection.connect(NATIVE_URL, autocommit=True) as server:
        await server.execute(drop)
        await server.execute(create.format(name, encoding))
        dsn = psycopg.conninfo.make_conninfo(NATIVE_URL, dbname="vigia_test_encoding")
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as own:
            yield own
        await server.execute(drop)


@pytest.mark.skipif(not NATIVE_URL, reason="the embedded engine has one database")
@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_database_that_cannot_hold_every_text_is_refused_and_told_how_to_make_it(
    encoding: str,
) -> None:
    async with database(encoding) as connection:
        with pytest.raises(UnfitError, match=f"is {encoding}.*ENCODING 'UTF8'"):
            await refuse_unready(connection, None)
        with pytest.raises(UnfitError, match=f"is {encoding}"):
            await try_write(connection)


@pytest.mark.parametrize(
    ("privilege", "table"),
    [
        ("SELECT", "series_state"),
        ("SELECT", "system_distributions"),
        ("SELECT", "late_samples"),
        ("UPDATE", "late_samples"),
        ("INSERT", "late_samples"),
    ],
)
async def test_a_permission_that_only_a_write_needs_is_named_before_one_is_sent(
    engine: Engine, pool: Pool, privilege: str, table: str
) -> None:
    if engine.embedded:
        pytest.skip("the embedded engine has one user")
    role = sql.Identifier("vigia_lesser")
    async with pool.connection() as connection:
        for statement in (
            "CREATE ROLE {} LOGIN PASSWORD 'x'",
            "GRANT ALL ON ALL TABLES IN SCHEMA public TO {}",
            "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {}",
            "GRANT ALL ON SCHEMA public TO {}",
        ):
            await connection.execute(sql.SQL(statement).format(role))
        try:
            lesser = psycopg.conninfo.make_conninfo(engine.dsn, user="vigia_lesser", password="x")
            async with open_pool(lesser, embedded=False) as own, own.connection() as other:
                await try_write(other, with_sample=True)
                await connection.execute(
                    f"REVOKE {privilege} ON {table} FROM vigia_lesser".encode()
                )
                with pytest.raises(UnfitError, match=f"GRANT {privilege} ON {table}"):
                    await try_write(other)
        finally:
            await connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
            await connection.execute(sql.SQL("DROP ROLE {}").format(role))


async def test_a_sample_that_is_tried_leaves_nothing(pool: Pool) -> None:
    async with pool.connection() as connection:
        await try_write(connection, with_sample=True)
        found = await connection.execute(
            "SELECT FROM series UNION ALL SELECT FROM series_state UNION ALL SELECT FROM metrics"
        )
        assert found.rowcount == 0


@pytest.mark.skipif(not NATIVE_URL, reason="one session of the embedded engine waits for another")
async def test_a_write_during_which_the_token_is_renewed_twice_is_stored(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    incarnations = await begin(pool)
    writer = Writer(pool, ignore, incarnations=incarnations)
    insert = db_writer.insert_batch

    async def renew_meanwhile(*arguments: Any, **options: Any) -> Any:
        await incarnations.renew(pool)
        inserted = await insert(*arguments, **options)
        await incarnations.renew(pool)
        return inserted

    monkeypatch.setattr(db_writer, "insert_batch", renew_meanwhile)
    await writer.store(write_batch_of([at(0, 1.0, SERIES[0])]))
    assert (incarnations.changes, await rows_of(pool)) == (0, {("m0", 1.0)})


async def test_a_token_from_before_the_write_belongs_to_an_older_copy(pool: Pool) -> None:
    incarnations = await begin(pool)
    old = list(incarnations.tokens_from_now().known)
    await incarnations.renew(pool)
    mark = Mark(token=old[0], series_file=incarnations.current.place.series_file)
    with pytest.raises(UnfitError, match="replaced"):
        incarnations.confirm(incarnations.current, incarnations.tokens_from_now(), mark)
