"""The connection pool, with sizes and deadlines for a server or the embedded engine."""

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
"""The names of the pools, and of their connections. The embedded engine serves connections with the
service's name first (`db/embedded/connection.mjs`)."""
CONNECTIONS_MAX = 8
SERVICE_CONNECTIONS_MAX = 16
"""Enough that the service's own work never waits for a connection: the write path uses at most five
of them, authentication three, and the live feed four."""
REQUESTS_CONNECTIONS_MAX = 6
READER_CONNECTIONS_MAX = 6
"""As many as the requests that may run at once (`api/http/limits.py`). Further requests wait there,
where keys take turns. A pool would serve them in order of arrival, and raise BusyError."""
CONNECTIONS_MIN = 2
CHECKOUT_TIMEOUT_S = 3.0
OPEN_TIMEOUT_S = 30.0
CLOSE_TIMEOUT_S = 1.0
STATEMENT_TIMEOUT_S = 30
PROBE_S = 0.5
"""Seconds between two attempts to connect while the database is away; one runs at a time."""
EXAMINE_TIMEOUT_S = 1.0
PROOF_S = 3.0
"""For this many seconds after its last answer, the database does not count as away while a
connection is in use."""
YOUNG_S = 2.0
"""An internal error in a session younger than this is not blamed on the session. Otherwise a
statement that always fails would replace all connections each time."""
CAUSE_CHARS_MAX = 200
BETWEEN_STATEMENTS = {TransactionStatus.INTRANS, TransactionStatus.INERROR}
"""States in which a transaction is open and no statement runs."""
NETWORK: dict[str, str] = {
    "connect_timeout": "2",
    "tcp_user_timeout": "5000",
    "keepalives_idle": "5",
    "keepalives_interval": "1",
    "keepalives_count": "3",
}
"""With these, a connection to a vanished host fails within seconds. The database address in the
settings can override them."""
SESSION = f"-c timezone=UTC -c statement_timeout={STATEMENT_TIMEOUT_S}s"
READING = (
    f"{SESSION} -c default_transaction_read_only=on -c plan_cache_mode=force_custom_plan"
    " -c random_page_cost=1.1 -c jit=off"
)
"""Planner settings for reading. A generic plan would open every chunk; a custom plan knows the
times, and opens only the needed ones. Random reads are cheap in memory or on an SSD. No query is
long enough to be worth JIT compilation."""

Configure = Callable[[Connection], Awaitable[None]]


class BusyError(PoolTimeout):
    """The database answers, but no connection of the pool became free in time."""


class AwayError(PoolTimeout):
    """No connection to the database can be made. The message says why."""


class BrokenSessionError(psycopg.OperationalError):
    """The server reported an internal error. The session may be broken, and was replaced."""


