"""Writes the result of a query as a table, as CSV, or as JSON."""

import csv
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import zip_longest
from typing import TextIO

import msgspec
from rich.cells import cell_len

from db.console import Cursor
from model.errors import InvalidError
from model.text import clean

TABLE_ROWS_MAX = 1000
"""Most rows of a table. CSV and JSON have no limit."""
BATCH_ROWS = TABLE_ROWS_MAX + 1

NUMBERS = {20, 21, 23, 26, 700, 701, 1700}
"""Types whose columns are right-aligned: integers, floats and numeric."""

Batches = AsyncIterator[Cursor]

_json = msgspec.json.Encoder(enc_hook=str, decimal_format="number")


async def write_table(batches: Batches, out: TextIO) -> None:
    """Write at most TABLE_ROWS_MAX rows, and whether there are more."""
    cursor = await anext(batches)
    rows = texts(cursor)
    shown = rows[:TABLE_ROWS_MAX]
    columns = names(cursor)
    numbers = [column.type_code in NUMBERS for column in cursor.description or ()]
    out.writelines(f"{line}\n" for line in table(columns, shown, numbers))
    more = "; there are more rows: add LIMIT, or use --csv" if len(rows) > len(shown) else ""
    out.write(f"({len(shown)} row{'' if len(shown) == 1 else 's'}{more})\n")


async def write_csv(batches: Batches, out: TextIO) -> None:
    writer = csv.writer(out, lineterminator="\n")
    is_first = True
    async for cursor in batches:
        if is_first:
            writer.writerow(names(cursor))
        is_first = False
        writer.writerows(texts(cursor))


async def write_json(batches: Batches, out: TextIO) -> None:
    """Write an array of objects, one on each line."""
    separator = "["
    async for cursor in batches:
        columns = _unique_names(names(cursor))
        for row in await cursor.fetchall():
            line = _json.encode(dict(zip(columns, row, strict=True))).decode()
            out.write(f"{separator}{line}")
            separator = ",\n "
    out.write("[]\n" if separator == "[" else "]\n")


def names(cursor: Cursor) -> list[str]:
    return [column.name for column in cursor.description or ()]


def texts(cursor: Cursor) -> list[list[str]]:
    """Return the rows in PostgreSQL's text format; NULL becomes an empty text."""
    result = cursor.pgresult
    assert result is not None  # noqa: S101 (for the type checker: a query was run)
    return [
        [(result.get_value(row, column) or b"").decode() for column in range(result.nfields)]
        for row in range(result.ntuples)
    ]


def table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], at_right: Sequence[bool]
) -> Iterator[str]:
    """Yield the lines of a table whose columns are as wide as their longest cell."""
    cells = [[_lines(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(cell_len(line) for row in cells for line in row[i]) for i in range(len(columns))]
    for place, row in enumerate(cells):
        for lines in zip_longest(*row, fillvalue=""):
            padded = map(_pad, lines, widths, at_right)
            yield " " + " | ".join(padded).rstrip()
        if place == 0:
            yield "+".join("-" * (width + 2) for width in widths)


def _lines(cell: str) -> list[str]:
    """Return the lines of a cell without control characters, which could affect the terminal."""
    return [clean(line) for line in cell.split("\n")]


def _pad(text: str, width: int, at_right: bool) -> str:
    space = " " * (width - cell_len(text))
    return space + text if at_right else text + space


def _unique_names(columns: Sequence[str]) -> Sequence[str]:
    """Return the names. Raises InvalidError for duplicates: a JSON object would lose one."""
    for name in columns:
        if columns.count(name) > 1:
            raise InvalidError(f"two columns are named {name}; rename one with AS")
    return columns
