"""The pool of connections, sized and guarded for the engine behind it."""

import asyncio
import logging
import select
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from db.queries import Connection
from db.unfit import UNFIT

log = structlog.get_logger()

SERVICE, REQUESTS, READER = "vigia", "vigia requests", "vigia reader"
"""The names of the pools, and of their connections. The embedded engine's one session goes to those
of the service first (`db/embedded/connection.mjs`)."""
CONNECTIONS_MAX = 8
SERVICE_CONNECTIONS_MAX = 16
"""So many that own work never waits for a connection: of these, stored samples hold five at most,
authentication two, and the live feed four."""
REQUESTS_CONNECTIONS_MAX = 6
CONNECTIONS_MIN = 2
CHECKOUT_TIMEOUT_S = 3.0
OPEN_TIMEOUT_S = 30.0
CLOSE_TIMEOUT_S = 1.0
STATEMENT_TIMEOUT_S = 30
PROBE_S = 0.5
"""How often a database that is away is tried: one connection at a time."""
PROBE_TIMEOUT_S = 2.0
EXAMINE_TIMEOUT_S = 1.0
PROOF_S = 3.0
"""How long a connection in use counts as a sign of life, since one last answered."""
CANCEL_TIMEOUT_S = 1.0
CAUSE_CHARS_MAX = 200
NETWORK: dict[str, str] = {
    "connect_timeout": "2",
    "tcp_user_timeout": "5000",
    "keepalives_idle": "5",
    "keepalives_interval": "1",
    "keepalives_count": "3",
}
"""A connection whose other end vanished without a word fails within seconds. What the address in
the settings says of these goes before."""
SESSION = f"-c timezone=UTC -c statement_timeout={STATEMENT_TIMEOUT_S}s"
READING = (
    f"{SESSION} -c default_transaction_read_only=on -c plan_cache_mode=force_custom_plan"
    " -c random_page_cost=1.1 -c jit=off"
)
"""A plan for any time opens every chunk; with its times known, only those it needs. What is read is
in memory or on a disk without a head to move, and no answer is long enough to pay for compiling."""

Configure = Callable[[Connection], Awaitable[None]]


class BusyError(PoolTimeout):
    """The database answers, but every connection of the pool stayed in use for too long."""


class AwayError(PoolTimeout):
    """There is no connection, and none can be made; the message says why."""


class DatabasePool(AsyncConnectionPool[Connection]):
    """A pool that knows whether its database is away, and finds it again at once.

    The waits of its base class between attempts grow to minutes. Here every attempt is given up
    after a second try; while the database is away, `probe` makes one each half second.
    """

    _failure = ""
    _failed_at = 0.0
    _answered_at = 0.0
    _abandoned_at = 0.0
    _lent = 0

    def __init__(self, dsn: str, **settings: Any) -> None:
        super().__init__(dsn, check=self._examine, open=False, **settings)

    @property
    def is_away(self) -> bool:
        """Whether no connection can be made, and none that is in use shows a sign of life."""
        if self.closed:
            return True
        if not self._failure or self._pool:
            return False
        return not self._lent or self._failed_at > self._answered_at + PROOF_S

    @property
    def cause(self) -> str:
        """Why the last connection could not be made; empty when it was made."""
        return self._failure

    @asynccontextmanager
    async def connection(self, timeout: float | None = None) -> AsyncIterator[Connection]:  # noqa: ASYNC109
        """Lend a connection; one whose database turns out not to take writes is closed.

        The next one may lead to another server at the same address, and is checked before its use.
        """
        async with super().connection(timeout) as connection:
            try:
                yield connection
            except UNFIT:
                await connection.close()
                raise

    async def getconn(self, timeout: float | None = None) -> Connection:  # noqa: ASYNC109
        """Return a connection. Raises AwayError at once while away, BusyError after a wait."""
        if self._failure and self.is_away:
            raise AwayError(f"the database is away: {self._failure}")
        try:
            connection = await super().getconn(timeout)
        except PoolTimeout as error:
            if self.is_away:
                raise AwayError(f"the database is away: {self._failure}") from error
            raise BusyError("every connection to the database is in use") from error
        self._lent += 1
        return connection

    async def putconn(self, conn: Connection) -> None:
        self._lent -= 1
        if conn.pgconn.transaction_status == TransactionStatus.IDLE:
            self._answered_at = time.monotonic()
        elif not isinstance(conn, _EmbeddedConnection):
            # There, what was given up only has to end before the next one has its turn.
            self._abandoned_at = time.monotonic()
        await super().putconn(conn)

    async def probe(self) -> None:
        """Look for a database that does not answer, until cancelled."""
        while not self.closed:
            await asyncio.sleep(PROBE_S)
            if self._failure or self._is_in_doubt:
                with suppress(PoolTimeout, PoolClosed):
                    # Who waits for a connection makes the pool try to make one.
                    connection = await super().getconn(PROBE_TIMEOUT_S)
                    self._lent += 1
                    await self.putconn(connection)

    @property
    def _is_in_doubt(self) -> bool:
        """Whether a connection was given up in the midst of something, and none answered since."""
        return self._abandoned_at > self._answered_at

    async def _examine(self, connection: Connection) -> None:
        """Ask a connection that is about to be lent whether it still answers, if there is cause.

        A server that ended has closed its side, which can be read; otherwise nothing can, and the
        question would cost as much as a small query.
        """
        if self._is_in_doubt or _has_input(connection):
            try:
                async with asyncio.timeout(EXAMINE_TIMEOUT_S):
                    await self.check_connection(connection)
            except (psycopg.Error, TimeoutError):
                await self._discard_ended()
                raise

    async def _discard_ended(self) -> None:
        """Discard every idle connection that its server has closed, so that none is tried first."""
        for connection in [one for one in self._pool if one.closed or _has_input(one)]:
            self._pool.remove(connection)
            self._nconns -= 1
            await connection.close()

    async def _connect(self, timeout: float | None = None) -> Connection:  # noqa: ASYNC109
        # The base class tells nobody why an attempt failed, and this is its one place for them.
        try:
            connection = await super()._connect(timeout)
        except Exception as error:
            cause = cause_of(error)
            if cause != self._failure:
                log.warning("database_unreachable", pool=self.name, error=str(error).strip())
            self._failure, self._failed_at = cause, time.monotonic()
            raise
        if self._failure:
            log.info("database_reached", pool=self.name, was=self._failure)
        self._failure = ""
        return connection


