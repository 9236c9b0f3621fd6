"""One connection to somebody's database, on which nothing can be written and nothing lasts long."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import psycopg
from psycopg import AsyncConnection

from collectors.sql_files.measurement import SQL_DIR
from model.errors import InvalidError
from runtime.deadline import DeadlineConnection, reason_of_database

CONNECT_TIMEOUT_S = 3.0
GRACE_S = 0.5
"""How much longer than the server we wait, so that its reason is the one that is told."""

HOST = r"(?:\[[^\]\s]+\]|[^\[\]@:/?#,\s]*)(?::\d+)?"
ADDRESS = re.compile(
    rf"postgres(?:ql)?://(?:[^@/?#\s]*@)?{HOST}(?:,{HOST})*(?:/[^@/?#\s]*)?(?:\?\S*)?"
)

BOUNDS = (SQL_DIR / "bounds.sql").read_bytes()
UNLOCK = (SQL_DIR / "unlock.sql").read_bytes()


class AddressError(InvalidError):
    """The address cannot be had, or is none; the message never holds any of it."""


class LostError(Exception):
    """The connection is gone, and whatever was asked on it."""


class ReadOnly:
    """Connects when it is first needed, and again after the connection was lost.

    `address` is asked at each connect and may raise AddressError. With `schema`, names without one
    are looked for there alone.
    """

    def __init__(self, address: Callable[[], str], schema: str | None = None) -> None:
        self._address = address
        self._schema = schema
        self._connection: AsyncConnection[Any] | None = None

    async def connect(self) -> None:
        """Make sure of a connection that answers."""
        if self._connection is not None:
            with suppress(psycopg.Error, TimeoutError):
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    await self._connection.execute("")
                return
            await self.close()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                self._connection = await _open(self._address())
        except TimeoutError:
            raise LostError(f"no connection within {CONNECT_TIMEOUT_S:g} s") from None

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    @asynccontextmanager
    async def transaction(self, timeout_s: float) -> AsyncIterator[AsyncConnection[Any]]:
        """Yield the connection in a transaction that is rolled back: there is nothing to keep.

        What a query did to its session, or wanted to tell others, ends there as well. Raises
        LostError when the database does not answer.
        """
        connection = self._connection
        if connection is None:
            raise LostError("not connected")
        bounds = {"schema": self._schema, "timeout_ms": round(1000 * timeout_s)}
        try:
            async with (
                asyncio.timeout(timeout_s + GRACE_S),
                connection.transaction(force_rollback=True),
            ):
                await connection.execute(BOUNDS, bounds)
                yield connection
        except TimeoutError:
            await self.close()
            raise LostError(f"no answer within {timeout_s:g} s") from None
        except psycopg.Error as error:
            if not connection.closed:
                raise
            await self.close()
            raise LostError(reason_of_database(error)) from None

    async def unlock(self) -> None:
        """Give up every lock that was taken, with the connection if need be."""
        if self._connection is None:
            return
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._connection.execute(UNLOCK)
        except (psycopg.Error, TimeoutError):
            await self.close()


def check_address(address: str) -> None:
    """Refuse what is none before the driver does: it repeats parts, even of the password."""
    if address.startswith("postgres") and not ADDRESS.fullmatch(address):
        raise AddressError(
            "the address is no postgresql://user:password@host:port/database; "
            "special characters in it are written as %XX"
        )


async def _open(address: str) -> AsyncConnection[Any]:
    check_address(address)
    try:
        connection = await DeadlineConnection.connect(
            address,
            autocommit=True,
            prepare_threshold=None,
            fallback_application_name="vigia",
        )
    except psycopg.ProgrammingError:
        raise AddressError("the address has an option that is unknown or malformed") from None
    await connection.set_read_only(True)
    return connection
