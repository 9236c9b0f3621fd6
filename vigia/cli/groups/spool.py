"""`vigia spool …`: acknowledged samples that wait on disk, and those that the database refused."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from samples.spooling import quarantine
from vigia.cli import terminal

WHEN = (
    "to be stored: by the running service once its database takes samples, else by the next one "
    "that starts. What is refused again is in `vigia spool list` then"
)


@click.group("spool")
def spool_group() -> None:
    """Samples that wait on disk for the database."""


def _spool() -> Path:
    """Return the spool's folder; end where no service has ever made one."""
    spool = terminal.settings().data_dir / "spool"
    if not spool.is_dir():
        terminal.echo(
            f"vigia: there is no spool in {spool.parent.absolute()}; run this with the "
            "VIGIA_DATA_DIR of the service",
            err=True,
        )
        sys.exit(terminal.EXIT_FAILURE)
    return spool


@contextmanager
def _disk_errors() -> Iterator[None]:
    """End with what the disk says; of somebody else's files, with who may read them."""
    try:
        yield
    except OSError as error:
        advice = "; run this as the user of the service, or as root"
        said = f"{error.filename}: {error.strerror}"
        terminal.echo(
            f"vigia: {said}{advice if isinstance(error, PermissionError) else ''}", err=True
        )
        sys.exit(terminal.EXIT_FAILURE)


@spool_group.command("list")
@terminal.json_option
def list_command(*, as_json: bool) -> None:
    """List the records in quarantine: what the database refused, and why."""
    with _disk_errors():
        found = quarantine.read(_spool())
    if as_json:
        terminal.print_json({"items": found})
    elif not found:
        terminal.echo("the quarantine is empty")
    else:
        terminal.print_table(
            ["record", "since", "bytes", "samples", "reason"],
            [
                [
                    one.name,
                    f"{one.time:%Y-%m-%d %H:%M:%S}",
                    str(one.bytes),
                    "unreadable" if one.samples is None else str(one.samples),
                    one.reason,
                ]
                for one in found
            ],
        )


@spool_group.command("requeue")
@click.argument("record", nargs=-1)
@click.option("--all", "is_all", is_flag=True, help="Every record in quarantine.")
@terminal.json_option
def requeue_command(record: tuple[str, ...], *, is_all: bool, as_json: bool) -> None:
    """Give RECORD back to be stored, or refused again; also while no service runs."""
    if is_all == bool(record):
        raise click.UsageError("name the records, as `vigia spool list` shows them, or say --all")
    with _disk_errors():
        try:
            moved = quarantine.requeue(_spool(), list(record))
        except FileNotFoundError as error:
            terminal.echo(f"vigia: not in quarantine: {error}; see `vigia spool list`", err=True)
            sys.exit(terminal.EXIT_FAILURE)
    if as_json:
        terminal.print_json({"requeued": moved})
    else:
        terminal.echo(
            f"{len(moved)} {'record waits' if len(moved) == 1 else 'records wait'} {WHEN}"
        )
