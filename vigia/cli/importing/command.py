"""`vigia import`: sends the samples of a file to a service. It can be repeated safely."""

import sys
from pathlib import Path

import click

from history.export.formats import MEDIA_TYPES
from model.principal import Role
from vigia.cli import client, terminal
from vigia.cli.groups.history import SUFFIXES
from vigia.cli.importing.importer import RetentionWidening, Summary, batches, send
from vigia.cli.importing.samples_file import Reader


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--format", "form", type=click.Choice(list(MEDIA_TYPES)), help="Default: by the file's ending."
)
@click.option("--column", help="Column of the values (default: `value`, or the only one).")
@click.option("--keep-retention", is_flag=True, help="Do not raise the retention for old samples.")
@terminal.json_option
@client.options
def import_command(
    file: Path,
    form: str | None,
    column: str | None,
    url: str | None,
    key: str | None,
    *,
    keep_retention: bool,
    as_json: bool,
) -> None:
    """Store the samples of a file that `vigia history` wrote.

    Existing samples stay unchanged, so a file can be imported again. The retention is raised if it
    would drop samples of the file.
    """
    form = form or SUFFIXES.get(file.suffix)
    if form not in MEDIA_TYPES:
        raise click.UsageError(f"the ending of {file.name} names no format; set --format")
    reader, summary, size = Reader(column), Summary(), file.stat().st_size

    async def store() -> None:
        async with client.open_client(url, key, Role.ADMIN) as service:
            widening = RetentionWidening(service, lambda text: terminal.echo(text, err=True))
            with file.open("rb") as opened, terminal.progress("bytes", size, shown=True) as advance:
                done = 0
                for batch in batches(reader.read(opened, form), summary):
                    if not keep_retention:
                        await widening.make(batch)
                    await send(service, batch, summary)
                    position = size if opened.closed else opened.tell()
                    advance(position - done)
                    done = position

    terminal.run(store)
    summary.reasons.update(reader.rejected)
    _print(summary, as_json=as_json)
    sys.exit(terminal.EXIT_FAILURE if summary.rejected else 0)


def _print(summary: Summary, *, as_json: bool) -> None:
    counts = {
        "accepted": summary.accepted,
        "duplicate": summary.duplicate,
        "rejected": summary.rejected,
        "empty": summary.empty,
    }
    reasons = [{"reason": text, "count": count} for text, count in summary.reasons.most_common()]
    if as_json:
        terminal.print_json({**counts, "reasons": reasons})
        return
    terminal.echo(", ".join(f"{count:,} {name}" for name, count in counts.items()))
    for reason in reasons:
        terminal.echo(f"  {reason['count']:,} x {reason['reason']}")
