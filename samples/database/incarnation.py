"""Tells the database that this process learned from, from a copy of it.

A restored, promoted or replaced database answers like the one before, at the same address, and
gives the same series numbers to other series. What was learned before would then be wrong, so it
belongs to an incarnation: a connection is checked before its first use, and says which incarnation
it leads to. What was learned from another one cannot be reached through it.
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
"""For reading 100,000 series after the database was replaced."""
ENCODING = "UTF8"
BEING_RESTORED = (
    "the database is being restored, or was emptied: its table schema_migrations has no rows; "
    "restore the database as a whole from one backup"
)


class UnfitError(psycopg.OperationalError):
    """The database answers, and must not be written to; the message says why."""


class Place(Struct, frozen=True):
    """What tells a database from others, as far as its server can say: a copy may keep it all."""

    system: int
    timeline: int
    database: int
    series_file: int
    """Another one once the table of series was emptied, made anew, or hidden by another table."""


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
    """One database, and the numbers of its series that this process knows."""

    def __init__(self, place: Place | None) -> None:
        self.place = place
        self.numbers = SeriesNumbers()


class Tokens:
    """What a transaction may find as this process' token: also what is written meanwhile."""

    def __init__(self, known: Collection[UUID]) -> None:
        self.known = set(known)


class Incarnations:
    """The incarnation that this process works with, and which connections lead to it.

    Until `begin`, connections are not checked: the database may have yet to be migrated.
    """

    def __init__(self, on_change: Sequence[Callable[[], None]] = ()) -> None:
        """Each of `on_change` forgets what was learned of the database; none of them may wait."""
        self.on_change = list(on_change)
        self.changes = 0
        self.replica = uuid4()
        """What this process is called in the table of tokens."""
        self.current = Incarnation(None)
        self._tokens: set[UUID] = set()
        """Those that the database may hold: two, when it is unknown whether a commit succeeded."""
        self._watching: WeakSet[Tokens] = WeakSet()
        self._checked: WeakKeyDictionary[Connection, Incarnation] = WeakKeyDictionary()
        self._lock = asyncio.Lock()
        self._newest_series = 0
        self._is_doubtful = False

    async def begin(self, connection: Connection) -> None:
        """Take the database behind a connection, which has been migrated, for the right one.

        May be repeated: what a start that then failed has adopted stays, or the connections that
        were checked by it would lead to a replaced one each time.
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
        """Check a connection before its first use; the pool calls it for each new one.

        Raises UnfitError for a database that must not be written to. When the connection leads to
        another incarnation, everything learned is forgotten before this returns.
        """
        if self.current.place is None:
            return
        async with asyncio.timeout(CHECK_TIMEOUT_S) as deadline, self._lock:
            await self._verify(connection, deadline)

    async def of(self, connection: Connection) -> Incarnation:
        """Return the incarnation that a connection leads to.

        Raises UnfitError, and closes the connection, when the process works with another by now, or
        when the database must not be written to: a session keeps such settings.
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
        """Write another token, so that a copy made before holds an older one."""
        if self.current.place is None:
            return
        async with pool.connection() as connection:
            await self.of(connection)
            async with asyncio.timeout(CHECK_TIMEOUT_S) as deadline, self._lock:
                await self._renew(connection, deadline)

    def doubt(self) -> None:
        """Check the database again before its next use, and learn it anew."""
        self._is_doubtful = True
        self._checked.clear()

    def confirm(self, incarnation: Incarnation, tokens: Tokens, mark: Mark) -> None:
        """Check, in the transaction that stored, that it was stored in the incarnation.

        `tokens` are of when the transaction began. Raises UnfitError for another database: a table
        may be emptied or restored under open connections.
        """
        self.ensure_current(incarnation)
        if incarnation.place is None:
            return
        if mark.series_file != incarnation.place.series_file or mark.token not in tokens.known:
            self.doubt()
            raise UnfitError("the database was replaced, or its series were")

    def ensure_current(self, incarnation: Incarnation) -> None:
        """Raise UnfitError when the process works with another incarnation by now."""
        if incarnation is not self.current:
            raise UnfitError("the database was replaced meanwhile")

    def tokens_from_now(self) -> Tokens:
        """Return what the database may hold as this process' token, now and in whatever follows.

        Each token that is written later is added, for as long as somebody holds what is returned.
        """
        tokens = Tokens(self._tokens)
        self._watching.add(tokens)
        return tokens

    def remember(self, incarnation: Incarnation, numbers: Sequence[int]) -> None:
        """Take note of the numbers of series that a transaction committed."""
        if incarnation is self.current:
            self._newest_series = max(self._newest_series, *numbers, 0)

    async def _check_again(self, connection: Connection) -> None:
        """Check a connection that led to what was replaced; it may lead to the replacement.

        The incarnation is not changed by it: an old server that still answers is not gone back to.
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
        """Return in what the database is not the one that was learned from; empty when it is."""
        if self._is_doubtful:
            return "it did not hold a series that it held before, or another token"
        if place != self.current.place:
            return f"it is at {place}, not {self.current.place}"
        if found.token not in self._tokens:
            return "it does not hold what this process wrote last"
        if found.newest_series < self._newest_series:
            return f"its newest series is {found.newest_series}, not {self._newest_series}"
        return ""

    async def _change(self, connection: Connection, place: Place, reason: str) -> None:
        log.warning("database_replaced", reason=reason)
        self.changes += 1
        await self._adopt(connection, place)

    async def _adopt(self, connection: Connection, place: Place) -> None:
        # The incarnation is another one before anything is written: if this write fails, or nobody
        # knows whether it did, no connection leads to what was learned before.
        self.current, self._tokens = Incarnation(place), {uuid4()}
        self._is_doubtful = False
        for forget in self.on_change:
            forget()
        self._newest_series = (await self._recall(connection)).newest_series
        # The token comes last: what fails before is done again for the next connection, which
        # finds that the database does not hold it.
        await self.current.numbers.learn(connection)
        [token] = self._tokens
        await queries.run(connection, BEGIN, replica=self.replica, token=token)
        self._checked[connection] = self.current

    async def _renew(self, connection: Connection, deadline: asyncio.Timeout) -> None:
        if self._checked.get(connection) is not self.current:
            return
        if len(self._tokens) > 1:
            # Nobody knows whether the last write succeeded; what is there tells.
            self._tokens &= {(await self._recall(connection)).token or UUID(int=0)}
        token, known = uuid4(), list(self._tokens)
        self._tokens.add(token)
        for tokens in self._watching:
            tokens.known.add(token)
        replica = self.replica
        if await queries.run(connection, RENEW, replica=replica, token=token, known=known):
            self._tokens = {token}
        else:
            place = await identify(connection)
            deadline.reschedule(asyncio.get_running_loop().time() + LEARN_TIMEOUT_S)
            await self._change(connection, place, "it does not hold what this process wrote last")


async def identify(connection: Connection) -> Place:
    """Return which database a connection leads to.

    Raises UnfitError for one that is read-only, empty, being restored, of another encoding, or of
    another version.
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
            "restart Vigia to bring it there"
        )
    # Without the right to ask, the other marks have to do.
    system = await queries.value(connection, SYSTEM) if found.has_system else 0
    return Place(system, found.timeline, found.database, found.series_file)


