"""`vigia spool …`: lists spooled samples that the database refused, and requeues them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from samples.spooling import quarantine
from vigia.cli import terminal

WHEN = (
    "to be stored by the running service, or by the next one that starts. `vigia spool list` shows "
    "records that are refused again"
)


@click.group("spool")
def spool_group() -> None:
    """Samples that wait on disk for the database."""


def _spool() -> Path:
    """Return the folder of the spool; exit if no service has created one."""
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
    """Exit with the error of the disk; for a permission error, add who may read the files."""
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
    """List the records in quarantine, which the database refused, with the reason."""
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
@click.option("--all", "is_all", is_flag=True, help="Requeue every record in quarantine.")
@terminal.json_option
def requeue_command(record: tuple[str, ...], *, is_all: bool, as_json: bool) -> None:
    """Requeue RECORD, so that the service tries to store it again. The service need not run."""
    if is_all == bool(record):
        raise click.UsageError("name records from `vigia spool list`, or use --all")
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
