"""Classifies the errors of database calls by their cause: the data, the load, or the database.

Only an error about the data itself may reject the data. A database that is read-only, empty, older
than before, or out of space also answers with an error, but the data are valid and are kept.
"""

from enum import Enum, auto

import psycopg
from psycopg import errors

from db.pool import AwayError, BusyError, cause_of
from db.unfit import UNFIT
from model.errors import DomainError, UnavailableError


class Failure(Enum):
    """The cause of an error. It decides what happens to the data."""

    REFUSED = auto()
    """The data are invalid: the database will never accept them."""
    BUSY = auto()
    """Every connection is in use, but the database works."""
    AWAY = auto()
    """The database cannot be reached or written to. The data wait for it."""
    UNCLEAR = auto()
    """The database answers, but the error names no clear cause. The data wait and are retried."""


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
"""Subclasses of OperationalError that concern one statement, while the database works: it took too
long, conflicted with another, or needed too much."""

OUTAGES: tuple[type[Exception], ...] = (
    *UNFIT,
    psycopg.OperationalError,
    psycopg.InterfaceError,
    TimeoutError,
)
FAILURES: tuple[type[Exception], ...] = (psycopg.Error, TimeoutError, DomainError, UnicodeError)
"""All errors of a database call. UnicodeError is for a text that is not valid UTF-8."""


def failure_of(error: BaseException) -> Failure:
    """Return the cause of an error of a database call."""
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
    """Return whether an error is a defect of this program, and did not come from a server."""
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
        return "an internal error of Vigia; the log has the details"
    return cause_of(error)
