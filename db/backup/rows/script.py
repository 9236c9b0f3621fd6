"""The psql script in a backup: it restores the rows without Vigia."""

from collections.abc import Sequence

from psycopg import sql

from db import queries
from db.backup.manifest import NumberSequence
from db.backup.rows.snapshot import Snapshot
from db.backup.tables import Reading, composed
from db.migrate import CREATE_EXTENSION, CREATE_TABLE, ROUTINES, routines, shipped

_QUERIES = queries.load(__file__)
TABLE = _QUERIES["table"]
AGGREGATE = _QUERIES["aggregate"]
EMPTY = _QUERIES["empty"]
SEQUENCE = _QUERIES["sequence"]
APPLIED = _QUERIES["applied"]

_PARTS = queries.load_parts(__file__)
BEGIN = _PARTS["begin"]
END_OF_ROWS = _PARTS["end_of_rows"]
SHOW_AGGREGATES = _PARTS["show_aggregates"]


def begin(snapshot: Snapshot) -> bytes:
    """Return the beginning of the script: it creates the extension and all tables, empty."""
    own = [one.source.name for one in snapshot.readings if not one.source.is_aggregate]
    emptied = _text(EMPTY, tables=sql.SQL(", ").join(map(sql.Identifier, own)))
    migrations = [_transaction(migration.sql) for migration in shipped()]
    return _statements(BEGIN, CREATE_EXTENSION, CREATE_TABLE, *migrations, emptied)


def before_rows(reading: Reading) -> bytes:
    """Return the COPY statement before the rows of a table."""
    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in reading.columns)
    name = reading.source.name
    if reading.source.is_aggregate:
        return _statements(_text(AGGREGATE, name=sql.Literal(name), columns=columns))
    return _statements(_text(TABLE, table=sql.Identifier(name), columns=columns))


def after_rows() -> bytes:
    return END_OF_ROWS + b"\n"


def end(sequences: Sequence[NumberSequence], closing: Sequence[bytes]) -> bytes:
    """Return the end of the script: sequences, routines, aggregates, and `closing`.

    The rows of schema_migrations come last. Without them, no service uses the database.
    """
    numbers = [
        _text(SEQUENCE, name=sql.Literal(one.name), value=sql.Literal(one.last_value))
        for one in sequences
    ]
    texts, checksum = routines()
    applied = [_applied(one.version, one.name, one.checksum) for one in shipped()]
    applied.append(_applied(0, ROUTINES, checksum))
    return _statements(
        *numbers, _transaction(*texts), SHOW_AGGREGATES, *closing, _transaction(*applied)
    )


def _transaction(*texts: bytes) -> bytes:
    return _statements(b"BEGIN", *texts, b"COMMIT")


def _applied(version: int, name: str, checksum: str) -> bytes:
    values = {"version": version, "name": name, "checksum": checksum}
    return _text(APPLIED, **{key: sql.Literal(value) for key, value in values.items()})


def _text(statement: queries.Query, **parts: sql.Composable) -> bytes:
    return composed(statement, **parts).as_bytes()


def _statements(*texts: bytes) -> bytes:
    """Join statements, and end each with a semicolon.

    A missing semicolon goes on a new line, because the last line of a file may be a comment.
    """
    ended = [
        text.rstrip() if text.rstrip().endswith(b";") else text.rstrip() + b"\n;" for text in texts
    ]
    return b"".join(text + b"\n" for text in ended)
