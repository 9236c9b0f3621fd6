"""`vigia status`: how the running service does."""

import click

from api.paths import BASE
from model.principal import Role
from vigia.cli import terminal
from vigia.cli.asking import Answer, Caller, asks
from vigia.cli.groups.deliveries import describe_pause


@click.command("status")
@asks
def status_command(caller: Caller) -> None:
    """Say how the service does, and whether it sends messages."""
    caller.ask("GET", f"{BASE}/dev/status", _print_status, role=Role.ADMIN)


def _print_status(found: Answer) -> None:
    services, engine = found["services"], found["services"]["engine"]
    spool, writer = services["spool"], services["writer"]
    failing = [one["name"] for one in services["services"] if one["failures"] or one["missed"]]
    kind = "embedded" if engine["embedded"] else "a server"
    rows = [
        ["version", found["version"]],
        ["database", f"PostgreSQL {found['database_version']}, {kind}"],
        ["samples", f"{writer['stored']} stored, {writer['pending']} pending"],
        ["spool", ", ".join(f"{name} {value}" for name, value in spool.items())],
        ["tasks that failed or were late", ", ".join(sorted(failing)) or "none"],
        ["watchdog", _watchdog(services["watchdog"])],
        ["notifications", describe_pause(found["notifications"])],
    ]
    terminal.print_table(["", ""], rows)


def _watchdog(found: Answer | None) -> str:
    if found is None:
        return "none; VIGIA_WATCHDOG_URL names one"
    called = f"called at {found['called_at']}" if found["called_at"] else "not called yet"
    return f"{called}; {found['last_error']}" if found["last_error"] else called
