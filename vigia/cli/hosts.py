"""`vigia hosts`: lists what sends samples, and removes hosts that are gone for good."""

from urllib.parse import quote

import click

from api.paths import BASE
from model.limits import PAGE_ITEMS, PAGE_ITEMS_MAX
from vigia.cli import terminal
from vigia.cli.asking import Answer, Caller, asks

PATH = f"{BASE}/hosts"


@click.group("hosts")
def hosts_group() -> None:
    """What sends samples: when each host was last seen."""


@hosts_group.command("list")
@asks
@click.option("--silent", is_flag=True, help="Only hosts that have stopped sending.")
@click.option("--limit", type=click.IntRange(1, PAGE_ITEMS_MAX), default=PAGE_ITEMS)
def list_hosts(caller: Caller, limit: int, *, silent: bool) -> None:
    """List the hosts and when each was last seen, by name."""
    query = [("limit", str(limit)), *([("silent", "true")] if silent else [])]
    caller.ask("GET", PATH, _print_list, query)


@hosts_group.command("remove")
@asks
@click.argument("name")
def remove(caller: Caller, name: str) -> None:
    """Remove the host NAME and resolve its alerts. If it sends again, it is back."""
    path = f"{PATH}/{quote(name, safe='')}"
    caller.ask("DELETE", path, lambda _: terminal.echo(f"removed {name}"))


def _print_list(found: Answer) -> None:
    terminal.print_table(
        ["name", "kind", "last seen", "every", "silent since"],
        [
            [
                one["name"],
                one["kind"],
                one["last_seen"],
                _interval(one["usual_interval_s"]),
                one["silent_since"] or "",
            ]
            for one in found["items"]
        ],
    )


def _interval(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.3g} s"
