"""The pool of connections, sized and guarded for the engine behind it."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import psycopg
import structlog
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from db.queries import Connection, Pool
from db.unfit import CAUSES, UNFIT
from runtime.deadline import ClosingConnection, DeadlineConnection

log = structlog.get_logger()

SERVICE, REQUESTS, READER = "vigia", "vigia requests", "vigia reader"
"""The names of the pools, and of their connections. The embedded engine's one session goes to those
of the service first (`db/embedded/connection.mjs`)."""
CONNECTIONS_MAX = 8
SERVICE_CONNECTIONS_MAX = 16
"""So many that own work never waits for a connection: of these, stored samples hold five at most,
authentication three, and the live feed four."""
REQUESTS_CONNECTIONS_MAX = 6
READER_CONNECTIONS_MAX = 6
"""As many as the limits of requests let run at once (`api/http/limits.py`). What waits beyond
them waits there, where keys take turns; a pool is first come, first served, and ends in
BusyError."""
CONNECTIONS_MIN = 2
CHECKOUT_TIMEOUT_S = 3.0
OPEN_TIMEOUT_S = 30.0
CLOSE_TIMEOUT_S = 1.0
STATEMENT_TIMEOUT_S = 30
PROBE_S = 0.5
"""How often a database that is away is tried: one connection at a time."""
EXAMINE_TIMEOUT_S = 1.0
PROOF_S = 3.0
"""How long a connection in use counts as a sign of life, since one last answered."""
YOUNG_S = 2.0
"""So soon after it began, a session is not at fault for an error inside the server: or statements
that fail in this way would have all connections made anew each time."""
CAUSE_CHARS_MAX = 200
BETWEEN_STATEMENTS = {TransactionStatus.INTRANS, TransactionStatus.INERROR}
"""A transaction is open, and no statement runs."""
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


class BrokenSessionError(psycopg.OperationalError):
    """The server failed inside, perhaps because of the session; the next one is another."""


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
        self._replacing: set[asyncio.Task[None]] = set()

    @property
    def is_away(self) -> bool:
        """Whether no connection can be made, and none that is in use shows a sign of life."""
        if self.closed:
            return True
        if not self._failure or self._pool:
            return False
        return not self._lent or self._failed_at > self._answered_at + PROOF_S

    @property
    def answered_at(self) -> float:
        """When the database last answered, on the monotonic clock; 0 for never."""
        return self._answered_at

    @property
    def cause(self) -> str:
        """Why the last connection could not be made; empty when it was made."""
        return self._failure

    @asynccontextmanager
    async def connection(self, timeout: float | None = None) -> AsyncIterator[Connection]:  # noqa: ASYNC109
        """Lend a connection; one whose database turns out not to take writes is closed.

        The next one may lead to another server at the same address, and is checked before its use.
        After an error inside the server, every connection is replaced by another one: a session in
        which an extension was open while it was dropped and made anew fails in this way for ever.
        Raises BrokenSessionError for that; in a session that has just begun, the statement is at
        fault, and keeps its own error.
        """
        async with super().connection(timeout) as connection:
            try:
                yield connection
            except UNFIT:
                await connection.close()
                raise
            except psycopg.errors.InternalError_ as error:
                if connection._created_at > time.monotonic() - YOUNG_S:  # noqa: SLF001
                    raise
                await connection.close()
                await asyncio.shield(self.replace_all())
                raise BrokenSessionError(str(error)) from error

    def replace_all(self) -> asyncio.Task[None]:
        """Begin to replace every connection, those in use when they are returned; never waits."""
        task = asyncio.create_task(self.drain(), name=f"replace connections of {self.name}")
        self._replacing.add(task)
        task.add_done_callback(self._replacing.discard)
        return task

    async def getconn(self, timeout: float | None = None) -> Connection:  # noqa: ASYNC109
        """Return a connection. Raises AwayError at once while away, BusyError after a wait."""
        if self._failure and self.is_away:
            raise AwayError(f"the database is away: {self._failure}")
        try:
            return await self._take(timeout)
        except PoolTimeout as error:
            if self.is_away:
                raise AwayError(f"the database is away: {self._failure}") from error
            raise BusyError("every connection to the database is in use") from error

    async def _take(self, timeout_s: float | None) -> Connection:
        """Take a connection from the base class, and lose no cancellation meanwhile.

        The base class waits by asyncio's `wait_for`. On Python 3.11 that forgets a cancellation
        which arrives after the connection, and a task that is cancelled once would never end.
        """
        before = _cancellations()
        try:
            connection = await super().getconn(timeout_s)
        except Exception:
            # Whatever it was is raised again, but for a cancellation that would be lost with it.
            if _cancellations() > before:
                raise asyncio.CancelledError from None
            raise
        self._lent += 1
        if _cancellations() > before:
            await self.putconn(connection)
            raise asyncio.CancelledError
        return connection

    async def putconn(self, conn: Connection) -> None:
        """Return a connection. A cancellation meanwhile does not keep it from the pool."""
        self._lent -= 1
        if conn.pgconn.transaction_status == TransactionStatus.IDLE:
            self._answered_at = time.monotonic()
        elif not isinstance(conn, ClosingConnection):
            # There, what was given up only has to end before the next one has its turn.
            self._abandoned_at = time.monotonic()
        if conn.pgconn.transaction_status in BETWEEN_STATEMENTS:
            # Its rollback was given up. The base class would repeat it without a deadline, and
            # would forget a cancellation that ends it.
            await conn.close()
        returned = super().putconn(conn)
        # The base class waits only when others do. Who is cancelled there would take the connection
        # along, and the pool would be one smaller for ever. A shield costs a task, so it is not
        # used where nothing is waited for.
        await (asyncio.shield(returned) if self._waiting or self._is_locked else returned)

    async def probe(self) -> None:
        """Look for a database that does not answer, every PROBE_S, until cancelled."""
        while not self.closed:
            began = time.monotonic()
            if self._failure or self._is_in_doubt:
                with suppress(PoolTimeout, PoolClosed):
                    # Who waits for a connection makes the pool try once to make one. An attempt
                    # that was refused wakes nobody, so the wait is no longer than the time until
                    # the next; one that takes longer goes on by itself, and keeps others back.
                    await self.putconn(await self._take(PROBE_S))
            await asyncio.sleep(max(0.0, began + PROBE_S - time.monotonic()))

    @property
    def _is_locked(self) -> bool:
        """Whether who takes the lock of the base class waits; it may be free for another's turn."""
        return self._lock.locked() or bool(self._lock._waiters)  # noqa: SLF001 (nothing else tells)

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


def _cancellations() -> int:
    """Return how many times this task was asked to end, less those that were dealt with."""
    task = asyncio.current_task()
    return task.cancelling() if task else 0


def cause_of(error: BaseException) -> str:
    """Return in one line why a connection could not be made, without the server's address."""
    for kind, words in CAUSES.items():
        if isinstance(error, kind):
            detail = error.diag.message_primary
            return f"{words} ({detail})" if detail else words
    if isinstance(error, TimeoutError) and not str(error):
        return "it does not answer in time"
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return first.rpartition("failed: ")[2].removeprefix("FATAL:").strip()[:CAUSE_CHARS_MAX]


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
        # In the embedded engine nothing can be cancelled.
        connection_class=ClosingConnection if embedded else DeadlineConnection,
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
    return isinstance(connection, DeadlineConnection) and connection.has_input


DEADLINE_S = 5.0
LONG_DEADLINE_S = 15.0
"""Of what reads the past, or changes much at once."""


@asynccontextmanager
async def connect(pool: Pool, deadline_s: float = DEADLINE_S) -> AsyncIterator[Connection]:
    """Lend a connection. Raises TimeoutError when what is done with it takes too long."""
    async with asyncio.timeout(deadline_s), pool.connection() as connection:
        yield connection
