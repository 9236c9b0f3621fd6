"""Commands that ask the running service: which one, by whom, and how its answer is printed."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from msgspec import Struct

from model.errors import NotFoundError
from model.principal import Role
from vigia.cli import client, terminal
from vigia.cli.client import Query

Answer = dict[str, Any]
Command = Callable[..., None]
Show = Callable[[Answer], None]


class Caller(Struct, frozen=True):
    """Which service is asked, by whom, and how its answer is printed."""

    url: str | None
    key: str | None
    as_json: bool

    def ask(
        self,
        method: str,
        path: str,
        show: Show,
        query: Query = (),
        body: object = None,
        role: Role | None = None,
    ) -> None:
        """Ask and print the answer; without a role, as an operator where something is to change."""
        least = role or (Role.VIEWER if method == "GET" else Role.OPERATOR)

        async def go() -> None:
            async with client.open_client(self.url, self.key, least) as service:
                self._print(await service.ask(method, path, query, body), show)

        terminal.run(go)

    def ask_named(
        self, method: str, folder: str, name: str, end: str, show: Show, role: Role
    ) -> None:
        """Ask about what a list has under a name. Raises NotFoundError."""

        async def go() -> None:
            async with client.open_client(self.url, self.key, role) as service:
                found = await service.ask("GET", folder, [("limit", "1000")])
                numbers = {item["name"]: item["id"] for item in found["items"]}
                if name not in numbers:
                    known = ", ".join(sorted(numbers)) or "none"
                    raise NotFoundError(f"there is no {name!r}; there are: {known}")
                path = f"{folder}/{numbers[name]}{end}"
                self._print(await service.ask(method, path), show)

        terminal.run(go)

    def _print(self, found: Answer, show: Show) -> None:
        if self.as_json:
            terminal.print_json(found)
        else:
            show(found)


def asks(command: Command) -> Command:
    """Give a command its caller, from the options that each has."""

    @terminal.json_option
    @client.options
    @wraps(command)
    def with_caller(*, url: str | None, key: str | None, as_json: bool, **given: Any) -> None:
        command(Caller(url, key, as_json), **given)

    return with_caller
