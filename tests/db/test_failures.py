"""Only an error about the data itself rejects the data."""

import psycopg
import pytest
from psycopg import errors

from db.failures import Failure, describe, failure_of, is_defect
from db.pool import AwayError, BusyError
from model.errors import InvalidError, UnavailableError


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.NumericValueOutOfRange(), Failure.REFUSED),
        (errors.UntranslatableCharacter(), Failure.REFUSED),
        (errors.CheckViolation(), Failure.REFUSED),
        (InvalidError("a value"), Failure.REFUSED),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed"), Failure.REFUSED),
        (BusyError(), Failure.BUSY),
        (AwayError("refused"), Failure.AWAY),
        (errors.ReadOnlySqlTransaction(), Failure.AWAY),
        (errors.UndefinedTable(), Failure.AWAY),
        (errors.InsufficientPrivilege(), Failure.AWAY),
        (errors.InvalidSchemaName(), Failure.AWAY),
        (errors.ForeignKeyViolation(), Failure.AWAY),
        (errors.DiskFull(), Failure.AWAY),
        (errors.AdminShutdown(), Failure.AWAY),
        (psycopg.InterfaceError(), Failure.AWAY),
        (TimeoutError(), Failure.AWAY),
        (errors.InternalError_("no chunk"), Failure.UNCLEAR),
        (errors.UniqueViolation(), Failure.UNCLEAR),
        (errors.ProgramLimitExceeded("index row size 8200"), Failure.UNCLEAR),
        (errors.ConfigurationLimitExceeded(), Failure.UNCLEAR),
        (errors.QueryCanceled(), Failure.UNCLEAR),
        (errors.DeadlockDetected(), Failure.UNCLEAR),
        (errors.SerializationFailure(), Failure.UNCLEAR),
        (errors.LockNotAvailable(), Failure.UNCLEAR),
        (errors.SequenceGeneratorLimitExceeded(), Failure.AWAY),
    ],
)
def test_an_error_is_about_the_data_the_load_or_the_database(
    error: Exception, expected: Failure
) -> None:
    assert failure_of(error) is expected


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errors.ReadOnlySqlTransaction(), "the database is read-only"),
        (AwayError("the database is away: refused"), "the database is away: refused"),
        (TimeoutError(), "the database does not answer in time"),
        (TypeError("x"), "an internal error of Vigia; the log has the details"),
        (psycopg.OperationalError('connection to "10.0.0.9" failed: no such role'), "no such role"),
    ],
)
def test_the_cause_is_one_line_for_an_operator(error: Exception, words: str) -> None:
    assert describe(error) == words


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TypeError("x"), True),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed"), True),
        (InvalidError("a value"), True),
        (psycopg.ProgrammingError("the query has 1 placeholder but 2 parameters"), True),
        (errors.UndefinedTable(), False),
        (errors.WrongObjectType('"series" is a view'), False),
        (errors.InternalError_("no chunk"), False),
        (BusyError(), False),
        (TimeoutError(), False),
        (OSError(5, "Input/output error"), False),
        (UnavailableError("the spool is full"), False),
    ],
)
def test_a_defect_of_the_program_is_distinguished_from_errors_of_a_server_or_the_disk(
    error: Exception, expected: bool
) -> None:
    assert is_defect(error) is expected
