"""Things that people set from options or from a file, and the file itself."""

import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import msgspec

from model.errors import InvalidError

FILE = click.option(
    "--file",
    "file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="A TOML or JSON file with its fields; - is JSON from standard input.",
)


def read_document(file: Path) -> dict[str, Any]:
    """Return the fields that a file holds. Raises InvalidError."""
    text = sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
    try:
        found = tomllib.loads(text) if file.suffix == ".toml" else msgspec.json.decode(text)
    except (tomllib.TOMLDecodeError, msgspec.DecodeError) as error:
        kind = "TOML" if file.suffix == ".toml" else "JSON; a file of TOML ends in .toml"
        raise InvalidError(f"{file}: this is no {kind}: {error}") from None
    if not isinstance(found, dict):
        raise InvalidError(f"{file}: write one object with fields")
    return found


def fields_of(name: str, file: Path | None, given: dict[str, Any]) -> dict[str, Any]:
    """Return what is to be set: the file's fields, and over them the options that were given."""
    document = read_document(file) if file else {}
    if document.get("name", name) != name:
        raise InvalidError(f"{file}: it is of {document['name']!r}, not of {name!r}")
    options = {key: value for key, value in given.items() if value not in (None, ())}
    return {**document, **options}


def named(pairs: tuple[str, ...], option: str) -> list[tuple[str, str]]:
    """Return texts such as `level=critical` as pairs. Raises UsageError."""
    found = [pair.partition("=") for pair in pairs]
    for name, equals, value in found:
        if not equals:
            raise click.UsageError(f"{option} {name}{value}: write NAME=VALUE")
    return [(name, value) for name, _, value in found]
