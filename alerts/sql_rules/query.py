"""Runs the SQL of rules under a login that may only read."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any, TypeVar

import msgspec
import psycopg
from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo

from db import queries
from db.queries import Connection
from model.limits import SET_BACK_MAX
from model.rows import LABEL_PREFIX, Answer
from model.series import Category
from model.text import clean
from runtime.deadline import ClosingConnection, reason_of_database

_QUERIES = queries.load(__file__)
_PARTS = queries.load_parts(__file__)
ROLE = _QUERIES["role"]
OPEN = _QUERIES["open"]
DUE = _QUERIES["due"]
BOUNDS = _QUERIES["bounds"]
IS_READER = _QUERIES["is_reader"]
CLAIM = _QUERIES["claim"]
ALONE = _PARTS["alone"].splitlines()[-1]
EXPLAIN = _PARTS["explain"].splitlines()[-1]
ANSWER = _QUERIES["answer"]
END_LATE = _QUERIES["end_late"]

TIMEOUT_S = 2.0
GRACE_S = 1.0
"""How much longer than the server's own timeout we wait, so that its error arrives first."""
END_S = 0.5
"""Time limit for ending statements that outlived their deadline."""
NAME_BYTES_MAX = 63
"""PostgreSQL cuts longer application names."""
ROW_CHARS_MAX = 10_000
CHARS_MAX = 1_000_000
"""Limit for all rows together."""
VALUE, COMPONENT = "value", "component"
"""The columns that a row may have besides its labels; `value` is required."""


Result = TypeVar("Result")


class SqlRuleError(Exception):
    """The SQL of a rule has no usable result; the message says why."""


class LostError(SqlRuleError):
    """Another session ended the connection; the SQL of this rule may not be the cause."""


class SqlRule(Struct, frozen=True):
    """A rule of kind `sql`. Rows without a component belong to the component of the rule."""

    id: int
    name: str
    metric: str
    component: str | None
    category: Category | None
    sql: str
    has_failed: bool

    @property
    def session_name(self) -> str:
        """The application name of the session that runs it."""
        name = f"vigia rule {self.id} {self.name}"
        return name.encode()[:NAME_BYTES_MAX].decode(errors="ignore")


async def due(connection: Connection) -> list[SqlRule]:
    """Return every enabled SQL rule."""
    return await queries.rows(connection, SqlRule, DUE)


async def claim(connection: Connection, at: datetime) -> bool:
    """Claim a minute for this replica; return True for exactly one of several callers."""
    return await queries.run(connection, CLAIM, at=at, set_back_max=SET_BACK_MAX) > 0


async def open_login(connection: Connection) -> str:
    """Open the read-only login with a new random password; return its DSN, valid for a minute.

    The password is sent as a SCRAM verifier, so it appears in no server log. Raises
    InsufficientPrivilege if the user of this connection may not create roles.
    """
    role: str = await queries.value(connection, ROLE)
    password = secrets.token_urlsafe(32)
    verifier = connection.pgconn.encrypt_password(
        password.encode(), role.encode(), b"scram-sha-256"
    )
    await queries.run(connection, OPEN, role=role, verifier=verifier.decode())
    dsn = connection.info.dsn
    return make_conninfo(dsn, user=role, password=password, passfile="", options="")


async def end_late(dsn: str, timeout_s: float = TIMEOUT_S) -> list[str]:
    """End every session of the login that is past its deadline; return their names.

    Raises psycopg.Error or TimeoutError.
    """
    async with (
        asyncio.timeout(END_S),
        await ClosingConnection.connect(dsn, autocommit=True) as connection,
    ):
        # Half of the grace: a session starts before its statement, so it is older than that.
        cursor = await connection.execute(END_LATE, {"after_s": timeout_s + GRACE_S / 2})
        return [name for (name,) in await cursor.fetchall()]


async def ask(
    dsn: str, sql: str, timeout_s: float = TIMEOUT_S, session_name: str = "vigia rule"
) -> Answer:
    """Run the SQL on a new connection, which is then closed. Raises SqlRuleError."""
    return _answer(await _in_time(dsn, timeout_s, _rows(dsn, sql, timeout_s, session_name)))


async def explain(dsn: str, sql: str, timeout_s: float = TIMEOUT_S) -> None:
    """Have the database parse and plan the SQL, without running it. Raises SqlRuleError."""
    await _in_time(dsn, timeout_s, _plan(dsn, sql, timeout_s))


