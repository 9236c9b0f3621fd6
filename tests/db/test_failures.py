"""Only an error about the data itself may condemn the data."""

import psycopg
import pytest
from psycopg import errors

from db.failures import Failure, describe, failure_of
from db.pool import AwayError, BusyError
from vigia.model import InvalidError


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.NumericValueOutOfRange(), Failure.REFUSED),
        (errors.UntranslatableCharacter(), Failure.REFUSED),
        (errors.CheckViolation(), Failure.REFUSED),
        (InvalidError("a value"), Failure.REFUSED),
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
        (psycopg.OperationalError('connection to "10.0.0.9" failed: no such role'), "no such role"),
    ],
)
def test_the_cause_is_one_line_for_an_operator(error: Exception, words: str) -> None:
    assert describe(error) == words
