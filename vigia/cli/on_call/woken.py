"""`vigia oncall woken`: lists the people whom past alerts would have notified under a policy."""

from pathlib import Path
from typing import Any

import click

from model.principal import Role
from vigia.cli import client, terminal
from vigia.cli.asking import Answer, Caller, asks
from vigia.cli.on_call.documents import read_document
from vigia.cli.on_call.policies import PATH


@click.command("woken")
@asks
@click.argument("policy")
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A TOML or JSON file with the policy to try; by default the stored one.",
)
@click.option("--start", default="-30d", show_default=True, help="A time, or such as -7d.")
@click.option("--end", default="now", show_default=True, help="A time, or `now`.")
@click.option("--route", help="Only alerts that match this route.")
@click.option(
    "--schedule",
    "schedules",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A TOML or JSON file with a schedule to try instead of the stored one of its name.",
)
@click.option("--night", default="22:00-07:00", show_default=True, help="On each one's clock.")
def woken_command(
    caller: Caller, policy: str, file: Path | None, schedules: tuple[Path, ...], **given: Any
) -> None:
    """List the people whom past alerts would have notified under POLICY, and how often at night."""
    first, _, last = given.pop("night").partition("-")
    body = {name: value for name, value in given.items() if value is not None}
    body["night"] = {"start": first, "end": last}

    async def go() -> None:
        body["schedules"] = [read_document(one) for one in schedules]
        async with client.open_client(caller.url, caller.key, Role.OPERATOR) as service:
            if file is None:
                body["policy"] = await service.ask("GET", f"{PATH}/{policy}")
            else:
                body["policy"] = read_document(file) | {"name": policy}
            found = await service.ask("POST", f"{PATH}/preview", body=body)
        terminal.print_json(found) if caller.as_json else _print(found)

    terminal.run(go)


def _print(found: Answer) -> None:
    present = {one["person"]: one for one in found["present"] or ()}
    people = {one["person"]: one for one in found["people"]}
    terminal.echo(f"{found['alerts']} alerts from {found['start']} to {found['end']}")
    terminal.print_table(
        ["person", "messages", "alerts", "at night", "nights", "nights as it is"],
        [_row(name, people.get(name), present.get(name)) for name in {**people, **present}],
    )
    if found["unreached_total"]:
        terminal.echo(f"{found['unreached_total']} steps had nobody on call")


def _row(name: str, wanted: Answer | None, present: Answer | None) -> list[str]:
    counted = ("notified", "alerts", "at_night", "nights")
    counts = [str(wanted[field]) if wanted else "0" for field in counted]
    return [name, *counts, str(present["nights"]) if present else "0"]
