"""`vigia routes`: which alerts go where."""

from pathlib import Path
from typing import Any

import click

from api.paths import BASE
from model.principal import Role
from model.series import Category
from model.severity import Level
from vigia.cli import terminal
from vigia.cli.asking import Answer, Caller, asks
from vigia.cli.on_call.documents import FILE, fields_of, named
from vigia.cli.on_call.files import export_command, import_command

PATH = f"{BASE}/routes"
LABEL = "label."
MATCHED = ("rule", "component", "category", "level", "min_level")
SHOWN = (
    "position", "matcher", "continue", "channels", "policy", "group_by", "group_wait",
    "group_interval", "repeat", "quiet_hours", "tz", "enabled",
)  # fmt: skip


@click.group("routes")
def routes_group() -> None:
    """Which alerts go to which channels or policy."""


routes_group.add_command(export_command)
routes_group.add_command(import_command)


@routes_group.command("list")
@asks
def list_routes(caller: Caller) -> None:
    """List the routes in their order."""
    caller.ask("GET", PATH, _print_list, [("limit", "1000")], role=Role.OPERATOR)


@routes_group.command("show")
@asks
@click.argument("name")
def show(caller: Caller, name: str) -> None:
    """Show the route NAME."""
    caller.ask("GET", f"{PATH}/{name}", _print_one, role=Role.OPERATOR)


@routes_group.command("set")
@asks
@click.argument("name")
@FILE
@click.option("--title", help="What people call it.")
@click.option("--position", type=int, help="Its place among the routes, from 1.")
@click.option(
    "--match",
    multiple=True,
    metavar="NAME=VALUE",
    help=f"What alerts have: {', '.join(MATCHED)}, {LABEL}NAME; several values with commas.",
)
@click.option("--channel", "channels", multiple=True, help="Where its groups are sent.")
@click.option("--policy", help="The escalation policy that each alert begins.")
@click.option("--continue/--stop", "continue_", default=None, help="Take the next routes too.")
@click.option("--group-by", multiple=True, help="What alerts of a group have in common.")
@click.option("--group-wait", help="How long the first message waits, such as 30s.")
@click.option("--group-interval", help="The time between two messages, such as 5m.")
@click.option("--repeat", help="After how long a group is sent again, such as 4h; 0s: never.")
@click.option("--tz", help="The time zone of its hours.")
@click.option("--enable/--disable", "enabled", default=None, help="Whether alerts take it.")
def set_route(caller: Caller, name: str, file: Path | None, **given: Any) -> None:
    """Make the route NAME, or change what is given of it."""
    given["continue"] = given.pop("continue_")
    match = given.pop("match")
    given["matcher"] = _matcher(match) if match else None
    caller.set_named(PATH, name, lambda: fields_of(name, file, given), _print_set)


@routes_group.command("delete")
@asks
@click.argument("name")
def delete(caller: Caller, name: str) -> None:
    """Delete the route NAME, after what its groups wait to send."""

    def done(_: Answer) -> None:
        terminal.echo(f"route {name} deleted")

    caller.ask("DELETE", f"{PATH}/{name}", done, role=Role.ADMIN)


@routes_group.command("preview")
@asks
@click.option("--alert", type=int, help="The number of an alert that is there.")
@click.option("--rule", help="Or what describes an alert: its rule,")
@click.option("--level", type=click.Choice([one.value for one in Level]), help="its level,")
@click.option("--category", type=click.Choice([one.value for one in Category]))
@click.option("--component", help="its component,")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="and its labels.")
@click.option("--at", default="now", show_default=True, help="When it is routed.")
def preview(caller: Caller, labels: tuple[str, ...], **given: Any) -> None:
    """Say which routes an alert takes, and which messages go to whom, when."""
    body = {name: value for name, value in given.items() if value is not None}
    if labels:
        body["labels"] = dict(named(labels, "--label"))
    caller.ask("POST", f"{PATH}/preview", _print_preview, body=body, role=Role.OPERATOR)


def _matcher(pairs: tuple[str, ...]) -> dict[str, Any]:
    matcher: dict[str, Any] = {}
    labels: dict[str, str] = {}
    for name, value in named(pairs, "--match"):
        if name.startswith(LABEL):
            labels[name.removeprefix(LABEL)] = value
        elif name in MATCHED:
            is_list = "," in value and name != "min_level"
            matcher[name] = value.split(",") if is_list else value
        else:
            known = ", ".join((*MATCHED, f"{LABEL}NAME"))
            raise click.UsageError(f"--match {name}: it has no such field; there are: {known}")
    return {**matcher, "labels": labels} if labels else matcher


def _print_list(found: Answer) -> None:
    terminal.print_table(
        ["position", "name", "matches", "goes to", "enabled"],
        [
            [str(one["position"]), one["name"], _matches(one), _places(one), str(one["enabled"])]
            for one in found["items"]
        ],
    )


def _matches(route: Answer) -> str:
    given = {name: value for name, value in route["matcher"].items() if value}
    given |= {f"{LABEL}{name}": value for name, value in given.pop("labels", {}).items()}
    hours = given.pop("hours", ())
    texts = [f"{name}={_text(value)}" for name, value in given.items()]
    return " ".join([*texts, *["in its hours"] * bool(hours)]) or "everything"


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _places(route: Answer) -> str:
    policy = [f"policy {route['policy']}"] if route["policy"] else []
    return ", ".join([*route["channels"], *policy])


def _print_one(route: Answer) -> None:
    rows = [["matcher", _matches(route)]]
    rows += [[name, _text(route[name] or "")] for name in SHOWN if name != "matcher"]
    terminal.print_table(["field", "value"], rows)


def _print_set(route: Answer) -> None:
    terminal.echo(f"route {route['name']} is number {route['position']}: {_places(route)}")


def _print_preview(found: Answer) -> None:
    for route in found["routes"]:
        terminal.echo(f"it takes the route {route['name']}: {_places(route)}")
    if found["has_routes"] and not found["routes"]:
        terminal.echo("no route matches: it is sent to nobody")
    if found["suppressed_by"]:
        terminal.echo(f"nothing is sent while it is suppressed: {_text(found['suppressed_by'])}")
    terminal.print_table(
        ["time", "step", "channel", "person", "address"],
        [
            [
                one["at"],
                _step(one),
                one["channel"],
                one["person"] or "",
                one["address"],
            ]
            for one in found["messages"]
        ],
    )
    for step in found["steps"]:
        if not step["messages"]:
            terminal.echo(f"{step['at']}: {_step(step)} reaches nobody{_why(step)}")
    if not found["is_complete"]:
        terminal.echo(f"steps after {found['until']} are left out")


def _step(one: Answer) -> str:
    if one["step"] is None:
        return ""
    again = f", round {one['round']}" if one["round"] > 1 else ""
    return f"{one['policy']} {one['step']}{again}"


def _why(step: Answer) -> str:
    nobody = [f"nobody is on call by {name}" for name in step["nobody_on_call"]]
    muted = [f"{person} is muted or has no address" for person in step["unreached"]]
    reasons = ", ".join([*nobody, *muted])
    return f": {reasons}" if reasons else ""
