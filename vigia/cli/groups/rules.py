"""`vigia rules …`: previews rules over the past, and exports and imports them as a file."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TextIO

import click
import msgspec
from msgspec import UNSET

from alerts.preview import preview
from alerts.preview.preview import Outcome, Preview
from alerts.rules import changes as rule_set
from alerts.rules import files as rules_file
from alerts.rules import store as rules
from alerts.rules.changes import Difference
from alerts.rules.model import Rule
from alerts.sql_rules import checking
from config.store import read
from db.queries import Connection
from history import unknown
from model.errors import InvalidError
from model.text import as_text
from model.times import parse_time, utc_now
from model.validation.words import explain
from vigia.cli import terminal
from vigia.transitions import ON_TRANSITIONS

AUTHOR = "cli"
PATIENCE_S = 2.0
"""A preview that takes longer shows a progress bar."""
FILE = click.File("r", encoding="utf-8")


@click.group("rules")
def rules_group() -> None:
    """Alert rules."""


@rules_group.command("preview")
@click.argument("value")
@click.option("--start", default="-7d", help="Absolute, or such as -7d.", show_default=True)
@click.option("--end", default="now", help="Absolute, or `now`.", show_default=True)
@terminal.json_option
def preview_command(value: str, start: str, end: str, *, as_json: bool) -> None:
    """Show what the rule VALUE would have done. VALUE is JSON, or a file with JSON or TOML."""

    async def show() -> None:
        rule, now = _parse(value), utc_now()
        first, last = parse_time(start, now), min(parse_time(end, now), now)
        async with terminal.database() as connection:
            thresholds = (await read(connection)).thresholds_document()
            with terminal.progress("%", 100, shown=True, after_s=PATIENCE_S) as advance:
                found = await preview.run(
                    lambda: nullcontext(connection),
                    rule,
                    thresholds,
                    first,
                    last,
                    now=now,
                    advance=lambda part: advance(100 * part),
                )
        if as_json:
            terminal.print_json(found)
        else:
            _print(found)

    terminal.run(show)


@rules_group.command("export")
@click.argument("file", type=click.File("w", encoding="utf-8"), default="-")
@terminal.json_option
def export(file: TextIO, *, as_json: bool) -> None:
    """Write all rules to a TOML file or standard output, without fields that have defaults."""

    async def write() -> None:
        async with terminal.database() as connection:
            found = await rules.read_all(connection)
        file.write(f"{as_text(found)}\n" if as_json else rules_file.dump(found))

    terminal.run(write)


@rules_group.command("import")
@click.argument("file", type=FILE)
@click.option("--prune", is_flag=True, help="Delete rules that the file does not have.")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@terminal.json_option
def import_file(file: TextIO, *, prune: bool, dry_run: bool, as_json: bool) -> None:
    """Apply the rules of a TOML file and show the changes. On an error, change nothing."""

    async def change() -> None:
        wanted = rules_file.parse(file.read())
        async with terminal.database() as connection:
            await checking.refuse(connection, wanted)
            async with connection.transaction(force_rollback=dry_run):
                difference = await rule_set.become(
                    connection,
                    wanted,
                    utc_now(),
                    AUTHOR,
                    prune=prune,
                    on_transitions=ON_TRANSITIONS,
                )
            await _warn(connection, wanted)
        terminal.print_json(difference) if as_json else terminal.echo(_text(difference), nl=False)

    terminal.run(change)


@rules_group.command("validate")
@click.argument("file", type=FILE)
def validate(file: TextIO) -> None:
    """Check a TOML file of rules and show all errors. Needs no database."""

    async def check() -> None:
        terminal.echo(f"{len(rules_file.parse(file.read()))} rules, all valid")

    terminal.run(check)


async def _warn(connection: Connection, wanted: Sequence[Rule]) -> None:
    """Print a warning for each rule with a metric that nothing sends."""
    for rule in wanted:
        metrics = [name for name in (rule.metric, rule.over) if name and rule.kind != "sql"]
        for words in await unknown.all_words(connection, metrics):
            terminal.echo(f"warning: rule {rule.name}: {words}", err=True)


def _text(difference: Difference) -> str:
    lines = [f"+ {rule.name}" for rule in difference.added]
    for change in difference.changed:
        lines.append(f"~ {change.rule.name}")
        for name, field in change.fields.items():
            old, new = (msgspec.json.encode(value).decode() for value in (field.old, field.new))
            lines.append(f"    {name}: {old} -> {new}")
    lines += [f"- {name}" for name in difference.removed]
    return "\n".join(lines or ["nothing to change"]) + "\n"


def _parse(text: str) -> Rule:
    if not text.lstrip().startswith("{"):
        content = Path(text).read_text(encoding="utf-8")
        if text.endswith(".toml"):
            found = rules_file.parse(content)
            if len(found) != 1:
                raise InvalidError(f"the file has {len(found)} rules; it must have exactly one")
            return found[0]
        text = content
    value: object = UNSET
    try:
        value = msgspec.json.decode(text)
        return msgspec.convert(value, Rule)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidError(f"the rule is not valid: {explain(error, Rule, value)}") from None


def _print(found: Preview) -> None:
    rows = [
        [
            f"{alert.opened_at:%Y-%m-%d %H:%M}",
            f"{alert.resolved_at:%Y-%m-%d %H:%M}" if alert.resolved_at else "open",
            alert.level,
            alert.component,
            "" if alert.peak is None else f"{alert.peak:g}",
        ]
        for alert in found.alerts
    ]
    terminal.print_table(["opened", "resolved", "level", "component", "peak"], rows)
    terminal.echo(_sum("the rule", found))
    if found.present is not None:
        error = found.present.error
        terminal.echo(_sum("now", found.present) if error is None else f"now: {error}")
    if found.not_evaluated:
        _print_gaps(found)
    if found.late:
        _print_late(found)


def _print_gaps(found: Preview) -> None:
    terminal.echo("some minutes were never evaluated, so the preview leaves them out:")
    rows = [[f"{g.start:%Y-%m-%d %H:%M}", f"{g.end:%Y-%m-%d %H:%M}"] for g in found.not_evaluated]
    terminal.print_table(["from", "to"], rows)
    if found.not_evaluated_total > len(rows):
        terminal.echo(f"and {found.not_evaluated_total - len(rows)} more")


def _print_late(found: Preview) -> None:
    terminal.echo(
        "late samples, which arrived after their minute was evaluated; the preview includes them:"
    )
    rows = [
        [
            " ".join([late.metric, late.component, *(f"{k}={v}" for k, v in late.labels.items())]),
            f"{late.start:%Y-%m-%d}",
            f"{late.start:%H:%M}",
            f"{late.end:%H:%M}",
            f"{late.arrived_at:%Y-%m-%d %H:%M}",
            str(late.samples),
        ]
        for late in found.late
    ]
    terminal.print_table(["series", "day", "from", "to", "last arrival", "samples"], rows)
    if found.late_total > len(found.late):
        terminal.echo(f"and {found.late_total - len(found.late)} more")


def _sum(what: str, found: Outcome) -> str:
    texts = [f"{len(found.alerts)} alerts", f"firing for {found.firing_s / 60:g} min"]
    texts += [f"{found.messages} messages"] + [f"{found.suppressed} suppressed"] * bool(
        found.suppressed
    )
    if found.partial_from is not None:
        texts.append(f"before {found.partial_from:%Y-%m-%d %H:%M} some samples are not kept")
    return f"{what}: {', '.join(texts)}"
