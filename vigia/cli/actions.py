"""`vigia actions`: what alerts had Vigia do besides telling people."""

import click

from api.paths import BASE
from model.limits import PAGE_ITEMS, PAGE_ITEMS_MAX
from model.principal import Role
from vigia.cli import terminal
from vigia.cli.asking import Answer, Caller, asks


@click.group("actions")
def actions_group() -> None:
    """What alerts have Vigia do: backups and webhooks. `vigia config get actions` lists them."""


@actions_group.command("list")
@asks
@click.option("--limit", type=click.IntRange(1, PAGE_ITEMS_MAX), default=PAGE_ITEMS)
def list_runs(caller: Caller, limit: int) -> None:
    """List runs of actions, newest first."""
    query = [("limit", str(limit))]
    caller.ask("GET", f"{BASE}/actions", _print_list, query, role=Role.OPERATOR)


def _print_list(found: Answer) -> None:
    terminal.print_table(
        ["id", "action", "alert", "state", "requested", "result"],
        [
            [
                str(one["id"]), one["action"], f"{one['alert_id']}: {one['alert']}", one["state"],
                one["requested_at"], one["result"],
            ]
            for one in found["items"]
        ],
    )  # fmt: skip
