"""`vigia oncall`: who is on call, and who takes whose shift."""

from typing import Any

import click

from api.paths import BASE
from model.principal import Role
from vigia.cli import terminal
from vigia.cli.asking import Answer, Caller, asks
from vigia.cli.on_call.policies import policies_group
from vigia.cli.on_call.woken import woken_command

PATH = f"{BASE}/oncall"
SCHEDULES = f"{BASE}/schedules"
NOBODY = "nobody"


@click.group("oncall")
def oncall_group() -> None:
    """Who is on call, and who takes whose shift."""


oncall_group.add_command(policies_group)
oncall_group.add_command(woken_command)


@oncall_group.command("now")
@asks
@click.option("--schedule", help="Only by this one.")
@click.option("--at", default="now", show_default=True, help="At another moment.")
def now(caller: Caller, schedule: str | None, at: str) -> None:
    """Say who is on call, and until when."""
    query = [("at", at)]
    if schedule is None:
        query += [("limit", "1000")]
    else:
        query += [("schedule", schedule)]
    caller.ask("GET", PATH, _print_now, query, role=Role.OPERATOR)


@oncall_group.command("schedules")
@asks
def schedules(caller: Caller) -> None:
    """List the schedules, and who is in each."""
    caller.ask("GET", SCHEDULES, _print_schedules, [("limit", "1000")], role=Role.OPERATOR)


@oncall_group.command("shifts")
@asks
@click.argument("schedule")
@click.option("--start", default="now", show_default=True, help="From when on.")
@click.option("--end", help="Until when; by default for 14 days.")
def shifts(caller: Caller, schedule: str, start: str, end: str | None) -> None:
    """List who is on call by SCHEDULE from when to when."""
    query = [("start", start), *([("end", end)] if end else [])]
    caller.ask("GET", f"{SCHEDULES}/{schedule}/shifts", _print_shifts, query, role=Role.OPERATOR)


@oncall_group.command("take")
@asks
@click.argument("schedule")
@click.argument("person")
@click.option("--from", "start", default="now", show_default=True, help="From when on.")
@click.option("--until", help="Until when; by default until the next hand-over.")
@click.option("--instead-of", "out", help="Replace this person alone, not everyone.")
@click.option("--as-well", is_flag=True, help="Replace nobody.")
def take(caller: Caller, schedule: str, person: str, **given: Any) -> None:
    """Put PERSON on call by SCHEDULE instead of whoever is."""
    body = {
        "person": person,
        "from": given["start"],
        "until": given["until"],
        "out": given["out"],
        "as_well": given["as_well"],
    }
    path = f"{SCHEDULES}/{schedule}/overrides"
    caller.ask("POST", path, _print_taken, body=body, role=Role.OPERATOR)


@oncall_group.command("cancel")
@asks
@click.argument("schedule")
@click.argument("number", type=int)
def cancel(caller: Caller, schedule: str, number: int) -> None:
    """Cancel the override NUMBER of SCHEDULE: whoever was replaced is on call again."""

    def show(_: Answer) -> None:
        terminal.echo(f"override {number} of {schedule} canceled")

    caller.ask("DELETE", f"{SCHEDULES}/{schedule}/overrides/{number}", show)


def _print_now(found: Answer) -> None:
    items = found.get("items", [found])
    terminal.print_table(
        ["schedule", "on call", "until"],
        [[one["schedule"], _people(one), one["until"] or "no end in sight"] for one in items],
    )


def _print_schedules(found: Answer) -> None:
    terminal.print_table(
        ["name", "title", "zone", "people", "overrides"],
        [
            [one["name"], one["title"], one["tz"], _members(one), str(len(one["overrides"]))]
            for one in found["items"]
        ],
    )


def _members(schedule: Answer) -> str:
    people = [person for layer in schedule["layers"] for person in layer["people"]]
    return ", ".join(dict.fromkeys(people)) or NOBODY


def _print_shifts(found: Answer) -> None:
    terminal.print_table(
        ["from", "until", "on call"],
        [[one["starts_at"], one["ends_at"], _people(one)] for one in found["items"]],
    )


def _people(one: Answer) -> str:
    return ", ".join(one["people"]) or NOBODY


def _print_taken(one: Answer) -> None:
    terminal.echo(
        f"{one['in']} is on call from {one['starts_at']} until {one['ends_at']} "
        f"(override {one['id']})"
    )
