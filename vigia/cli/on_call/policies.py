"""`vigia oncall policies`: who is told of an alert one after the other."""

from pathlib import Path
from typing import Any

import click

from api.paths import BASE
from model.principal import Role
from vigia.cli import terminal
from vigia.cli.asking import Answer, Caller, asks
from vigia.cli.on_call.documents import FILE, fields_of

PATH = f"{BASE}/policies"
KINDS = ("person", "schedule", "channel")


@click.group("policies")
def policies_group() -> None:
    """Who is told of an alert one after the other, until somebody acknowledges it."""


@policies_group.command("list")
@asks
def list_policies(caller: Caller) -> None:
    """List the policies and their steps."""
    caller.ask("GET", PATH, _print_list, [("limit", "1000")], role=Role.OPERATOR)


@policies_group.command("show")
@asks
@click.argument("name")
def show(caller: Caller, name: str) -> None:
    """Show the policy NAME."""
    caller.ask("GET", f"{PATH}/{name}", _print_one, role=Role.OPERATOR)


@policies_group.command("set")
@asks
@click.argument("name")
@FILE
@click.option("--title", help="What people call it.")
@click.option(
    "--step",
    "steps",
    multiple=True,
    metavar="TARGETS[=DELAY]",
    help="Such as schedule:ops,channel:hook=10m. All steps, in order.",
)
@click.option("--repeat", type=int, help="How often the steps follow again after the last.")
@click.option("--acknowledgement-expires", help="How long an acknowledgement holds, such as 2h.")
def set_policy(caller: Caller, name: str, file: Path | None, **given: Any) -> None:
    """Make the policy NAME, or change what is given of it."""
    given["steps"] = [_step(text) for text in given["steps"]] or None
    caller.set_named(PATH, name, lambda: fields_of(name, file, given), _print_set)


@policies_group.command("delete")
@asks
@click.argument("name")
def delete(caller: Caller, name: str) -> None:
    """Delete the policy NAME; escalations under way go on."""

    def done(_: Answer) -> None:
        terminal.echo(f"policy {name} deleted")

    caller.ask("DELETE", f"{PATH}/{name}", done, role=Role.ADMIN)


def _step(text: str) -> dict[str, Any]:
    targets, _, delay = text.partition("=")
    step: dict[str, Any] = {"targets": [_target(one, text) for one in targets.split(",")]}
    return step | ({"delay": delay} if delay else {})


def _target(text: str, step: str) -> dict[str, str]:
    kind, colon, name = text.partition(":")
    if not colon or kind not in KINDS:
        raise click.UsageError(
            f"--step {step}: write targets as person:NAME, schedule:NAME or channel:NAME"
        )
    return {"kind": kind, "name": name}


def _print_list(found: Answer) -> None:
    terminal.print_table(
        ["name", "title", "steps", "repeat"],
        [
            [one["name"], one["title"], " then ".join(map(_targets, one["steps"])), _again(one)]
            for one in found["items"]
        ],
    )


def _targets(step: Answer) -> str:
    return ", ".join(f"{one['kind']} {one['name']}" for one in step["targets"])


def _again(policy: Answer) -> str:
    return str(policy["repeat"] or "no")


def _print_one(policy: Answer) -> None:
    rows = [
        [str(number), _targets(step), step["delay"]]
        for number, step in enumerate(policy["steps"], 1)
    ]
    terminal.print_table(["step", "tells", "then waits"], rows)
    terminal.echo(
        f"repeated: {_again(policy)}; an acknowledgement expires after "
        f"{policy['acknowledgement_expires']}"
    )


def _print_set(policy: Answer) -> None:
    terminal.echo(f"policy {policy['name']} has {len(policy['steps'])} steps")
