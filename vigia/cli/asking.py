"""Common parts of commands that send a request to the running service and print the response."""

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any

from msgspec import Struct

from model.errors import NotFoundError
from model.principal import Role
from vigia.cli import client, terminal
from vigia.cli.client import AnswerError, Query

Answer = dict[str, Any]
Command = Callable[..., None]
Show = Callable[[Answer], None]


class Caller(Struct, frozen=True):
    """The address of the service, the key, and whether to print JSON."""

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
        """Send a request and print the response.

        Without a role, GET needs viewer and every other method operator.
        """
        least = role or (Role.VIEWER if method == "GET" else Role.OPERATOR)

        async def go() -> None:
            async with client.open_client(self.url, self.key, least) as service:
                self._print(await service.ask(method, path, query, body), show)

        terminal.run(go)

    def ask_named(
        self, method: str, folder: str, name: str, end: str, show: Show, role: Role
    ) -> None:
        """Send a request about the item of a list with a name. Raises NotFoundError."""

        async def go() -> None:
            async with client.open_client(self.url, self.key, role) as service:
                found = await service.ask("GET", folder, [("limit", "1000")])
                numbers = {item["name"]: item["id"] for item in found["items"]}
                if name not in numbers:
                    known = ", ".join(sorted(numbers)) or "none"
                    raise NotFoundError(f"there is no {name!r}; existing names: {known}")
                path = f"{folder}/{numbers[name]}{end}"
                self._print(await service.ask(method, path), show)

        terminal.run(go)

    def set_named(
        self, folder: str, name: str, fields: Callable[[], dict[str, Any]], show: Show
    ) -> None:
        """Make a thing of a name, or change some fields of the one that is there."""

        async def go() -> None:
            given = fields() | {"name": name}
            async with client.open_client(self.url, self.key, Role.ADMIN) as service:
                try:
                    before = await service.ask("GET", f"{folder}/{name}")
                except AnswerError as error:
                    if error.status != HTTPStatus.NOT_FOUND:
                        raise
                    made = await service.ask("POST", folder, body=given)
                else:
                    made = await service.ask("PUT", f"{folder}/{name}", body=before | given)
                self._print(made, show)

        terminal.run(go)

    def _print(self, found: Answer, show: Show) -> None:
        if self.as_json:
            terminal.print_json(found)
        else:
            show(found)


def asks(command: Command) -> Command:
    """Decorate a command: add the common options, and pass a Caller made from them."""

    @terminal.json_option
    @client.options
    @wraps(command)
    def with_caller(*, url: str | None, key: str | None, as_json: bool, **given: Any) -> None:
        command(Caller(url, key, as_json), **given)

    return with_caller
