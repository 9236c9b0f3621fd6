"""The reference is whole: every command, variable and setting has its place in it."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from config.model import Config
from runtime.settings import Settings
from vigia.cli.main import main

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
COMMANDS = (REFERENCE / "cli.md").read_text(encoding="utf-8")
CONFIGURATION = (REFERENCE / "configuration.md").read_text(encoding="utf-8")


def commands(group: click.Group, path: str) -> Iterator[tuple[str, ...]]:
    """Yield each command: the path of its group, and its name."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield path, name


@pytest.mark.parametrize(("path", "name"), list(commands(main, "vigia")))
def test_the_page_of_the_command_line_has_every_command(path: str, name: str) -> None:
    rows = [row for row in COMMANDS.splitlines() if row.startswith("| `vigia ")]
    named = [row for row in rows if f"`{path} {name}`" in row]
    named += [row for row in rows if f"`{path} " in row and f"`{name}`" in row]
    assert named, f"add a row for `{path} {name}` to docs/reference/cli.md"


@pytest.mark.parametrize("field", Settings.__struct_fields__)
def test_the_page_of_the_configuration_has_every_variable(field: str) -> None:
    rows = [row for row in CONFIGURATION.splitlines() if row.startswith("| `VIGIA_")]
    assert any(f"`VIGIA_{field.upper()}`" in row for row in rows)


@pytest.mark.parametrize("key", Config.__struct_fields__)
def test_the_page_of_the_configuration_has_every_setting(key: str) -> None:
    assert re.search(rf"^### `{key}`$", CONFIGURATION, re.MULTILINE)
