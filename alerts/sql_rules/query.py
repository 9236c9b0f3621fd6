"""The SQL of rules, run as a login that may read and do nothing else."""

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

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
ANSWER = _QUERIES["answer"]
END_LATE = _QUERIES["end_late"]

TIMEOUT_S = 2.0
GRACE_S = 1.0
"""How much longer than the server we wait, so that its reason is the one that is told."""
END_S = 0.5
"""How long it may take to end what went on after its deadline."""
NAME_BYTES_MAX = 63
"""What PostgreSQL keeps of the name of an application."""
ROW_CHARS_MAX = 10_000
CHARS_MAX = 1_000_000
"""Of all rows together."""
VALUE, COMPONENT = "value", "component"
"""The columns that a row may have beside its labels; the first is a must."""


class SqlRuleError(Exception):
    """A rule's SQL has no answer that could be used; the message says why."""


class LostError(SqlRuleError):
    """The connection was ended from outside; its SQL may be innocent."""


class SqlRule(Struct, frozen=True):
    """What a rule asks. Rows without a component belong to that of the rule."""

    id: int
    name: str
    metric: str
    component: str | None
    category: Category | None
    sql: str
    has_failed: bool

    @property
    def session_name(self) -> str:
        """What the server calls the session that asks it."""
        name = f"vigia rule {self.id} {self.name}"
        return name.encode()[:NAME_BYTES_MAX].decode(errors="ignore")


async def due(connection: Connection) -> list[SqlRule]:
    """Return every SQL rule that is evaluated."""
    return await queries.rows(connection, SqlRule, DUE)


async def claim(connection: Connection, at: datetime) -> bool:
    """Return whether it is for us to ask in a minute; of several who call, one hears yes."""
    return await queries.run(connection, CLAIM, at=at, set_back_max=SET_BACK_MAX) > 0


async def open_login(connection: Connection) -> str:
    """Return a DSN for asking, good for a minute; nobody else ever has its password.

    Raises psycopg.Error where the user of this connection may make no roles.
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
    """End every session of the login that is past its deadline; return the names of these.

    Raises psycopg.Error, or TimeoutError.
    """
    async with (
        asyncio.timeout(END_S),
        await ClosingConnection.connect(dsn, autocommit=True) as connection,
    ):
        # A little less than whole: a session begins before its statement does.
        cursor = await connection.execute(END_LATE, {"after_s": timeout_s + GRACE_S / 2})
        return [name for (name,) in await cursor.fetchall()]


async def ask(
    dsn: str, sql: str, timeout_s: float = TIMEOUT_S, session_name: str = "vigia rule"
) -> Answer:
    """Ask on a connection of its own, which ends with the answer. Raises SqlRuleError."""
    deadline = asyncio.timeout(timeout_s + GRACE_S)
    late = SqlRuleError(f"no answer within {timeout_s:g} s")
    try:
        async with deadline:
            rows = await _rows(dsn, sql, timeout_s, session_name)
    except psycopg.errors.QueryCanceled:
        raise late from None
    except (TimeoutError, psycopg.Error) as error:
        if deadline.expired():
            with suppress(TimeoutError, psycopg.Error):
                await end_late(dsn, timeout_s)
            raise late from None
        raise _fault(error) from None
    return _answer(rows)


def _fault(error: TimeoutError | psycopg.Error) -> SqlRuleError:
    if isinstance(error, TimeoutError):
        return SqlRuleError("the connection timed out")
    kind = LostError if isinstance(error, psycopg.errors.AdminShutdown) else SqlRuleError
    return kind(reason_of_database(error))


async def _rows(dsn: str, sql: str, timeout_s: float, session_name: str) -> list[str]:
    async with await ClosingConnection.connect(
        dsn, autocommit=True, application_name=session_name
    ) as connection:
        await connection.set_read_only(True)
        async with connection.transaction(force_rollback=True):
            if not await queries.value(connection, IS_READER):
                raise SqlRuleError("the login for SQL rules may do more than read: it is not used")
            await queries.run(connection, BOUNDS, timeout_ms=round(1000 * timeout_s))
            # The binary format makes psycopg use the protocol that takes one statement only.
            await connection.execute(ALONE + b" " + sql.encode(), binary=True)
            return await _read(connection, sql)


async def _read(connection: AsyncConnection[Any], sql: str) -> list[str]:
    """Return the rows, which come one by one; too many of them are never held."""
    rows: list[str] = []
    chars = 0
    async for (row,) in connection.cursor().stream(ANSWER, {"sql": sql}):
        chars += len(row)
        if chars <= CHARS_MAX:
            rows.append(row)
    if chars > CHARS_MAX:
        raise SqlRuleError(f"more than {CHARS_MAX} characters in all rows")
    return rows


def _answer(rows: Sequence[str]) -> Answer:
    """Return rows of JSON as an answer; without rows nobody knows its columns."""
    decoded = [_fields(row) for row in rows]
    columns = list(decoded[0]) if decoded else [VALUE]
    for column in columns:
        if column not in {VALUE, COMPONENT} and not column.startswith(LABEL_PREFIX):
            raise SqlRuleError(
                f"column {clean(column)} is neither {VALUE}, {COMPONENT} nor {LABEL_PREFIX}…"
            )
    fields = [[row[column] for column in columns] for row in decoded]
    return Answer(columns, fields, component_column=COMPONENT)


def _fields(row: str) -> dict[str, object]:
    """Return a row's fields by their columns."""
    if len(row) > ROW_CHARS_MAX:
        raise SqlRuleError(f"a row has more than {ROW_CHARS_MAX} characters")
    try:
        fields = msgspec.json.decode(row, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise SqlRuleError(f"a row cannot be read: {error}") from None
    return {column: field if column == VALUE else _name(field) for column, field in fields.items()}


def _name(field: object) -> str | None:
    """Return a label or a component as text, as JSON writes it; an empty text names nothing."""
    if field is None or isinstance(field, str):
        return field or None
    return msgspec.json.encode(field).decode()
