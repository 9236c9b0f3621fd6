"""A read-only connection to a user's database, with a deadline for each statement."""

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
"""The client waits this much longer than the server's statement_timeout, so that the reason in the
message comes from the server."""

HOST = r"(?:\[[^\]\s]+\]|[^\[\]@:/?#,\s]*)(?::\d+)?"
ADDRESS = re.compile(
    rf"postgres(?:ql)?://(?:[^@/?#\s]*@)?{HOST}(?:,{HOST})*(?:/[^@/?#\s]*)?(?:\?\S*)?"
)

BOUNDS = (SQL_DIR / "bounds.sql").read_bytes()
UNLOCK = (SQL_DIR / "unlock.sql").read_bytes()


class AddressError(InvalidError):
    """The address is missing or invalid. The message contains no part of it."""


class LostError(Exception):
    """The connection is lost, and with it the running query."""


class ReadOnly:
    """A connection that is opened when it is first needed, and again after it was lost.

    `address` is called for each connect and may raise AddressError. With `schema`, unqualified
    names are looked up in that schema only.
    """

    def __init__(self, address: Callable[[], str], schema: str | None = None) -> None:
        self._address = address
        self._schema = schema
        self._connection: AsyncConnection[Any] | None = None

    async def connect(self) -> None:
        """Open the connection, or check that it still answers.

        Raises LostError, AddressError, or psycopg.Error.
        """
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
        """Yield the connection in a transaction that is always rolled back.

        The rollback also undoes settings and notifications of the query. Raises LostError when the
        database does not answer within `timeout_s` seconds.
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
        """Release every advisory lock, or close the connection if that fails."""
        if self._connection is None:
            return
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._connection.execute(UNLOCK)
        except (psycopg.Error, TimeoutError):
            await self.close()


def check_address(address: str) -> None:
    """Raise AddressError for an invalid address, before the driver sees it.

    The driver's own message would quote parts of it, even of the password.
    """
    if address.startswith("postgres") and not ADDRESS.fullmatch(address):
        raise AddressError(
            "the address must have the form postgresql://user:password@host:port/database; "
            "write special characters in it as %XX"
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
        raise AddressError("the address has an unknown or invalid option after ?") from None
    await connection.set_read_only(True)
    return connection
