"""`vigia deliveries`: lists messages that were sent, wait or failed, and sends them again."""

import click

from api.paths import BASE
from model.limits import PAGE_ITEMS, PAGE_ITEMS_MAX
from model.principal import Role
from notifications.outbox.deliveries import State
from vigia.cli import terminal
from vigia.cli.asking import Answer, Caller, asks

PATH = f"{BASE}/deliveries"


@click.group("deliveries")
def deliveries_group() -> None:
    """Messages that were sent, wait to be sent, or failed."""


@deliveries_group.command("list")
@asks
@click.option("--state", type=click.Choice([one.value for one in State]), help="Only this state.")
@click.option("--channel", help="Only deliveries to this channel.")
@click.option("--alert", type=int, help="Only deliveries about this alert.")
@click.option("--limit", type=click.IntRange(1, PAGE_ITEMS_MAX), default=PAGE_ITEMS)
def list_deliveries(caller: Caller, **given: object) -> None:
    """List deliveries, newest first."""
    query = [(name, str(value)) for name, value in given.items() if value is not None]
    caller.ask("GET", PATH, _print_list, query, role=Role.OPERATOR)


@deliveries_group.command("replay")
@asks
@click.argument("number", type=int)
def replay(caller: Caller, number: int) -> None:
    """Send a delivery again, with the same idempotency key."""
    caller.ask("POST", f"{PATH}/{number}/replay", _print_replayed)


@deliveries_group.command("status")
@asks
def status(caller: Caller) -> None:
    """Say whether messages are sent, and how many wait."""
    caller.ask("GET", f"{PATH}/pause", _print_pause, role=Role.ADMIN)


@deliveries_group.command("pause")
@asks
@click.option("--reason", default="", help="Why, for whoever asks.")
def pause(caller: Caller, reason: str) -> None:
    """Send nothing until `vigia deliveries resume`; what is to be sent waits."""
    caller.ask("POST", f"{PATH}/pause", _print_pause, body={"reason": reason}, role=Role.ADMIN)


@deliveries_group.command("resume")
@asks
def resume(caller: Caller) -> None:
    """Send again; of what waits, nothing that is out of date."""
    caller.ask("POST", f"{PATH}/resume", _print_pause, role=Role.ADMIN)


def _print_pause(found: Answer) -> None:
    terminal.echo(describe_pause(found))


def describe_pause(found: Answer) -> str:
    """Return a line about a pause, as the API shows it."""
    waiting = f"{found['waiting']} waiting"
    if not found["paused"]:
        return f"notifications are sent; {waiting}"
    reason = f" ({found['reason']})" if found["reason"] else ""
    return (
        f"notifications are paused since {found['paused_at']} by {found['paused_by']}{reason}; "
        f"{waiting}; send them with `vigia deliveries resume`"
    )


def _print_list(found: Answer) -> None:
    terminal.print_table(
        ["id", "channel", "event", "alert", "state", "tries", "next or sent", "last error"],
        [_row(one) for one in found["items"]],
    )


def _row(one: Answer) -> list[str]:
    time = one["sent_at"] or ("" if one["state"] == State.FAILED else one["next_at"])
    alert = one["alert"]["title"] if one["alert"] else ""
    if one["events"]:
        alert = f"{one['events']} events"
    return [
        str(one["id"]), one["channel"], one["event"], alert, one["state"], str(one["attempts"]),
        time, one["last_error"] or "",
    ]  # fmt: skip


def _print_replayed(one: Answer) -> None:
    terminal.echo(f"delivery {one['id']} will be sent again to {one['channel']}")
