"""Sorts the errors of a call to the database by their cause: the data, the load, or the database.

Only an error that is about the data itself may condemn it. A database that is read-only, empty,
older than it was, or out of space answers too, but what was sent to it is right and is kept.
"""

from enum import Enum, auto

import psycopg
from psycopg import errors

from db.pool import AwayError, BusyError, cause_of
from db.unfit import UNFIT
from model.errors import DomainError, UnavailableError


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


REFUSED = (psycopg.DataError, errors.CheckViolation, DomainError, UnicodeError)

PASSING: tuple[type[Exception], ...] = (
    errors.QueryCanceled,
    errors.SerializationFailure,
    errors.DeadlockDetected,
    errors.LockNotAvailable,
    errors.ObjectNotInPrerequisiteState,
    errors.ConfigurationLimitExceeded,
    errors.ProgramLimitExceeded,
    errors.StatementTooComplex,
)
"""Errors that psycopg files under an outage, and that concern one statement of a database that is
well: it took too long, met another one, or held too much."""

OUTAGES: tuple[type[Exception], ...] = (
    *UNFIT,
    psycopg.OperationalError,
    psycopg.InterfaceError,
    TimeoutError,
)
FAILURES: tuple[type[Exception], ...] = (psycopg.Error, TimeoutError, DomainError, UnicodeError)
"""All that a call to the database raises; UnicodeError for a text that UTF-8 cannot hold."""


def failure_of(error: BaseException) -> Failure:
    """Return what an error of a call to the database is about."""
    if isinstance(error, BusyError):
        return Failure.BUSY
    if isinstance(error, UNFIT):
        return Failure.AWAY
    if isinstance(error, REFUSED):
        return Failure.REFUSED
    if isinstance(error, PASSING):
        return Failure.UNCLEAR
    if isinstance(error, OUTAGES):
        return Failure.AWAY
    return Failure.UNCLEAR


def is_defect(error: Exception) -> bool:
    """Whether an error is a mistake of this program; no server has said it."""
    if isinstance(error, psycopg.ProgrammingError):
        return error.sqlstate is None
    return not isinstance(error, (psycopg.Error, OSError, UnavailableError))


def describe(error: BaseException) -> str:
    """Return the cause in one line for an operator, without the server's address."""
    if isinstance(error, AwayError):
        return str(error)
    if isinstance(error, TimeoutError) and not str(error):
        return "the database does not answer in time"
    if not isinstance(error, FAILURES):
        return f"something went wrong inside ({type(error).__name__}); the log says what"
    return cause_of(error)
