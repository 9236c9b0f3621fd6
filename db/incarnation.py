"""Tells the database that this process learned from, from a copy of it.

A restored, promoted or replaced database answers like the one before, at the same address, and
gives the same series numbers to other series. What was learned before would then be wrong, so it
belongs to an incarnation: a connection is checked before its first use, and says which incarnation
it leads to. What was learned from another one cannot be reached through it.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from uuid import UUID, uuid4
from weakref import WeakKeyDictionary

import psycopg
import structlog
from msgspec import Struct

from db import queries
from db.migrate import shipped
from db.queries import Connection, Pool
from db.series import SeriesNumbers

log = structlog.get_logger()

_QUERIES = queries.load("incarnation")
IDENTIFY = _QUERIES["identify"]
SYSTEM = _QUERIES["system"]
SCHEMA_VERSION = _QUERIES["schema_version"]
RECALL = _QUERIES["recall"]
BEGIN = _QUERIES["begin"]
RENEW = _QUERIES["renew"]
DROP_ENDED = _QUERIES["drop_ended"]
TRY_WRITE = _QUERIES["try_write"]

CHECK_TIMEOUT_S = 5.0


class UnfitError(psycopg.OperationalError):
    """The database answers, and must not be written to; the message says why."""


class Place(Struct, frozen=True):
    """What tells a database from others, as far as its server can say: a copy may keep it all."""

    system: int
    timeline: int
    database: int


class _Identified(Struct, frozen=True):
    is_read_only: bool
    has_system: bool
    timeline: int
    database: int
    has_schema: bool


class _Recalled(Struct, frozen=True):
    token: UUID | None
    newest_series: int


class Incarnation:
    """One database, and the numbers of its series that this process knows."""

    def __init__(self, place: Place | None) -> None:
        self.place = place
        self.numbers = SeriesNumbers()


class Incarnations:
    """The incarnation that this process works with, and which connections lead to it.

    Until `begin`, connections are not checked: the database may have yet to be migrated.
    """

    def __init__(self, on_change: Sequence[Callable[[], None]] = ()) -> None:
        """Each of `on_change` forgets what was learned of the database; none of them may wait."""
        self.on_change = list(on_change)
        self.changes = 0
        self._replica = uuid4()
        self._current = Incarnation(None)
        self._tokens: set[UUID] = set()
        """Those that the database may hold: two, when it is unknown whether a commit succeeded."""
        self._checked: WeakKeyDictionary[Connection, Incarnation] = WeakKeyDictionary()
        self._lock = asyncio.Lock()
        self._newest_series = 0

    @property
    def current(self) -> Incarnation:
        return self._current

    async def begin(self, connection: Connection) -> None:
        """Take the database behind a connection, which has been migrated, for the right one."""
        async with self._lock:
            await queries.run(connection, DROP_ENDED)
            await self._adopt(connection, await identify(connection))

    async def verify(self, connection: Connection) -> None:
        """Check a connection before its first use; the pool calls it for each new one.

        Raises UnfitError for a database that must not be written to. When the connection leads to
        another incarnation, everything learned is forgotten before this returns.
        """
        if self._current.place is None:
            return
        async with asyncio.timeout(CHECK_TIMEOUT_S), self._lock:
            await self._verify(connection)

    async def of(self, connection: Connection) -> Incarnation:
        """Return the incarnation that a connection leads to.

        Raises UnfitError, and closes the connection, when the process works with another by now.
        """
        if self._current.place is None:
            return self._current
        if connection not in self._checked:
            await self.verify(connection)
        if self._checked[connection] is not self._current:
            await connection.close()
            raise UnfitError("this connection leads to a database that was replaced")
        return self._current

    async def renew(self, pool: Pool) -> None:
        """Write another token, so that a copy made before holds an older one."""
        if self._current.place is None:
            return
        async with pool.connection() as connection:
            await self.of(connection)
            async with asyncio.timeout(CHECK_TIMEOUT_S), self._lock:
                await self._renew(connection)

    def remember(self, incarnation: Incarnation, numbers: Sequence[int]) -> None:
        """Take note of the numbers of series that a transaction committed."""
        if incarnation is self._current:
            self._newest_series = max(self._newest_series, *numbers, 0)

    async def _verify(self, connection: Connection) -> None:
        place = await identify(connection)
        found = await self._recall(connection)
        if reason := self._difference(place, found):
            await self._change(connection, place, reason)
        else:
            self._checked[connection] = self._current

    async def _recall(self, connection: Connection) -> _Recalled:
        [found] = await queries.rows(connection, _Recalled, RECALL, replica=self._replica)
        return found

    def _difference(self, place: Place, found: _Recalled) -> str:
        """Return in what the database is not the one that was learned from; empty when it is."""
        if place != self._current.place:
            return f"it is at {place}, not {self._current.place}"
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
        self._current, self._tokens = Incarnation(place), {uuid4()}
        for forget in self.on_change:
            forget()
        self._newest_series = (await self._recall(connection)).newest_series
        [token] = self._tokens
        await queries.run(connection, BEGIN, replica=self._replica, token=token)
        await self._current.numbers.learn(connection)
        self._checked[connection] = self._current

    async def _renew(self, connection: Connection) -> None:
        if self._checked.get(connection) is not self._current:
            return
        if len(self._tokens) > 1:
            # Nobody knows whether the last write succeeded; what is there tells.
            self._tokens &= {(await self._recall(connection)).token or UUID(int=0)}
        token, known = uuid4(), list(self._tokens)
        self._tokens.add(token)
        replica = self._replica
        if await queries.run(connection, RENEW, replica=replica, token=token, known=known):
            self._tokens = {token}
        else:
            place = await identify(connection)
            await self._change(connection, place, "it does not hold what this process wrote last")


async def identify(connection: Connection) -> Place:
    """Return which database a connection leads to.

    Raises UnfitError for one that is read-only, empty, or of another version.
    """
    [found] = await queries.rows(connection, _Identified, IDENTIFY)
    if found.is_read_only:
        raise UnfitError("the database is read-only")
    if not found.has_schema:
        raise UnfitError(
            "the database is empty; restore it, or restart Vigia to begin with an empty one"
        )
    version, wanted = await queries.value(connection, SCHEMA_VERSION), _wanted_version()
    if version != wanted:
        raise UnfitError(
            f"the database's schema is at version {version} and this program needs {wanted}; "
            "restart Vigia to bring it there"
        )
    # Without the right to ask, the other marks have to do.
    system = await queries.value(connection, SYSTEM) if found.has_system else 0
    return Place(system, found.timeline, found.database)


async def refuse_empty(connection: Connection, kept_for_it: Path) -> None:
    """Raise UnfitError for an empty database while samples wait in a folder for the one before."""
    [found] = await queries.rows(connection, _Identified, IDENTIFY)
    if not found.has_schema:
        raise UnfitError(
            f"the database is empty, and {kept_for_it} holds samples that were acknowledged for "
            "another one: restore that database, or move the folder away to begin with this one"
        )


async def try_write(connection: Connection) -> None:
    """Check that a connection's database is ours and takes a write, which is rolled back.

    Raises UnfitError, or what the database says.
    """
    await identify(connection)
    async with connection.transaction(force_rollback=True):
        await queries.run(connection, TRY_WRITE)


@cache
def _wanted_version() -> int:
    return len(shipped())
