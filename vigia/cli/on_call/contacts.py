"""`vigia contacts`: people, and where each is reached."""

from typing import Any

import click

from api.paths import BASE
from model.principal import Role
from notifications.message import Language
from vigia.cli import terminal
from vigia.cli.asking import Answer, Caller, asks

PATH = f"{BASE}/contacts"


@click.group("contacts")
def contacts_group() -> None:
    """People who are told of alerts, and where each is reached."""


@contacts_group.command("list")
@asks
def list_contacts(caller: Caller) -> None:
    """List the contacts and their addresses."""
    caller.ask("GET", PATH, _print_list, [("limit", "1000")], role=Role.OPERATOR)


@contacts_group.command("create")
@asks
@click.argument("name")
@click.option("--title", default="", help="The person's own name.")
@click.option("--tz", default="UTC", show_default=True, help="The person's time zone.")
@click.option(
    "--language",
    type=click.Choice([one.value for one in Language]),
    default=Language.ENGLISH.value,
    show_default=True,
    help="The language of messages.",
)
@click.option(
    "--address",
    "addresses",
    multiple=True,
    metavar="CHANNEL=ADDRESS",
    help="Where the person is reached; CHANNEL alone: at the channel's own address.",
)
def create(caller: Caller, name: str, addresses: tuple[str, ...], **given: Any) -> None:
    """Make the contact NAME."""
    body = {"name": name, "addresses": [_address(one) for one in addresses], **given}
    caller.ask("POST", PATH, _print_made, body=body, role=Role.ADMIN)


@contacts_group.command("verify")
@asks
@click.argument("name")
@click.option("--channel", help="Only the addresses of this channel.")
def verify(caller: Caller, name: str, channel: str | None) -> None:
    """Send a code to the addresses of NAME that are not verified."""
    caller.ask(
        "POST", f"{PATH}/{name}/verify", _print_sent, body={"channel": channel}, role=Role.ADMIN
    )


@contacts_group.command("confirm")
@asks
@click.argument("name")
@click.argument("code")
def confirm(caller: Caller, name: str, code: str) -> None:
    """Verify an address of NAME by the CODE that was sent there."""
    body = {"code": code}
    caller.ask("POST", f"{PATH}/{name}/confirm", _print_verified, body=body, role=Role.ADMIN)


@contacts_group.command("delete")
@asks
@click.argument("name")
def delete(caller: Caller, name: str) -> None:
    """Delete the contact NAME; what waits for it is never sent."""

    def show(_: Answer) -> None:
        terminal.echo(f"contact {name} deleted")

    caller.ask("DELETE", f"{PATH}/{name}", show, role=Role.ADMIN)


def _address(text: str) -> dict[str, str]:
    channel, _, address = text.partition("=")
    return {"channel": channel, "address": address}


def _print_list(found: Answer) -> None:
    rows = [row for one in found["items"] for row in _rows(one)]
    terminal.print_table(["name", "title", "zone", "channel", "address", "verified"], rows)


def _rows(contact: Answer) -> list[list[str]]:
    """Return a row for each address; the first one has the person's name."""
    about = [contact["name"], contact["title"], contact["tz"]]
    places = [
        [one["channel"], one["address"], one["verified_at"] or "no"] for one in contact["addresses"]
    ]
    first, *others = places or [["", "", ""]]
    return [about + first, *(["", "", "", *place] for place in others)]


def _print_made(made: Answer) -> None:
    name = made["name"]
    advice = f"; verify the addresses with: vigia contacts verify {name}"
    terminal.echo(f"contact {name} made{advice if made['addresses'] else ''}")


def _print_sent(sent: Answer) -> None:
    for one in sent["items"]:
        place = f" to {one['address']}" if one["address"] else ""
        terminal.echo(f"code sent by {one['channel']}{place}; it is good until {one['expires_at']}")


def _print_verified(one: Answer) -> None:
    terminal.echo(f"the address of {one['channel']} is verified")
