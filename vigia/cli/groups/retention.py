"""`vigia storage` and `vigia retention …`: show storage use, and preview another retention."""

from datetime import datetime
from pathlib import Path

import click
import msgspec
from rich.filesize import decimal

from config.model import Config, Retention
from config.store import read, with_value
from model.errors import InvalidError
from model.times import utc_now
from model.validation.words import explain
from retention.forecast import disk_of, measure
from retention.preview import preview
from retention.usage import DroppedRows, Preview, Storage, TierChange, TierUse
from vigia.cli import terminal


@click.command("storage")
@terminal.json_option
def storage_command(*, as_json: bool) -> None:
    """Show rows and size of every tier, and when the disk will be full."""

    async def show() -> None:
        settings = terminal.settings()
        async with terminal.database() as connection:
            capacity_bytes = (await read(connection)).retention.capacity_bytes
            disk = disk_of(settings.data_dir) if settings.database_url is None else None
            found = await measure(connection, capacity_bytes, disk, utc_now())
        if as_json:
            terminal.print_json(found)
        else:
            _print_storage(found)

    terminal.run(show)


@click.group("retention")
def retention_group() -> None:
    """Preview the retention. Change it with `vigia config set retention.…`."""


@retention_group.command("preview")
@click.argument("value")
@terminal.json_option
def preview_command(value: str, *, as_json: bool) -> None:
    """Show what the retention VALUE would delete. VALUE is JSON, or a file with JSON."""

    async def show() -> None:
        wanted = _parse(value)
        async with terminal.database() as connection:
            found = await preview(connection, wanted, utc_now())
        if as_json:
            terminal.print_json(found)
        else:
            _print_preview(found)

    terminal.run(show)


def _parse(text: str) -> Retention:
    content = text.encode() if text.lstrip().startswith("{") else Path(text).read_bytes()
    try:
        value = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidError(f"the retention cannot be read: {explain(error)}") from None
    return with_value(Config(), "retention", value).retention


def _print_storage(found: Storage) -> None:
    terminal.print_table(
        ["tier", "rows", "size", "bytes/row", "a day", "oldest", "days", "full"],
        [_tier_row(tier) for tier in found.tiers],
    )
    growth = decimal(round(found.growth_bytes_per_day))
    terminal.echo(f"database {decimal(found.database_bytes)}, growing by {growth} a day")
    if found.disk:
        full = _day(found.full_at, "never")
        terminal.echo(f"free {decimal(found.disk.free_bytes)}, full {full}")


def _tier_row(tier: TierUse) -> list[str]:
    return [
        tier.name,
        f"{tier.rows:,}",
        decimal(tier.bytes),
        f"{tier.bytes_per_row:.1f}" if tier.bytes_per_row else "",
        decimal(round(tier.bytes_per_day)) if tier.bytes_per_day else "",
        _day(tier.oldest, ""),
        _days(tier.keep_days),
        _day(tier.full_at, ""),
    ]


def _print_preview(found: Preview) -> None:
    terminal.print_table(
        ["tier", "days", "rows", "size", "chunks dropped", "full"],
        [_change_row(tier) for tier in found.tiers],
    )
    if found.metrics:
        terminal.print_table(
            ["metric", "tier", "rows", "before"], [_metric_row(part) for part in found.metrics]
        )


def _change_row(tier: TierChange) -> list[str]:
    chunks = ""
    if tier.dropped:
        first, last = tier.dropped[0].start, tier.dropped[-1].end
        chunks = f"{len(tier.dropped)}: {_day(first, '')} to {_day(last, '')}"
    return [
        tier.name,
        f"{_days(tier.keep_days_before)} → {_days(tier.keep_days_after)}",
        f"{tier.rows_before:,} → {tier.rows_after:,}",
        f"{decimal(tier.bytes_before)} → {decimal(tier.bytes_after)}",
        chunks,
        _day(tier.full_at, ""),
    ]


def _metric_row(part: DroppedRows) -> list[str]:
    return [part.metric, part.tier, f"{part.rows:,}", _day(part.before, "")]


def _day(time: datetime | None, otherwise: str) -> str:
    return f"{time:%Y-%m-%d}" if time else otherwise


def _days(days: float | None) -> str:
    return "all" if days is None else f"{days:g}"
