"""`vigia serve` and `vigia doctor`: start the service, and check this machine."""

import asyncio
import sys

import click

from runtime.file_limit import raise_file_limit
from vigia.cli import doctor, terminal
from vigia.main import main as run_service


@click.command("serve")
def serve_command() -> None:
    """Start the service."""
    settings = terminal.settings()
    # Before anything starts, because the limit applies to database connections too.
    raise_file_limit()
    terminal.run(lambda: run_service(settings))


@click.command("doctor")
@terminal.json_option
def doctor_command(*, as_json: bool) -> None:
    """Check whether this machine meets the requirements of Vigia."""
    findings = asyncio.run(doctor.examine(terminal.settings()))
    if as_json:
        terminal.print_json(findings)
    else:
        terminal.print_table(
            ["", "check", "found", "what to do"],
            [["ok" if f.ok else "!!", f.check, f.found, f.advice] for f in findings],
        )
    sys.exit(0 if all(finding.ok for finding in findings) else terminal.EXIT_FAILURE)
