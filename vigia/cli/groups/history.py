"""`vigia history`: prints the history of metrics as a table, or exports it to a file."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import click
from msgspec import Struct
from rich.table import Table

from api.metrics.export import ROWS_ESTIMATE
from api.paths import BASE
from history.export.formats import MEDIA_TYPES
from history.reader import AGGREGATES
from model.principal import Role
from model.text import clean
from vigia.cli import client, terminal
from vigia.cli.client import Client, Query

PATH = f"{BASE}/metrics/history"
TABLE, JSON = "table", "json"
SUFFIXES = {".jsonl": "ndjson", ".json": JSON} | {f".{name}": name for name in MEDIA_TYPES}
TABLE_POINTS = "25"
"""Buckets of a table with step `auto`, so that it fits on a screen."""
ARROW_ROW_BYTES, ARROW_VALUE_BYTES = 32, 8
WHOLE_FROM = 1e5
"""From this value on, a table shows no fractions."""


class Wanted(Struct, kw_only=True):
    """The options of the command line."""

    metrics: tuple[str, ...]
    component: str | None
    labels: tuple[str, ...]
    start: str
    end: str
    step: str
    aggregates: tuple[str, ...]
    group_by: tuple[str, ...]
    tz: str
    form: str | None
    output: Path | None
    as_json: bool
    url: str | None
    key: str | None

    @property
    def format(self) -> str:
        """The format given, else by the ending of the file's name, else a table."""
        if self.as_json:
            return JSON
        if self.form is None and self.output is not None:
            if self.output.suffix not in SUFFIXES:
                raise click.UsageError(
                    f"the ending of {self.output.name} names no format; set --format"
                )
            return SUFFIXES[self.output.suffix]
        return self.form or TABLE

    @property
    def query(self) -> Query:
        """The options as query parameters of the API."""
        given = [("start", self.start), ("end", self.end), ("step", self.step), ("tz", self.tz)]
        if self.component is not None:
            given.append(("component", self.component))
        given += [("metric", name) for name in self.metrics]
        given += [("agg", name) for name in self.aggregates]
        given += [("group_by", name) for name in self.group_by]
        for label in self.labels:
            name, equals, value = label.partition("=")
            if not equals:
                raise click.UsageError(f"--label {label}: write NAME=VALUE")
            given.append((f"label.{name}", value))
        return given


@click.command("history")
@click.argument("metrics", nargs=-1, required=True, metavar="METRIC...")
@click.option("--component", help="Only this component.")
@click.option(
    "--label", "labels", multiple=True, metavar="NAME=VALUE", help="Also NAME!=VALUE, NAME=~REGEX."
)
@click.option("--start", default="-1h", show_default=True, help="RFC 3339, epoch s, or -24h.")
@click.option("--end", default="now", show_default=True, help="Exclusive.")
@click.option("--step", default="auto", show_default=True, help="15s, 5m, 1d; raw for samples.")
@click.option(
    "--agg", "aggregates", multiple=True, help=f"{', '.join(AGGREGATES)}.  [default: avg]"
)
@click.option(
    "--group-by", multiple=True, metavar="LABEL", help="Combine series with equal values of it."
)
@click.option("--tz", default="UTC", show_default=True, help="Time zone of days.")
@click.option("--format", "form", type=click.Choice([TABLE, JSON, *MEDIA_TYPES]))
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write a file.")
@terminal.json_option
@client.options
def history_command(**given: Any) -> None:
    """Show the history of metrics, or export it.

    The ending of a file's name selects its format. The file appears when it is complete.
    """
    wanted = Wanted(**given)
    if wanted.format == "arrow" and wanted.output is None and sys.stdout.isatty():
        raise click.UsageError(
            "Arrow is a binary format; set --output, or pipe it to another program"
        )
    if wanted.format == TABLE and wanted.output is not None:
        raise click.UsageError(
            f"a table is only for the terminal; use --format {', '.join(MEDIA_TYPES)}"
        )

    query = wanted.query

    async def show() -> None:
        async with client.open_client(wanted.url, wanted.key, Role.VIEWER) as service:
            if wanted.format == TABLE:
                found = await service.ask("GET", PATH, [*query, ("points", TABLE_POINTS)])
                _print(found)
            else:
                await _download(service, wanted, [*query, ("format", wanted.format)])

    terminal.run(show)


async def _download(service: Client, wanted: Wanted, query: Query) -> None:
    with _file(wanted.output) as file:
        async with service.stream("GET", PATH, query) as answer:
            rows = int(answer.headers.get(ROWS_ESTIMATE, 0)) or None
            with terminal.progress("rows", rows, shown=wanted.output is not None) as advance:
                async for chunk in answer.content.iter_any():
                    file.write(chunk)
                    advance(_rows_of(chunk, wanted))


def _rows_of(chunk: bytes, wanted: Wanted) -> float:
    if wanted.format != "arrow":
        return chunk.count(b"\n")
    return len(chunk) / (ARROW_ROW_BYTES + ARROW_VALUE_BYTES * max(1, len(wanted.aggregates)))


@contextmanager
def _file(output: Path | None) -> Iterator[BinaryIO]:
    """Yield a file to write to. An output file appears only if the block succeeds."""
    if output is None:
        try:
            yield terminal.binary_output()
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            # The reader has closed the pipe. Without this, the flush at exit would fail too.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(terminal.EXIT_FAILURE)
        return
    part = output.with_name(f"{output.name}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(output)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _print(history: dict[str, Any]) -> None:
    """Print a table for each series, without empty buckets."""
    for series in history["series"]:
        values = series["values"]
        table = Table("time", box=None, header_style="bold", title_justify="left")
        table.title = clean(_title(series))
        for name in values:
            table.add_column(name, justify="right")
        for time, *row in zip(history["time"], *values.values(), strict=True):
            if any(value is not None for value in row):
                table.add_row(
                    f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M:%S}Z", *map(_number, row)
                )
        terminal.print_rich(table)
    if not history["series"]:
        terminal.echo("no series matches; GET /metrics lists all series")


def _title(series: dict[str, Any]) -> str:
    labels = ", ".join(f"{name}={value}" for name, value in series["labels"].items())
    component = f" of {series['component']}" if series["component"] else ""
    return f"{series['metric']}{component}{f' ({labels})' if labels else ''}"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= WHOLE_FROM else f"{value:.6g}"
