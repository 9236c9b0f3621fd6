"""`vigia keys`: manages the keys of programs and people."""

import click
import msgspec

from accounts import keys, sessions
from model.principal import Role
from model.text import LabelName, Text
from model.times import utc_now
from vigia.cli import terminal


@click.group("keys")
def keys_group() -> None:
    """Keys of programs and people."""


@keys_group.command("create")
@click.argument("name")
@click.option("--role", type=click.Choice([r.value for r in Role]), default=Role.VIEWER.value)
@click.option("--component", help="The only component that an ingest key may write.")
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="NAME=VALUE",
    help="A label of every series that an ingest key writes.",
)
@terminal.json_option
def create_key(
    name: str, role: str, component: str | None, labels: tuple[str, ...], *, as_json: bool
) -> None:
    """Create a key and print it. It is shown only once."""
    bound = keys.Bound(component, _labels(labels))

    async def create() -> None:
        async with terminal.database() as connection:
            _, secret = await keys.create(connection, name, Role(role), utc_now(), "cli", bound)
        printed = {"name": name, "role": role, "key": secret.reveal()}
        terminal.print_json(printed) if as_json else terminal.echo(secret.reveal())

    terminal.run(create)


def _labels(pairs: tuple[str, ...]) -> dict[str, str]:
    try:
        return msgspec.convert(dict(pair.split("=", 1) for pair in pairs), dict[LabelName, Text])
    except ValueError:
        raise click.BadParameter("write NAME=VALUE", param_hint="--label") from None


@keys_group.command("list")
@terminal.json_option
def list_keys(*, as_json: bool) -> None:
    """List all keys, including revoked ones."""

    async def show() -> None:
        async with terminal.database() as connection:
            found = await keys.list_all(connection)
        if as_json:
            terminal.print_json(found)
            return
        terminal.print_table(
            ["name", "role", "writes", "starts with", "created", "revoked"],
            [
                [k.name, k.role, _bound(k), k.prefix, str(k.created_at), str(k.revoked_at or "")]
                for k in found
            ],
        )

    terminal.run(show)


def _bound(key: keys.Key) -> str:
    labels = [f"{name}={value}" for name, value in key.labels.items()]
    return " ".join([key.component or "", *labels]).strip()


@keys_group.command("revoke")
@click.argument("name")
def revoke_key(name: str) -> None:
    """Revoke a key. Sessions opened with it end too."""

    async def revoke() -> None:
        async with terminal.database() as connection:
            await keys.revoke(connection, name, utc_now(), "cli")

    terminal.run(revoke)


@keys_group.command("sign-out")
@click.argument("name", required=False)
def sign_out(name: str | None) -> None:
    """End the browser sessions of the key NAME, or all sessions.

    The name admin stands for the bootstrap key and sign-in links.
    """

    async def close() -> None:
        async with terminal.database() as connection:
            count = await sessions.close_sessions(connection, name)
        terminal.echo(f"{count} sessions ended")

    terminal.run(close)
