"""Sorts the errors of a call to the database by their cause: the data, the load, or the database.

Only an error that is about the data itself may condemn it. A database that is read-only, empty,
older than it was, or out of space answers too, but what was sent to it is right and is kept.
"""

from enum import Enum, auto

import psycopg
from psycopg import errors

from db.pool import AwayError, BusyError, cause_of
from db.unfit import CAUSES, UNFIT
from vigia.model import DomainError


class Failure(Enum):
    """The cause of an error, which decides what happens to the data."""

    REFUSED = auto()
    """The data itself: the database will never take it."""
    BUSY = auto()
    """Every connection is in use; the database is well."""
    AWAY = auto()
    """The database cannot be reached, or cannot be written to; the data waits for it."""
    UNCLEAR = auto()
    """The database answers, and does not say whose fault it is; the data waits and is retried."""


REFUSED = (psycopg.DataError, errors.CheckViolation, errors.NotNullViolation, DomainError)

OUTAGES: tuple[type[Exception], ...] = (
    *UNFIT,
    psycopg.OperationalError,
    psycopg.InterfaceError,
    TimeoutError,
)
FAILURES: tuple[type[Exception], ...] = (psycopg.Error, TimeoutError, DomainError)
"""All that a call to the database raises."""


def failure_of(error: BaseException) -> Failure:
    """Return what an error of a call to the database is about."""
    if isinstance(error, BusyError):
        return Failure.BUSY
    if isinstance(error, REFUSED):
        return Failure.REFUSED
    if isinstance(error, OUTAGES):
        return Failure.AWAY
    return Failure.UNCLEAR


def describe(error: BaseException) -> str:
    """Return the cause in one line for an operator, without the server's address."""
    for kind, words in CAUSES.items():
        if isinstance(error, kind):
            detail = error.diag.message_primary
            return f"{words} ({detail})" if detail else words
    if isinstance(error, AwayError):
        return str(error)
    if isinstance(error, TimeoutError) and not str(error):
        return "the database does not answer in time"
    return cause_of(error)
