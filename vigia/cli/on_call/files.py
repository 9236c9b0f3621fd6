"""`vigia routes export` and `import`: everything that says whom messages reach, in a file."""

from typing import TextIO

import click
import msgspec

from model.text import as_text
from model.times import utc_now
from notifications.files import changes, document
from notifications.files.changes import ThingChange
from notifications.files.kinds import Change
from runtime.encryption.key_file import open_keys
from vigia.cli import terminal

AUTHOR = "cli"
SIGNS = {"added": "+", "changed": "~", "removed": "-"}


@click.command("export")
@click.argument("file", type=click.File("w", encoding="utf-8"), default="-")
@terminal.json_option
def export_command(file: TextIO, *, as_json: bool) -> None:
    """Write channels, contacts, schedules, policies and routes to a TOML file.

    Addresses and secrets of channels are left out.
    """

    async def write() -> None:
        async with terminal.database() as connection:
            found = await changes.read(connection)
        file.write(f"{as_text(found)}\n" if as_json else document.dump(found))

    terminal.run(write)


@click.command("import")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option("--prune", is_flag=True, help="Delete what the file does not have.")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@terminal.json_option
def import_command(file: TextIO, *, prune: bool, dry_run: bool, as_json: bool) -> None:
    """Make everything that says whom messages reach as in a TOML file, all or on error nothing."""

    async def change() -> None:
        wanted = document.parse(file.read())
        keys = open_keys(terminal.settings())
        async with (
            terminal.database() as connection,
            connection.transaction(force_rollback=dry_run),
        ):
            made = await changes.become(
                Change(connection, keys, utc_now(), AUTHOR), wanted, prune=prune
            )
        terminal.print_json(made) if as_json else terminal.echo(_text(made), nl=False)

    terminal.run(change)


def _text(made: list[ThingChange]) -> str:
    lines = []
    for one in made:
        lines.append(f"{SIGNS[one.what]} {one.kind} {one.name}")
        for name, field in one.fields.items():
            old, new = (msgspec.json.encode(value).decode() for value in (field.old, field.new))
            lines.append(f"    {name}: {old} -> {new}")
    return "\n".join(lines or ["nothing to change"]) + "\n"