def cause_of(error: BaseException) -> str:
    """Return in one line why a connection could not be made, without the server's address."""
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return first.rpartition("failed: ")[2].removeprefix("FATAL:").strip()[:CAUSE_CHARS_MAX]


class _Connection(AsyncConnection[TupleRow]):
    """A connection that is closed when a statement at its deadline cannot be cancelled soon."""

    async def _try_cancel(self, *, timeout: float = CANCEL_TIMEOUT_S) -> None:  # noqa: ASYNC109
        try:
            await self.cancel_safe(timeout=min(timeout, CANCEL_TIMEOUT_S))
        except (psycopg.Error, OSError) as error:
            log.warning("statement_abandoned", error=str(error).strip())
            self.pgconn.finish()


class _EmbeddedConnection(AsyncConnection[TupleRow]):
    """A connection to the engine in which nothing can be cancelled: it is closed at once."""

    async def _try_cancel(self, **_: object) -> None:
        self.pgconn.finish()


@asynccontextmanager
async def open_pool(
    dsn: str,
    *,
    embedded: bool,
    reading: bool = False,
    open_timeout_s: float = OPEN_TIMEOUT_S,
    name: str = SERVICE,
    connections_max: int = CONNECTIONS_MAX,
    configure: Configure | None = None,
) -> AsyncIterator[DatabasePool]:
    """Open the pool. A checkout that takes longer than 3 s raises PoolTimeout: the API says 503.

    Every connection is in autocommit: a transaction is always said. Statements are never prepared
    by name on the embedded engine, where all connections share one session. `configure` is called
    with each new connection before anyone gets it; what it raises counts as a failed connection.
    With an `open_timeout_s` of 0 nothing is waited for.
    """
    logging.getLogger("psycopg.pool").addFilter(_is_no_attempt)
    pool = DatabasePool(
        _with_network(dsn),
        connection_class=_EmbeddedConnection if embedded else _Connection,
        min_size=min(CONNECTIONS_MIN, connections_max),
        max_size=connections_max,
        timeout=CHECKOUT_TIMEOUT_S,
        reconnect_timeout=0.0,
        kwargs=_session(name, embedded=embedded, reading=reading),
        configure=configure and _closing(configure),
        name=name,
    )
    await pool.open()
    probe = asyncio.create_task(pool.probe(), name=f"probe {name}")
    try:
        if open_timeout_s:
            await _wait(pool, open_timeout_s)
        yield pool
    finally:
        probe.cancel()
        with suppress(asyncio.CancelledError):
            await probe
        await pool.close(CLOSE_TIMEOUT_S)


async def _wait(pool: DatabasePool, timeout_s: float) -> None:
    try:
        await pool.wait(timeout_s)
    except PoolTimeout as error:
        raise AwayError(f"the database is away: {pool.cause}") from error


def _closing(configure: Configure) -> Configure:
    """Return the same, which closes a connection that it refuses: the library forgets it open."""

    async def configure_or_close(connection: Connection) -> None:
        try:
            await configure(connection)
        except BaseException:
            await connection.close()
            raise

    return configure_or_close


def _session(name: str, *, embedded: bool, reading: bool) -> dict[str, Any]:
    """Return how each connection is made."""
    session: dict[str, Any] = {
        "autocommit": True,
        "application_name": name,
        "options": READING if reading else SESSION,
    }
    return session | {"prepare_threshold": None} if embedded else session


def _with_network(dsn: str) -> str:
    return make_conninfo(
        dsn, **{k: v for k, v in NETWORK.items() if k not in conninfo_to_dict(dsn)}
    )


def _is_no_attempt(record: logging.LogRecord) -> bool:
    """Whether a line of the library is to be logged: failed attempts are, once, by the pool."""
    return not str(record.msg).startswith(("error connecting in", "reconnection attempt"))


def _has_input(connection: Connection) -> bool:
    """Whether the server has sent something unasked, or has closed its side."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
