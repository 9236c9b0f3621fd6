"""Questions of rules in SQL of their own, asked as a login that may read and do nothing else."""

import asyncio
import re
import secrets
from collections.abc import Generator
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeVar

import msgspec
import psycopg
from msgspec import Struct
from psycopg import AsyncConnection, waiting
from psycopg.conninfo import make_conninfo

from db import queries
from db.queries import Connection
from vigia.model import Category, Labels, labels_of
from vigia.text import UNSAFE_WORDS, clean, is_safe

_QUERIES = queries.load("questions")
_PARTS = queries.load_parts("questions")
ROLE = _QUERIES["role"]
OPEN = _QUERIES["open"]
DUE = _QUERIES["due"]
BOUNDS = _QUERIES["bounds"]
IS_READER = _QUERIES["is_reader"]
CLAIM = _QUERIES["claim"]
ALONE = _PARTS["alone"].splitlines()[-1]
ANSWER = _QUERIES["answer"]
END_LATE = _QUERIES["end_late"]

ROWS_METRIC = "alert_question_rows"
"""How many rows an answer had: a minute without a sample of it is one without an answer."""
TIMEOUT_S = 2.0
GRACE_S = 1.0
"""How much longer than the server we wait, so that its reason is the one that is told."""
END_S = 0.5
"""How long it may take to end what went on after its deadline."""
NAME_BYTES_MAX = 63
"""What PostgreSQL keeps of the name of an application."""
ROWS_MAX = 1000
ROW_CHARS_MAX = 10_000
CHARS_MAX = 1_000_000
"""Of all rows together."""
LABELS_MAX = 30
VALUE_MAX = 1e140
"""What the database stores at most: the sum of many must not be infinite."""
LABEL_PREFIX = "label_"
TEXT_CHARS_MAX = 250


RV = TypeVar("RV")


class QuestionError(Exception):
    """A question has no answer that could be used; the message says why."""


class LostError(QuestionError):
    """The connection was ended from outside; the question may be innocent."""


class Question(Struct, frozen=True):
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


class Answer(Struct, frozen=True):
    """One row of an answer."""

    component: str | None
    labels: Labels
    value: float


async def due(connection: Connection) -> list[Question]:
    """Return the questions of every rule that is evaluated."""
    return await queries.rows(connection, Question, DUE)


async def claim(connection: Connection, at: datetime) -> bool:
    """Return whether it is for us to ask in a minute; of several who call, one hears yes."""
    return await queries.run(connection, CLAIM, at=at) > 0


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
        await AsyncConnection[Any].connect(dsn, autocommit=True) as connection,
    ):
        # A little less than whole: a session begins before its question does.
        cursor = await connection.execute(END_LATE, {"after_s": timeout_s + GRACE_S / 2})
        return [name for (name,) in await cursor.fetchall()]


async def ask(
    dsn: str, sql: str, timeout_s: float = TIMEOUT_S, session_name: str = "vigia rule"
) -> list[Answer]:
    """Ask on a connection of its own, which ends with the answer. Raises QuestionError."""
    deadline = asyncio.timeout(timeout_s + GRACE_S)
    late = QuestionError(f"no answer within {timeout_s:g} s")
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
    if len(rows) > ROWS_MAX:
        raise QuestionError(f"more than {ROWS_MAX} rows")
    answers = [answer for row in rows if (answer := _answer(row)) is not None]
    if len({(answer.component, answer.labels) for answer in answers}) < len(answers):
        raise QuestionError("two rows have the same component and labels")
    return answers


def _fault(error: TimeoutError | psycopg.Error) -> QuestionError:
    if isinstance(error, TimeoutError):
        return QuestionError("the connection timed out")
    kind = LostError if isinstance(error, psycopg.errors.AdminShutdown) else QuestionError
    return kind(_reason(error))


class _Connection(AsyncConnection[Any]):
    """A connection that a deadline closes at once.

    Psycopg's own asks the server to cancel, and waits for that for seconds, twice.
    """

    async def wait(
        self,
        gen: Generator[Any, Any, RV],
        interval: float = 0.1,
        timeout: float | None = None,  # noqa: ASYNC109 (psycopg's name)
    ) -> RV:
        try:
            return await waiting.wait_async(
                gen, self.pgconn.socket, interval=interval, timeout=timeout
            )
        except asyncio.CancelledError:
            self.pgconn.finish()
            raise


async def _rows(dsn: str, sql: str, timeout_s: float, session_name: str) -> list[str]:
    async with await _Connection.connect(
        dsn, autocommit=True, application_name=session_name
    ) as connection:
        await connection.set_read_only(True)
        async with connection.transaction(force_rollback=True):
            if not await queries.value(connection, IS_READER):
                raise QuestionError("the login for questions may do more than read: it is not used")
            await queries.run(connection, BOUNDS, timeout_ms=round(1000 * timeout_s))
            # The binary format makes psycopg use the protocol that takes one statement only.
            await connection.execute(ALONE + b" " + sql.encode(), binary=True)
            return await _read(connection, sql)


async def _read(connection: AsyncConnection[Any], sql: str) -> list[str]:
    """Return the rows, which come one by one; too many of them are never held."""
    rows: list[str] = []
    chars = 0
    async for (row,) in connection.cursor().stream(ANSWER, {"question": sql}):
        chars += len(row)
        if chars <= CHARS_MAX:
            rows.append(row)
    if chars > CHARS_MAX:
        raise QuestionError(f"more than {CHARS_MAX} characters in all rows")
    return rows


def _answer(row: str) -> Answer | None:
    """Return what a row says; None where it has no value."""
    if len(row) > ROW_CHARS_MAX:
        raise QuestionError(f"a row has more than {ROW_CHARS_MAX} characters")
    try:
        columns = msgspec.json.decode(row, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise QuestionError(f"a row cannot be read: {error}") from None
    component, value = columns.pop("component", None), columns.pop("value", None)
    labels = {
        name.removeprefix(LABEL_PREFIX): text
        for name, given in columns.items()
        if given is not None and (text := _text(name, given))
    }
    if stray := next((name for name in columns if not name.startswith(LABEL_PREFIX)), None):
        raise QuestionError(
            f"column {clean(stray)} is neither value, component nor {LABEL_PREFIX}…"
        )
    if len(labels) > LABELS_MAX or "" in labels:
        raise QuestionError(f"a row has more than {LABELS_MAX} labels, or one without a name")
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) > VALUE_MAX:
        raise QuestionError(f"value is no number that can be stored: {str(value)[:40]}")
    component = None if component is None else _text("component", component)
    return Answer(component, labels_of(labels), float(value))


def _text(name: str, given: object) -> str:
    text = given if isinstance(given, str) else msgspec.json.encode(given).decode()
    if len(text) > TEXT_CHARS_MAX or not is_safe(name + text):
        raise QuestionError(
            f"{clean(name)} has {UNSAFE_WORDS}, or over {TEXT_CHARS_MAX} characters"
        )
    return text


def _reason(error: psycopg.Error) -> str:
    """Say what the database said, with the line of the question but none of its text."""
    reason = error.diag.message_primary or str(error)
    line = re.search(r"^LINE (\d+):", str(error), re.MULTILINE)
    return f"line {line[1]}: {reason}" if line else reason
