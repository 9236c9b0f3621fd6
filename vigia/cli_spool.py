"""`vigia spool …`: acknowledged samples that wait on disk, and those that the database refused."""

import sys

import click

from db import quarantine
from vigia import terminal


@click.group("spool")
def spool_group() -> None:
    """Samples that wait on disk for the database."""


@spool_group.command("list")
@terminal.json_option
def list_command(*, as_json: bool) -> None:
    """List the records in quarantine: what the database refused, and why."""
    found = quarantine.read(terminal.settings().data_dir / "spool")
    if as_json:
        terminal.print_json({"items": found})
    elif not found:
        terminal.say("the quarantine is empty")
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
    """Give RECORD back to the service, which stores it or refuses it again."""
    if is_all == bool(record):
        raise click.UsageError("name the records, as `vigia spool list` shows them, or say --all")
    try:
        moved = quarantine.requeue(terminal.settings().data_dir / "spool", list(record))
    except FileNotFoundError as error:
        terminal.say(f"vigia: not in quarantine: {error}; see `vigia spool list`", err=True)
        sys.exit(terminal.EXIT_FAILURE)
    if as_json:
        terminal.print_json({"requeued": moved})
    else:
        terminal.say(f"{len(moved)} records are stored by the service within a second, or refused")
