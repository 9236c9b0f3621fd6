"""`vigia config …`: reads and changes run-time settings, one by one or all in a file."""

from typing import Any, BinaryIO

import click
import msgspec

from config import store as config
from model.errors import InvalidError
from model.text import as_text
from model.times import utc_now
from model.validation.words import explain
from notifications.actions.naming import check_channels
from vigia.cli import terminal

AUTHOR = "cli"
SHOWN_CHARS = 100


@click.group("config")
def config_group() -> None:
    """Settings that take effect without a restart."""


@config_group.command("get")
@click.argument("key", required=False)
@terminal.json_option
def get(key: str | None, *, as_json: bool) -> None:
    """Print one setting, or all settings."""

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
    """Change one setting. VALUE is JSON. A key such as intervals.collect_s changes one field."""

    async def change() -> None:
        wanted: Any = _value(key, value)
        async with terminal.database() as connection, connection.transaction():
            # Read and write under one lock, or a concurrent change of another field could be lost.
            await config.lock(connection)
            whole, _, part = key.partition(".")
            if part:
                now = (await config.entry(connection, whole)).value
                wanted = {**now, part: wanted} if isinstance(now, dict) else wanted
            changed = await config.write(connection, whole, wanted, utc_now(), AUTHOR)
            if whole == "actions":
                await check_channels(connection, changed.actions)

    terminal.run(change)


@config_group.command("export")
@click.argument("file", type=click.File("wb"))
def export(file: BinaryIO) -> None:
    """Write all settings to a JSON file; - is standard output."""

    async def write() -> None:
        async with terminal.database() as connection:
            found = {entry.key: entry.value for entry in await config.entries(connection)}
        file.write(msgspec.json.format(as_text(found)).encode() + b"\n")

    terminal.run(write)


@config_group.command("import")
@click.argument("file", type=click.File("rb"))
def import_file(file: BinaryIO) -> None:
    """Change all settings that differ from a file. On an error, change none."""

    async def change() -> None:
        wanted = _parse(file.read())
        if not isinstance(wanted, dict):
            raise InvalidError("the file must contain a JSON object with a value for each key")
        async with terminal.database() as connection, connection.transaction():
            await config.lock(connection)
            changed = {
                key: value
                for key, value in wanted.items()
                if (await config.entry(connection, key)).value != value
            }
            # All at once, because one value may be valid only together with another.
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
        raise InvalidError(f"the file cannot be read: {explain(error)}") from None
