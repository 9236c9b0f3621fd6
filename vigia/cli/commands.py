"""A command group that imports each command on use, so that each needs only its own packages."""

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from vigia.cli import terminal

OURS = frozenset(
    {"alerts", "api", "collectors", "db", "health", "hosts", "notifications", "retention", "vigia"}
)


class Commands(click.Group):
    """A group of commands; `places` has the location of each as `module:name`."""

    def __init__(self, *args: Any, places: Mapping[str, str], **options: Any) -> None:
        super().__init__(*args, **options)
        self._places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self._places})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._places:
            return super().get_command(ctx, cmd_name)
        module, _, name = self._places[cmd_name].partition(":")
        try:
            found: click.Command = getattr(import_module(module), name)
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if missing in OURS:
                raise
            return _unavailable(cmd_name, missing)
        return found


def _unavailable(name: str, package: str) -> click.Command:
    """Return a command that accepts any arguments and only prints which package is missing."""
    reason = f"Needs the package {package}, which is not installed."

    def echo() -> None:
        # This installs the missing dependencies and leaves Vigia itself unchanged.
        terminal.echo(
            f"vigia: `vigia {name}` needs the package {package}, which is not installed. "
            "`vigia agent` works without it; for everything else run: pip install vigia",
            err=True,
        )
        sys.exit(terminal.EXIT_FAILURE)

    settings = {"ignore_unknown_options": True, "allow_extra_args": True}
    return click.Command(
        name, callback=echo, help=reason, context_settings=settings, add_help_option=False
    )