class DatabasePool(AsyncConnectionPool[Connection]):
    """A pool that knows whether its database is away, and reconnects within a second.

    The base class waits up to minutes between attempts. Here it gives up after its second attempt,
    and `probe` makes a new one each half second.
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
        """Whether no connection can be made, and no connection in use has answered recently."""
        if self.closed:
            return True
        if not self._failure or self._pool:
            return False
        return not self._lent or self._failed_at > self._answered_at + PROOF_S

    @property
    def answered_at(self) -> float:
        """The monotonic time of the last answer of the database, or 0."""
        return self._answered_at

    @property
    def cause(self) -> str:
        """Why the last attempt to connect failed, or "" if it succeeded."""
        return self._failure

    @asynccontextmanager
    async def connection(self, timeout: float | None = None) -> AsyncIterator[Connection]:  # noqa: ASYNC109
        """Lend a connection.

        After an error that says that the database cannot be written to, the connection is closed. A
        new one may lead to another server at the same address, and is checked before its use.

        After an internal error of the server, all connections are replaced, and BrokenSessionError
        is raised: a session that had an extension open while it was dropped and created again fails
        for ever. In a new session the statement itself must be the cause, so its error is raised.
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
        """Start to replace every connection; those in use follow when they are returned."""
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
        """Take a connection from the base class without losing a cancellation.

        The base class uses asyncio's `wait_for`. On Python 3.11 it swallows a cancellation that
        arrives together with the connection, and the cancelled task would never end.
        """
        before = _cancellations()
        try:
            connection = await super().getconn(timeout_s)
        except Exception:
            # A cancellation that arrived together with the error takes precedence.
            if _cancellations() > before:
                raise asyncio.CancelledError from None
            raise
        self._lent += 1
        if _cancellations() > before:
            await self.putconn(connection)
            raise asyncio.CancelledError
        return connection

    async def putconn(self, conn: Connection) -> None:
        """Return a connection to the pool, even if the task is cancelled meanwhile."""
        self._lent -= 1
        if conn.pgconn.transaction_status == TransactionStatus.IDLE:
            self._answered_at = time.monotonic()
        elif not isinstance(conn, ClosingConnection):
            # A statement was abandoned, so the database may hang. On the embedded engine this is
            # normal: the statement only has to end before the next one runs.
            self._abandoned_at = time.monotonic()
        if conn.pgconn.transaction_status in BETWEEN_STATEMENTS:
            # The rollback was abandoned. The base class would repeat it without a deadline, and
            # would swallow a cancellation.
            await conn.close()
        returned = super().putconn(conn)
        # A task that is cancelled inside the base class would lose the connection, and the pool
        # would be one smaller for ever. A shield costs a task, so it is used only if the base class
        # can wait: when other tasks wait for a connection or for its lock.
        await (asyncio.shield(returned) if self._waiting or self._is_locked else returned)

    async def probe(self) -> None:
        """Try to connect every PROBE_S seconds while the database does not answer."""
        while not self.closed:
            began = time.monotonic()
            if self._failure or self._is_in_doubt:
                with suppress(PoolTimeout, PoolClosed):
                    # A waiting client makes the pool start one attempt. A failed attempt wakes no
                    # client, so the wait ends after PROBE_S. A slow attempt continues by itself,
                    # and the pool starts no second one meanwhile.
                    await self.putconn(await self._take(PROBE_S))
            await asyncio.sleep(max(0.0, began + PROBE_S - time.monotonic()))

    @property
    def _is_locked(self) -> bool:
        """Whether a task would wait for the base class's lock. It can be reserved for a waiter."""
        return self._lock.locked() or bool(self._lock._waiters)  # noqa: SLF001 (nothing else tells)

    @property
    def _is_in_doubt(self) -> bool:
        """Whether a statement was abandoned, and no connection has answered since."""
        return self._abandoned_at > self._answered_at

    async def _examine(self, connection: Connection) -> None:
        """Check that a connection still answers before it is lent, if there is a reason for doubt.

        A server that ended has closed the connection, so that its socket is readable. Otherwise no
        check is made, because it costs as much as a small query.
        """
        if self._is_in_doubt or _has_input(connection):
            try:
                async with asyncio.timeout(EXAMINE_TIMEOUT_S):
                    await self.check_connection(connection)
            except (psycopg.Error, TimeoutError):
                await self._discard_ended()
                raise

    async def _discard_ended(self) -> None:
        """Discard all idle connections that the server has closed, before they are lent."""
        for connection in [one for one in self._pool if one.closed or _has_input(one)]:
            self._pool.remove(connection)
            self._nconns -= 1
            await connection.close()

    async def _connect(self, timeout: float | None = None) -> Connection:  # noqa: ASYNC109
        # The base class does not report why an attempt failed. All attempts pass through here.
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
    """Return how many cancellations of this task are pending."""
    task = asyncio.current_task()
    return task.cancelling() if task else 0


def cause_of(error: BaseException) -> str:
    """Return why a connection failed, in one line and without the server's address."""
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
    """Open a pool. A checkout that takes longer than 3 s raises PoolTimeout; the API answers 503.

    Every connection is in autocommit, so that transactions are always explicit. On the embedded
    engine all connections share one session, so that statements are never prepared by name.
    `configure` is called with each new connection; an error in it counts as a failed connection.
    With an `open_timeout_s` of 0 it does not wait for a connection. Raises AwayError.
    """
    logging.getLogger("psycopg.pool").addFilter(_is_no_attempt)
    pool = DatabasePool(
        _with_network(dsn),
        # The embedded engine cannot cancel a statement.
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
    """Wrap `configure` so that it closes a refused connection. The library would leave it open."""

    async def configure_or_close(connection: Connection) -> None:
        try:
            await configure(connection)
        except BaseException:
            await connection.close()
            raise

    return configure_or_close


def _session(name: str, *, embedded: bool, reading: bool) -> dict[str, Any]:
    """Return the arguments of each new connection."""
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
    """Return whether to log a line of the library. The pool itself logs failed attempts once."""
    return not str(record.msg).startswith(("error connecting in", "reconnection attempt"))


def _has_input(connection: Connection) -> bool:
    """Return whether the server has sent an unrequested message or has closed the connection."""
    return isinstance(connection, DeadlineConnection) and connection.has_input


DEADLINE_S = 5.0
LONG_DEADLINE_S = 15.0
"""The deadline for reading history, and for large changes."""


@asynccontextmanager
async def connect(pool: Pool, deadline_s: float = DEADLINE_S) -> AsyncIterator[Connection]:
    """Lend a connection. Raises TimeoutError if its use takes longer than `deadline_s` seconds."""
    async with asyncio.timeout(deadline_s), pool.connection() as connection:
        yield connection
