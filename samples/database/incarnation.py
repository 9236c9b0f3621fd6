"""Detects that the database was restored, promoted or replaced.

A replaced database answers at the same address, but gives the same series numbers to other series.
Numbers that were cached from the old database would then store samples in the wrong series. So a
cache belongs to an incarnation of the database:

1. At the start, the process notes the place of the database (its identity on the server) and
   writes a random token into it.
2. Each new connection is checked: the place, the token, and the newest series number must be the
   known ones. If they are not, the process forgets its caches, and begins a new incarnation.
3. Each transaction that stores samples reads the token and the file of the series table again. If
   they differ, the transaction is rolled back.
4. The token is renewed regularly, so that a restored copy holds an old one.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from functools import cache
from pathlib import Path
from uuid import UUID, uuid4
from weakref import WeakKeyDictionary, WeakSet

import psycopg
import structlog
from msgspec import Struct

from db import queries
from db.migrate import shipped
from db.queries import Connection, Pool
from model.limits import FUTURE_MAX
from samples.insert import KEEP_NEWEST, Mark
from samples.series import DECLARE_ANEW, SeriesNumbers

log = structlog.get_logger()

_QUERIES = queries.load(__file__)
IDENTIFY = _QUERIES["identify"]
IS_RESTORING = _QUERIES["is_restoring"]
SYSTEM = _QUERIES["system"]
SCHEMA_VERSION = _QUERIES["schema_version"]
RECALL = _QUERIES["recall"]
BEGIN = _QUERIES["begin"]
RENEW = _QUERIES["renew"]
DROP_ENDED = _QUERIES["drop_ended"]
TRY_WRITE = _QUERIES["try_write"]
OBSTACLE = _QUERIES["obstacle"]
TRY_SAMPLE = queries.fill(
    _QUERIES["try_sample"], declare_anew=DECLARE_ANEW, keep_newest=KEEP_NEWEST
)

CHECK_TIMEOUT_S = 5.0
LEARN_TIMEOUT_S = 60.0
"""The limit for reading 100,000 series after the database was replaced."""
ENCODING = "UTF8"
BEING_RESTORED = (
    "the database is being restored, or was emptied: its table schema_migrations has no rows; "
    "restore the database as a whole from one backup"
)


class UnfitError(psycopg.OperationalError):
    """The database answers, but Vigia must not write to it. The message says why."""


class Place(Struct, frozen=True):
    """The identity of a database on its server. A copy can have the same one."""

    system: int
    timeline: int
    database: int
    series_file: int
    """The file of the table `series`. It changes when the table is truncated, recreated, or hidden
    by another table in the search path."""


class _Identified(Struct, frozen=True):
    is_read_only: bool
    has_system: bool
    timeline: int
    database: int
    series_file: int
    has_schema: bool
    has_tables: bool


class _Recalled(Struct, frozen=True):
    token: UUID | None
    newest_series: int


class Incarnation:
    """One incarnation of the database, and the series numbers that are cached from it."""

    def __init__(self, place: Place | None) -> None:
        self.place = place
        self.numbers = SeriesNumbers()


class Tokens:
    """The tokens that a transaction may read, including those written while it runs."""

    def __init__(self, known: Collection[UUID]) -> None:
        self.known = set(known)


class Incarnations:
    """The current incarnation, and the connections that were checked to lead to it.

    Before `begin`, connections are not checked, because the database may not be migrated yet.
    """

    def __init__(self, on_change: Sequence[Callable[[], None]] = ()) -> None:
        """Each function in `on_change` clears a cache of the database. None of them may wait."""
        self.on_change = list(on_change)
        self.changes = 0
        self.replica = uuid4()
        """The key of this process in the table of tokens."""
        self.current = Incarnation(None)
        self._tokens: set[UUID] = set()
        """The tokens that the database may hold. There are two if it is unknown whether the commit
        of a new token succeeded."""
        self._watching: WeakSet[Tokens] = WeakSet()
        self._checked: WeakKeyDictionary[Connection, Incarnation] = WeakKeyDictionary()
        self._lock = asyncio.Lock()
        self._newest_series = 0
        self._is_doubtful = False

    async def begin(self, connection: Connection) -> None:
        """Accept the migrated database of a connection as the current incarnation.

        It may be called again after a failed start. Then it keeps the incarnation, because the pool
        still holds connections that were checked against it.
        """
        await queries.run(connection, DROP_ENDED)
        if self.current.place is not None:
            await self.verify(connection)
            return
        async with self._lock:
            place = await identify(connection)
            await _check(connection)
            await self._adopt(connection, place)

    async def verify(self, connection: Connection) -> None:
        """Check a connection before its first use. The pool calls it for each new connection.

        Raises UnfitError for a database that Vigia must not write to. If the database was replaced,
        all caches are cleared before this returns.
        """
        if self.current.place is None:
            return
        async with asyncio.timeout(CHECK_TIMEOUT_S) as deadline, self._lock:
            await self._verify(connection, deadline)

    async def of(self, connection: Connection) -> Incarnation:
        """Return the incarnation that a connection leads to.

        Raises UnfitError and closes the connection if it leads to an older incarnation, or if Vigia
        must not write to its database: a session keeps settings such as read-only.
        """
        if self.current.place is None:
            return self.current
        if connection not in self._checked:
            try:
                await self.verify(connection)
            except UnfitError:
                await connection.close()
                raise
        if self._checked[connection] is not self.current:
            await self._check_again(connection)
        return self.current

    async def renew(self, pool: Pool) -> None:
        """Write a new token, so that a copy from before holds an old one."""
        if self.current.place is None:
            return
        async with pool.connection() as connection:
            await self.of(connection)
            async with asyncio.timeout(CHECK_TIMEOUT_S) as deadline, self._lock:
                await self._renew(connection, deadline)

    def doubt(self) -> None:
        """Check every connection again before its next use, and begin a new incarnation."""
        self._is_doubtful = True
        self._checked.clear()

    def confirm(self, incarnation: Incarnation, tokens: Tokens, mark: Mark) -> None:
        """Check inside the storing transaction that it wrote to the given incarnation.

        `tokens` come from `tokens_from_now`, called before the transaction began. Raises UnfitError
        otherwise: a table can be truncated or restored under an open connection.
        """
        self.ensure_current(incarnation)
        if incarnation.place is None:
            return
        if mark.series_file != incarnation.place.series_file or mark.token not in tokens.known:
            self.doubt()
            raise UnfitError("the database or its table of series was replaced")

    def ensure_current(self, incarnation: Incarnation) -> None:
        """Raise UnfitError if another incarnation is current by now."""
        if incarnation is not self.current:
            raise UnfitError("the database was replaced meanwhile")

    def tokens_from_now(self) -> Tokens:
        """Return the tokens that the database may hold from now on.

        Each token that is written later is added to the returned object.
        """
        tokens = Tokens(self._tokens)
        self._watching.add(tokens)
        return tokens

    def remember(self, incarnation: Incarnation, numbers: Sequence[int]) -> None:
        """Note committed series numbers. A database with a lower newest number is an older one."""
        if incarnation is self.current:
            self._newest_series = max(self._newest_series, *numbers, 0)

    async def _check_again(self, connection: Connection) -> None:
        """Check a connection that was checked against an older incarnation.

        It may lead to the new database by now. If it does not, it is closed and the incarnation
        stays: an old server that still answers must not become current again.
        """
        async with asyncio.timeout(CHECK_TIMEOUT_S), self._lock:
            place, found = await identify(connection), await self._recall(connection)
            if self._difference(place, found):
                await connection.close()
                raise UnfitError("this connection leads to a database that was replaced")
            self._checked[connection] = self.current

    async def _verify(self, connection: Connection, deadline: asyncio.Timeout) -> None:
        place = await identify(connection)
        found = await self._recall(connection)
        if reason := self._difference(place, found):
            deadline.reschedule(asyncio.get_running_loop().time() + LEARN_TIMEOUT_S)
            await self._change(connection, place, reason)
        else:
            self._checked[connection] = self.current

    async def _recall(self, connection: Connection) -> _Recalled:
        [found] = await queries.rows(connection, _Recalled, RECALL, replica=self.replica)
        return found

    def _difference(self, place: Place, found: _Recalled) -> str:
        """Return how the database differs from the current incarnation, or "" if it does not."""
        if self._is_doubtful:
            return "it lacked a series that it had before, or had an unknown token"
        if place != self.current.place:
            return f"it is {place}, not {self.current.place}"
        if found.token not in self._tokens:
            return "it does not hold the last token of this process"
        if found.newest_series < self._newest_series:
            return f"its newest series is {found.newest_series}, not {self._newest_series}"
        return ""

    async def _change(self, connection: Connection, place: Place, reason: str) -> None:
        log.warning("database_replaced", reason=reason)
        self.changes += 1
        await self._adopt(connection, place)

    async def _adopt(self, connection: Connection, place: Place) -> None:
        # The incarnation changes before the write, whose outcome may stay unknown: from here on no
        # connection can lead to the old caches.
        self.current, self._tokens = Incarnation(place), {uuid4()}
        self._is_doubtful = False
        for forget in self.on_change:
            forget()
        self._newest_series = (await self._recall(connection)).newest_series
        # The token is written last. If an earlier step fails, the database does not hold the token,
        # so that the check of the next connection repeats all steps.
        await self.current.numbers.learn(connection)
        [token] = self._tokens
        await queries.run(connection, BEGIN, replica=self.replica, token=token)
        self._checked[connection] = self.current

    async def _renew(self, connection: Connection, deadline: asyncio.Timeout) -> None:
        if self._checked.get(connection) is not self.current:
            return
        if len(self._tokens) > 1:
            # It is unknown whether the last write of a token committed. Read which one is there.
            self._tokens &= {(await self._recall(connection)).token or UUID(int=0)}
        token, known = uuid4(), list(self._tokens)
        # The new token is known before it is written: a transaction may read it before this task
        # continues, and the outcome of the write may stay unknown.
        self._tokens.add(token)
        for tokens in self._watching:
            tokens.known.add(token)
        replica = self.replica
        if await queries.run(connection, RENEW, replica=replica, token=token, known=known):
            self._tokens = {token}
        else:
            place = await identify(connection)
            deadline.reschedule(asyncio.get_running_loop().time() + LEARN_TIMEOUT_S)
            await self._change(connection, place, "it does not hold the last token of this process")


async def identify(connection: Connection) -> Place:
    """Return the identity of the database of a connection.

    Raises UnfitError if the database is read-only, empty, or being restored, or has another
    encoding or schema version.
    """
    _refuse_encoding(connection)
    [found] = await queries.rows(connection, _Identified, IDENTIFY)
    if found.is_read_only:
        raise UnfitError("the database is read-only")
    await refuse_restoring(connection)
    if not found.has_schema:
        raise UnfitError(
            "the database is empty, or the role's search_path or a missing USAGE permission hides "
            "its tables; restore it, or restart Vigia to begin with an empty one"
        )
    version: int | None = await queries.value(connection, SCHEMA_VERSION)
    wanted = _wanted_version()
    if version is None:
        raise UnfitError(BEING_RESTORED)
    if version > wanted:
        raise UnfitError(
            f"the database's schema is at version {version} and this program knows {wanted}; "
            "start the newer program"
        )
    if version != wanted:
        raise UnfitError(
            f"the database's schema is at version {version} and this program needs {wanted}; "
            "restart Vigia to migrate it"
        )
    # Without the right to call the function, the identity consists of the other fields.
    system = await queries.value(connection, SYSTEM) if found.has_system else 0
    return Place(system, found.timeline, found.database, found.series_file)


async def refuse_unready(connection: Connection, kept_for_it: Path | None) -> None:
    """Raise UnfitError for a database that must not be migrated.

    That is a database with another encoding, one that is being restored, and an empty one while
    the spool `kept_for_it` holds samples for an earlier database.
    """
    _refuse_encoding(connection)
    await refuse_restoring(connection)
    [found] = await queries.rows(connection, _Identified, IDENTIFY)
    if found.has_schema:
        # A killed first start also leaves the table without rows, but then no other table exists.
        if found.has_tables and await queries.value(connection, SCHEMA_VERSION) is None:
            raise UnfitError(BEING_RESTORED)
    elif kept_for_it is not None:
        raise UnfitError(
            f"the database is empty, but {kept_for_it} holds acknowledged samples for another "
            "database; restore that database, or move the folder away to begin with this one"
        )


async def refuse_restoring(connection: Connection) -> None:
    """Raise UnfitError for a session in restore mode: its writes to hypertables would be lost."""
    if await queries.value(connection, IS_RESTORING):
        raise UnfitError(
            "the database is being restored; run SELECT timescaledb_post_restore() when that is "
            "finished"
        )


def _refuse_encoding(connection: Connection) -> None:
    # The server reports the encoding to every new connection. A query would not help: in a database
    # with encoding SQL_ASCII, texts arrive as bytes.
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in {ENCODING, None}:
        raise UnfitError(
            f"the database's encoding is {encoding}, which cannot store every text; restore it "
            f"into a database that was created with ENCODING '{ENCODING}'"
        )


async def try_write(connection: Connection, *, with_sample: bool = False) -> None:
    """Check that the database of a connection is valid and accepts a write. It is rolled back.

    With `with_sample` it writes a sample of its own series. Raises UnfitError or psycopg.Error.
    """
    try:
        await identify(connection)
    except UnfitError:
        # A session keeps settings such as read-only. A new session may have other ones.
        await connection.close()
        raise
    await _check(connection)
    async with connection.transaction(force_rollback=True):
        await queries.run(connection, TRY_WRITE)
        if with_sample:
            await queries.run(connection, TRY_SAMPLE, future=FUTURE_MAX)


async def _check(connection: Connection) -> None:
    if obstacle := await queries.value(connection, OBSTACLE):
        raise UnfitError(obstacle)


@cache
def _wanted_version() -> int:
    return len(shipped())
