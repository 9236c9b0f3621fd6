"""`vigia rules …`: trying rules on the past."""

import tomllib
from contextlib import nullcontext
from pathlib import Path

import click
import msgspec

from api.times import parse_time
from db import trial
from db.config import read
from db.rules import Rule
from db.trial import Trial
from vigia import terminal
from vigia.model import InvalidError, utc_now


@click.group("rules")
def rules_group() -> None:
    """Rules that raise alerts."""


@rules_group.command("preview")
@click.argument("value")
@click.option("--start", default="-7d", help="A time, or such as -7d.", show_default=True)
@click.option("--end", default="now", help="A time, or `now`.", show_default=True)
@terminal.json_option
def preview_command(value: str, start: str, end: str, *, as_json: bool) -> None:
    """Say what the rule VALUE would have done: JSON, or a file with it, JSON or TOML."""

    async def show() -> None:
        rule, now = _parse(value), utc_now()
        first, last = parse_time(start, now), min(parse_time(end, now), now)
        async with terminal.database() as connection:
            thresholds = (await read(connection)).thresholds_document()
            found = await trial.run(lambda: nullcontext(connection), rule, thresholds, first, last)
        if as_json:
            click.echo(msgspec.json.encode(found))
        else:
            _print(found)

    terminal.run(show)


def _parse(text: str) -> Rule:
    is_inline = text.lstrip().startswith("{")
    content = text if is_inline else Path(text).read_text(encoding="utf-8")
    try:
        if not is_inline and text.endswith(".toml"):
            return msgspec.convert(tomllib.loads(content), Rule)
        return msgspec.json.decode(content, type=Rule)
    except (msgspec.DecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidError(f"this is no rule: {error}") from None


def _print(found: Trial) -> None:
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
    click.echo(_sum("the rule", len(found.alerts), found.firing_s, found.messages))
    if found.present is not None:
        old = found.present
        click.echo(_sum("now", len(old.alerts), old.firing_s, old.messages))
    if found.partial_from is not None:
        click.echo(f"before {found.partial_from:%Y-%m-%d %H:%M} not everything is kept any more")


def _sum(what: str, alerts: int, firing_s: float, messages: int) -> str:
    return f"{what}: {alerts} alerts, firing for {firing_s / 60:g} min, {messages} messages"
