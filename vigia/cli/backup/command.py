"""`vigia backup …` and `vigia restore`: write the database to one file, and restore it."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from db.backup import folder as backups
from db.backup.making import verify
from db.backup.manifest import Manifest
from vigia.backups import backup as service
from vigia.cli import terminal

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
BY_HAND = "by hand"
MEGABYTE = 1e6


class Stages:
    """Shows each stage as a progress bar of its own."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._advance: Callable[[float], None] = lambda _: None

    def begin(self, what: str, total: int) -> None:
        self._stack.close()
        self._advance = self._stack.enter_context(terminal.progress(what, total, shown=True))

    def advance(self, more: int) -> None:
        self._advance(more)


@contextmanager
def _stages() -> Iterator[Stages]:
    with ExitStack() as stack:
        yield Stages(stack)


to_option = click.option(
    "--to",
    type=FOLDER,
    help="Folder of backups (default: `backups` in the data directory).",
)


@click.group("backup", invoke_without_command=True)
@to_option
@click.option("--reason", default=BY_HAND, show_default=True, help="Why, for the list of backups.")
@terminal.json_option
@click.pass_context
def backup_group(context: click.Context, to: Path | None, reason: str, *, as_json: bool) -> None:
    """Back up the database to one file, and verify the file.

    The service may keep running. The backup contains every sample that was acknowledged before its
    time.
    """
    if context.invoked_subcommand is not None:
        return

    async def go() -> None:
        with _stages() as stages:
            made = await service.back_up(terminal.settings(), to, reason, stages)
        if as_json:
            terminal.print_json(made)
            return
        terminal.echo(f"{made.path}: {made.bytes / MEGABYTE:.1f} MB, {_described(made.manifest)}")

    terminal.run(go)


@backup_group.command("list")
@to_option
@terminal.json_option
def list_backups(to: Path | None, *, as_json: bool) -> None:
    """List the backups in a folder, newest first; without one, those of alerts as well."""

    async def go() -> None:
        settings = terminal.settings()
        found = backups.read_all(to or service.folder_of(settings))
        if to is None:
            found += backups.read_all(service.on_alert_folder(settings))
            found.sort(key=lambda one: Path(one.path).name, reverse=True)
        if as_json:
            terminal.print_json({"items": found})
            return
        terminal.print_table(
            ["file", "MB", "of", "rows", "made for"],
            [
                [one.path, f"{one.bytes / MEGABYTE:.1f}", *_row(one.manifest, one.damage)]
                for one in found
            ],
        )

    terminal.run(go)


def _row(manifest: Manifest | None, damage: str) -> list[str]:
    if manifest is None:
        return ["", "", f"damaged: {damage}"]
    return [f"{manifest.time:%Y-%m-%d %H:%M:%S} UTC", str(manifest.rows), manifest.reason]


@backup_group.command("verify")
@click.argument("file", type=FILE)
@terminal.json_option
def verify_backup(file: Path, *, as_json: bool) -> None:
    """Read FILE, and compare every byte and row with the file's own checksums and counts."""

    async def go() -> None:
        with _stages() as stages:
            manifest = await asyncio.to_thread(verify, file, stages)
        if as_json:
            terminal.print_json(manifest)
            return
        terminal.echo(f"{file} is whole: {_described(manifest)}")

    terminal.run(go)


@click.command("restore")
@click.argument("file", type=FILE)
@click.option(
    "--replace",
    is_flag=True,
    help="Replace the embedded database in the data directory. A server's is never replaced.",
)
@terminal.json_option
def restore_command(file: Path, *, replace: bool, as_json: bool) -> None:
    """Restore the backup FILE to a new data directory, or to an empty database on a server.

    The file is verified first, and the restored rows are counted.
    """

    async def go() -> None:
        with _stages() as stages:
            manifest = await service.restore(terminal.settings(), file, stages, replace=replace)
        if as_json:
            terminal.print_json(manifest)
            return
        terminal.echo(f"restored and counted: {_described(manifest)}")

    terminal.run(go)


def _described(manifest: Manifest) -> str:
    rows = (
        f"{manifest.rows} rows"
        if not manifest.unproven
        else f"rows not counted: {manifest.unproven}"
    )
    left = f"; not in it: {', '.join(manifest.left_out)}" if manifest.left_out else ""
    return f"{rows},\n  as at {manifest.time:%Y-%m-%d %H:%M:%S.%f} UTC{left}"
