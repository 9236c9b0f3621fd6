"""`vigia channels`: manages the channels that messages are sent to."""

from typing import Any

import click

from api.paths import BASE
from model.principal import Role
from model.severity import Level
from notifications.registry import TYPES
from vigia.cli import terminal
from vigia.cli.asking import Answer, Caller, asks

PATH = f"{BASE}/channels"
LISTS = {"to", "types"}
"""Settings that are lists, also when they have one item."""


@click.group("channels")
def channels_group() -> None:
    """Channels that messages are sent to: webhooks, mailboxes, chats."""


@channels_group.command("list")
@asks
def list_channels(caller: Caller) -> None:
    """List the channels."""
    caller.ask("GET", PATH, _print_list, [("limit", "1000")], role=Role.OPERATOR)


@channels_group.command("create")
@asks
@click.argument("name")
@click.option("--type", "kind", type=click.Choice(sorted(TYPES)), required=True)
@click.option("--to", default="", metavar="URL", help="The address, in the form of its type.")
@click.option(
    "--secret-file",
    type=click.File("r", encoding="utf-8"),
    help="File that contains its key, token or password; - is standard input.",
)
@click.option(
    "--setting", "settings", multiple=True, metavar="NAME=VALUE", help="A setting of its type."
)
@click.option(
    "--min-level",
    type=click.Choice([one.value for one in Level]),
    default=Level.WARNING.value,
    show_default=True,
    help="The lowest level of alerts that are sent.",
)
def create(caller: Caller, name: str, kind: str, **given: Any) -> None:
    """Create the channel NAME."""
    secret = given["secret_file"].read().strip() if given["secret_file"] else ""
    body = {
        "name": name,
        "type": kind,
        "url": given["to"],
        "secret": secret,
        "settings": _settings(given["settings"]),
        "min_level": given["min_level"],
    }
    caller.ask("POST", PATH, _print_made, body=body, role=Role.ADMIN)


@channels_group.command("test")
@asks
@click.argument("name")
def test(caller: Caller, name: str) -> None:
    """Send a test message to the channel NAME, and show the message and the response."""
    caller.ask_named("POST", PATH, name, "/test", _print_tested, Role.ADMIN)


@channels_group.command("delete")
@asks
@click.argument("name")
def delete(caller: Caller, name: str) -> None:
    """Delete the channel NAME. Its waiting messages are never sent."""
    caller.ask_named(
        "DELETE", PATH, name, "", lambda _: terminal.echo(f"channel {name} deleted"), Role.ADMIN
    )


def _settings(pairs: tuple[str, ...]) -> dict[str, object]:
    """Return settings by name: true and false become booleans, and commas make a list."""
    return dict(_setting(pair) for pair in pairs)


def _setting(pair: str) -> tuple[str, object]:
    name, equals, text = pair.partition("=")
    if not equals:
        raise click.UsageError(f"--setting {pair}: write NAME=VALUE")
    if text in {"true", "false"}:
        return name, text == "true"
    return name, text.split(",") if "," in text or name in LISTS else text


def _print_list(found: Answer) -> None:
    terminal.print_table(
        ["id", "name", "type", "from level", "enabled"],
        [
            [str(one["id"]), one["name"], one["type"], one["min_level"], str(one["enabled"])]
            for one in found["items"]
        ],
    )


def _print_made(made: Answer) -> None:
    name = made["name"]
    terminal.echo(f"channel {name} created; test it with: vigia channels test {name}")


def _print_tested(tested: Answer) -> None:
    terminal.echo(f"{tested['state']}: {tested['error'] or 'the provider accepted the message'}")
    terminal.echo(f"sent: {tested['sent']}")
    terminal.echo(f"response {tested['status']}: {tested['answer']}")