async def _in_time(dsn: str, timeout_s: float, work: Coroutine[Any, Any, Result]) -> Result:
    """Return what the work returns. Raises SqlRuleError for an error, or past the deadline."""
    deadline = asyncio.timeout(timeout_s + GRACE_S)
    late = SqlRuleError(f"no answer within {timeout_s:g} s")
    try:
        async with deadline:
            return await work
    except psycopg.errors.QueryCanceled:
        raise late from None
    except (TimeoutError, psycopg.Error) as error:
        if deadline.expired():
            with suppress(TimeoutError, psycopg.Error):
                await end_late(dsn, timeout_s)
            raise late from None
        raise _fault(error) from None


def _fault(error: TimeoutError | psycopg.Error) -> SqlRuleError:
    if isinstance(error, TimeoutError):
        return SqlRuleError("the connection timed out")
    kind = LostError if isinstance(error, psycopg.errors.AdminShutdown) else SqlRuleError
    return kind(reason_of_database(error))


async def _rows(dsn: str, sql: str, timeout_s: float, session_name: str) -> list[str]:
    async with _prepared(dsn, sql, timeout_s, session_name) as connection:
        return await _read(connection, sql)


async def _plan(dsn: str, sql: str, timeout_s: float) -> None:
    async with _prepared(dsn, sql, timeout_s, "vigia rule check") as connection:
        await connection.execute(EXPLAIN + sql.encode() + b"\n) AS answer")


@asynccontextmanager
async def _prepared(
    dsn: str, sql: str, timeout_s: float, session_name: str
) -> AsyncIterator[AsyncConnection[Any]]:
    """Open a read-only transaction with limits, in which the SQL is prepared."""
    async with await ClosingConnection.connect(
        dsn, autocommit=True, application_name=session_name
    ) as connection:
        await connection.set_read_only(True)
        async with connection.transaction(force_rollback=True):
            if not await queries.value(connection, IS_READER):
                raise SqlRuleError(
                    "the login for SQL rules has more rights than reading, so it is not used"
                )
            await queries.run(connection, BOUNDS, timeout_ms=round(1000 * timeout_s))
            # binary=True makes psycopg use the extended protocol, which accepts one statement only.
            # So the SQL of a rule cannot end the transaction and start another statement.
            await connection.execute(ALONE + b" " + sql.encode(), binary=True)
            yield connection


async def _read(connection: AsyncConnection[Any], sql: str) -> list[str]:
    """Return the rows. They are streamed, so that a result beyond CHARS_MAX is never in memory."""
    rows: list[str] = []
    chars = 0
    async for (row,) in connection.cursor().stream(ANSWER, {"sql": sql}):
        chars += len(row)
        if chars <= CHARS_MAX:
            rows.append(row)
    if chars > CHARS_MAX:
        raise SqlRuleError(f"the rows have more than {CHARS_MAX:,} characters together")
    return rows


def _answer(rows: Sequence[str]) -> Answer:
    """Return JSON rows as an answer. Without rows its columns are unknown: `value` is assumed."""
    decoded = [_fields(row) for row in rows]
    columns = list(decoded[0]) if decoded else [VALUE]
    for column in columns:
        if column not in {VALUE, COMPONENT} and not column.startswith(LABEL_PREFIX):
            raise SqlRuleError(
                f"column {clean(column)} is not allowed; name it {VALUE}, {COMPONENT} "
                f"or {LABEL_PREFIX}…"
            )
    fields = [[row[column] for column in columns] for row in decoded]
    return Answer(columns, fields, component_column=COMPONENT)


def _fields(row: str) -> dict[str, object]:
    """Return a row's fields by their columns."""
    if len(row) > ROW_CHARS_MAX:
        raise SqlRuleError(f"a row has more than {ROW_CHARS_MAX:,} characters")
    try:
        fields = msgspec.json.decode(row, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise SqlRuleError(f"a row cannot be read: {error}") from None
    return {column: field if column == VALUE else _name(field) for column, field in fields.items()}


def _name(field: object) -> str | None:
    """Return a label or component as text, in JSON notation; None for an empty text."""
    if field is None or isinstance(field, str):
        return field or None
    return msgspec.json.encode(field).decode()
