"""`vigia config …`: read and change the run-time settings, one by one or all of them as a file."""

from typing import Any, BinaryIO

import click
import msgspec

from config import store as config
from model.errors import InvalidError
from model.text import as_text
from model.times import utc_now
from vigia.cli import terminal

AUTHOR = "cli"
SHOWN_CHARS = 100


@click.group("config")
def config_group() -> None:
    """Settings that act without a restart."""


@config_group.command("get")
@click.argument("key", required=False)
@terminal.json_option
def get(key: str | None, *, as_json: bool) -> None:
    """Print one setting, or all of them."""

    async def show() -> None:
        async with terminal.database() as connection:
            one = [await config.entry(connection, key)] if key else None
            found = one or await config.entries(connection)
        if as_json:
            terminal.print_json(found[0] if key else found)
            return
        terminal.print_table(
            ["key", "value", "changed by"],
            [[e.key, msgspec.json.encode(e.value).decode(), e.updated_by or ""] for e in found],
        )

    terminal.run(show)


@config_group.command("set")
@click.argument("key")
@click.argument("value")
def set_value(key: str, value: str) -> None:
    """Change one setting; VALUE is JSON. A key such as intervals.collect_s changes a part."""

    async def change() -> None:
        wanted: Any = _value(key, value)
        async with terminal.database() as connection, connection.transaction():
            # Else a change of another part by somebody else could be lost.
            await config.lock(connection)
            whole, _, part = key.partition(".")
            if part:
                now = (await config.entry(connection, whole)).value
                wanted = {**now, part: wanted} if isinstance(now, dict) else wanted
            await config.write(connection, whole, wanted, utc_now(), AUTHOR)

    terminal.run(change)


@config_group.command("export")
@click.argument("file", type=click.File("wb"))
def export(file: BinaryIO) -> None:
    """Write every setting to a JSON file, or to - for standard output."""

    async def write() -> None:
        async with terminal.database() as connection:
            found = {entry.key: entry.value for entry in await config.entries(connection)}
        file.write(msgspec.json.format(as_text(found)).encode() + b"\n")

    terminal.run(write)


@config_group.command("import")
@click.argument("file", type=click.File("rb"))
def import_file(file: BinaryIO) -> None:
    """Change every setting that a file says differently; all of them or, on error, none."""

    async def change() -> None:
        wanted = _parse(file.read())
        if not isinstance(wanted, dict):
            raise InvalidError("the file must hold an object: a value for each key")
        async with terminal.database() as connection, connection.transaction():
            await config.lock(connection)
            changed = {
                key: value
                for key, value in wanted.items()
                if (await config.entry(connection, key)).value != value
            }
            # Together, because one value may be right only with another.
            await config.write_all(connection, changed, utc_now(), AUTHOR)
        terminal.echo("".join(f"changed {key}\n" for key in changed), nl=False)

    terminal.run(change)


def _value(key: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        raise InvalidError(
            f"{key}: {text[:SHOWN_CHARS]} is not JSON; write a number as 5 and, with both quotes, "
            """a text as '"text"', a list as '["a", "b"]', an object as '{"a": 5}'"""
        ) from None


def _parse(text: str | bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidError(f"this is not JSON: {error}") from None
