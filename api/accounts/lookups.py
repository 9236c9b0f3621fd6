"""Limits look-ups of keys and sessions in the database.

Tokens that were valid in the last hour have a limit of their own. Unknown tokens share another one,
in which addresses take turns. A flood of made-up keys therefore delays nobody with a valid key.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import psycopg

from accounts import tokens as keys
from api.http.limiter import Limiter
from db.pool import AwayError, BusyError, DatabasePool
from db.queries import Connection
from model.errors import UnavailableError

UNKNOWN_AT_ONCE = 1
KNOWN_AT_ONCE = 2
LOOKUPS_AT_ONCE = UNKNOWN_AT_ONCE + KNOWN_AT_ONCE
"""So few that made-up keys never use up the connections for other work."""
WAITING_MAX = 512
ADDRESS_WAITING_MAX = 32
"""Most waiting look-ups of unknown tokens from one address."""
KEY_WAITING_MAX = 256
"""Most waiting look-ups of one token that was valid in the last hour."""
KNOWN_S = 3600.0
"""How long a valid token counts as known, and is looked up apart from unknown ones."""
KNOWN_MAX = 10_000
REFUSED_S = 3.0
"""How long an invalid token is refused without a new look-up."""
REFUSED_MAX = 1000


class CrowdedError(UnavailableError):
    """Too many look-ups of keys are waiting."""

    def __init__(self, _words: str = "") -> None:
        super().__init__("too many keys are waiting to be checked; try again soon")


class Recent:
    """Recent tokens by hash, each for `life_s`; if it is full, it drops the oldest."""

    def __init__(self, life_s: float, most: int) -> None:
        self._life_s = life_s
        self._most = most
        self._until: dict[bytes, float] = {}

    def add(self, token: str, now: float) -> None:
        digest = keys.hash_of(token)
        self._until.pop(digest, None)
        if len(self._until) >= self._most:
            del self._until[next(iter(self._until))]
        self._until[digest] = now + self._life_s

    def discard(self, token: str) -> None:
        self._until.pop(keys.hash_of(token), None)

    def has(self, token: str, now: float) -> bool:
        return now < self._until.get(keys.hash_of(token), now)

    def clear(self) -> None:
        self._until.clear()


class Lookups:
    """Lends connections for look-ups of keys and sessions.

    An unknown token waits in the queue of its address, and addresses take turns. A token that was
    valid within the last hour never waits for unknown ones, whatever its address.
    """

    def __init__(self, pool: DatabasePool, obstacle: Callable[[], str]) -> None:
        """`obstacle` returns why nothing can be looked up yet, or an empty text."""
        self._pool = pool
        self._obstacle = obstacle
        self._unknown = Limiter(
            UNKNOWN_AT_ONCE, WAITING_MAX, ADDRESS_WAITING_MAX, refusal=CrowdedError
        )
        self._holders = Limiter(KNOWN_AT_ONCE, WAITING_MAX, KEY_WAITING_MAX, refusal=CrowdedError)
        self._known = Recent(KNOWN_S, KNOWN_MAX)
        self._refused = Recent(REFUSED_S, REFUSED_MAX)

    @property
    def refused(self) -> int:
        """The number of look-ups refused because too many were waiting."""
        return self._unknown.refused + self._holders.refused

    def forget(self) -> None:
        """Forget all results, because the database was replaced by another one."""
        self._known.clear()
        self._refused.clear()

    def is_refused(self, token: str) -> bool:
        """Return whether a look-up within REFUSED_S found the token invalid."""
        return self._refused.has(token, time.monotonic())

    def learn(self, token: str, *, is_valid: bool) -> None:
        """Remember the result of a look-up."""
        now = time.monotonic()
        (self._known if is_valid else self._refused).add(token, now)
        if not is_valid:
            self._known.discard(token)

    @asynccontextmanager
    async def connect(
        self, timeout_s: float, asker: str, token: str | None = None
    ) -> AsyncIterator[Connection]:
        """Lend a connection to look up a token of an address. Raises UnavailableError."""
        limiter, queue = self._unknown, asker
        if token is not None and self._known.has(token, time.monotonic()):
            limiter, queue = self._holders, keys.hash_of(token).hex()
        async with self._lend(timeout_s, limiter, queue) as connection:
            yield connection

    @asynccontextmanager
    async def connect_holder(self, timeout_s: float) -> AsyncIterator[Connection]:
        """Lend a connection for a client whose key is already checked. Raises UnavailableError."""
        async with self._lend(timeout_s, self._holders, "") as connection:
            yield connection

    @asynccontextmanager
    async def _lend(
        self, timeout_s: float, limiter: Limiter, queue: str
    ) -> AsyncIterator[Connection]:
        if obstacle := self._obstacle():
            raise UnavailableError(obstacle)
        try:
            async with (
                asyncio.timeout(timeout_s),
                limiter.slot(queue),
                self._pool.connection() as connection,
            ):
                yield connection
        except AwayError as error:
            raise UnavailableError(f"{error}; try again soon") from error
        except BusyError as error:
            raise UnavailableError("the database is busy; try again soon") from error
        except (psycopg.OperationalError, TimeoutError) as error:
            raise UnavailableError("the database does not answer; try again soon") from error
