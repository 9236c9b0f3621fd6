"""Errors of a database that answers and cannot be written to: no fault of what was sent to it."""

import psycopg
from psycopg import errors

CAUSES: dict[type[psycopg.Error], str] = {
    errors.ReadOnlySqlTransaction: "the database is read-only",
    errors.UndefinedTable: "the database lacks tables of Vigia: it is empty, or another one",
    errors.UndefinedColumn: "the database has another schema than this version of Vigia",
    errors.UndefinedFunction: "the database has another schema than this version of Vigia",
    errors.InvalidSchemaName: "the database lacks the schema of Vigia: it is empty, or another one",
    errors.InsufficientPrivilege: "the database's role lacks a permission",
    errors.ForeignKeyViolation: "the database does not hold the series that it held before",
    errors.SequenceGeneratorLimitExceeded: "the database has no number left for another series",
    errors.DiskFull: "the disk of the database is full",
}
"""The cause of each in words for an operator."""

UNFIT: tuple[type[psycopg.Error], ...] = tuple(CAUSES)
