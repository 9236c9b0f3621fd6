"""The errors of a database that answers but cannot be written to. The sent data are valid."""

import psycopg
from psycopg import errors

CAUSES: dict[type[psycopg.Error], str] = {
    errors.ReadOnlySqlTransaction: "the database is read-only",
    errors.UndefinedTable: "the database lacks tables of Vigia: it is empty, or the wrong one",
    errors.UndefinedColumn: "the database has another schema than this version of Vigia",
    errors.UndefinedFunction: "the database has another schema than this version of Vigia",
    errors.InvalidSchemaName: "the database lacks Vigia's schema: it is empty, or the wrong one",
    errors.InsufficientPrivilege: "the database's role lacks a permission",
    errors.ForeignKeyViolation: "the database lacks series that it had before",
    errors.SequenceGeneratorLimitExceeded: "the database has no number left for a new series",
    errors.DiskFull: "the disk of the database is full",
}
"""The cause of each error, for an operator."""

UNFIT: tuple[type[psycopg.Error], ...] = tuple(CAUSES)