async def refuse_unready(connection: Connection, kept_for_it: Path | None) -> None:
    """Raise UnfitError for a database that must not be migrated, as it may be another one soon.

    That is one of another encoding, one that is being restored, and an empty one while samples wait
    in the folder `kept_for_it` for the one before.
    """
    _refuse_encoding(connection)
    await refuse_restoring(connection)
    [found] = await queries.rows(connection, _Identified, IDENTIFY)
    if found.has_schema:
        # A start that was killed leaves it without rows too, and without any other table.
        if found.has_tables and await queries.value(connection, SCHEMA_VERSION) is None:
            raise UnfitError(BEING_RESTORED)
    elif kept_for_it is not None:
        raise UnfitError(
            f"the database is empty, and {kept_for_it} holds samples that were acknowledged for "
            "another one: restore that database, or move the folder away to begin with this one"
        )


async def refuse_restoring(connection: Connection) -> None:
    """Raise UnfitError for a session to which hypertables are plain tables."""
    if await queries.value(connection, IS_RESTORING):
        raise UnfitError(
            "the database is being restored; SELECT timescaledb_post_restore() ends that"
        )


def _refuse_encoding(connection: Connection) -> None:
    # The server says it to every new connection. A question would be answered in bytes if the
    # database had no encoding at all.
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in {ENCODING, None}:
        raise UnfitError(
            f"the database's encoding is {encoding}, which cannot hold every text; restore it "
            f"into one that was made with ENCODING '{ENCODING}'"
        )


async def try_write(connection: Connection, *, with_sample: bool = False) -> None:
    """Check that a connection's database is ours and takes a write, which is rolled back.

    Raises UnfitError, or what the database says.
    """
    try:
        await identify(connection)
    except UnfitError:
        # A session keeps settings such as being read-only; the next one may have others.
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
