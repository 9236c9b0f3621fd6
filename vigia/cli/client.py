"""The HTTP client of commands: sends requests to the running service with a key or a session."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import wraps
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar, cast

import aiohttp
import click
import msgspec
from aiohttp import ClientResponse, ClientSession, ClientTimeout

from accounts import sessions as keys
from api.accounts.origins import cookie_name_of, origin_of
from model.errors import DomainError, UnavailableError
from model.principal import Principal, Role
from model.times import utc_now
from runtime.settings import Settings
from vigia.cli import terminal

CONNECT_TIMEOUT_S = 5.0
SILENCE_TIMEOUT_S = 60.0
"""Longest pause within a response. A whole response may take hours."""
HOLDER = "cli"
KEY_HELP = f"A key. Not needed on the machine of the service. {terminal.KEY_WARNING}"
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (compared, not bound)

Query = Sequence[tuple[str, str]]
Command = TypeVar("Command", bound=Callable[..., Any])


class AnswerError(DomainError):
    """The service refused the request; the message is the service's own."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Client:
    """An HTTP session with a service."""

    def __init__(self, http: ClientSession, url: str) -> None:
        self._http = http
        self._url = url

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, query: Query = (), body: bytes | None = None
    ) -> AsyncIterator[ClientResponse]:
        """Yield a successful response to read from. Raises AnswerError or UnavailableError."""
        url = self._url + path
        try:
            async with self._http.request(method, url, params=query, data=body) as answer:
                if answer.status >= HTTPStatus.BAD_REQUEST:
                    raise AnswerError(answer.status, _detail(answer.status, await answer.read()))
                yield answer
        except aiohttp.ClientConnectorError:
            raise UnavailableError(
                f"no service answers at {self._url}; start it with `vigia serve`, or set --url"
            ) from None
        except aiohttp.ClientError as error:
            raise UnavailableError(f"{self._url}: the response broke off: {error}") from None
        except TimeoutError:
            raise UnavailableError(
                f"{self._url}: no data for {SILENCE_TIMEOUT_S:g} s; try again"
            ) from None

    async def ask(
        self, method: str, path: str, query: Query = (), body: object = None
    ) -> dict[str, Any]:
        """Return the decoded response; an empty body becomes an empty object."""
        data = None if body is None else msgspec.json.encode(body)
        async with self.stream(method, path, query, data) as answer:
            found: dict[str, Any] = msgspec.json.decode(await answer.read() or b"{}")
            return found


def options(command: Command) -> Command:
    """Add the options for the address of the service and the key."""
    url = click.option(
        "--url",
        envvar="VIGIA_URL",
        show_envvar=True,
        help="Address of the service (default: the service on this machine).",
    )
    key = click.option("--key", envvar="VIGIA_KEY", show_envvar=True, help=KEY_HELP)
    key_file = click.option(
        "--key-file",
        envvar="VIGIA_KEY_FILE",
        show_envvar=True,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="File that contains the key.",
    )

    @wraps(command)
    def with_key(*, key: str | None, key_file: Path | None, **given: Any) -> None:
        if key_file is not None:
            if key is not None:
                raise click.UsageError("--key and --key-file exclude each other; use one of them")
            key = key_file.read_text(encoding="utf-8").strip()
        command(key=key, **given)

    return cast(Command, url(key(key_file(with_key))))


@asynccontextmanager
async def open_client(url: str | None, key: str | None, role: Role) -> AsyncIterator[Client]:
    """Yield a client with at least a role.

    1. With a key, use it, for whatever service.
    2. For the service of this machine, use the admin key of the settings.
    3. Without such a key, open a session in the database. That grants nothing new: a user who can
       access the database could also create a key in it.
    """
    settings = terminal.settings()
    if url is not None and key is None:
        raise click.UsageError(
            "--url needs --key-file or --key, because keys of this machine are for its own service"
        )
    if key is None and settings.admin_key is not None:
        key = settings.admin_key.reveal()
    address = (url or _local(settings)).rstrip("/")
    # On the same machine, compressing a response takes longer than sending it.
    asked = {} if url else {"Accept-Encoding": "identity"}
    if key is not None:
        async with _http({"Authorization": f"Bearer {key}", **asked}) as http:
            yield Client(http, address)
        return
    async with (
        open_unauthenticated(settings) as unauthenticated,
        unauthenticated.stream("GET", "/livez"),
    ):
        pass
    async with _session(settings, role) as headers, _http({**headers, **asked}) as http:
        yield Client(http, address)


@asynccontextmanager
async def open_unauthenticated(settings: Settings) -> AsyncIterator[Client]:
    """Yield a client of this machine's service without a key, for open routes."""
    async with _http({}) as http:
        yield Client(http, _local(settings))


def _local(settings: Settings) -> str:
    """Return the address of a service with these settings on this machine."""
    host = EVERYWHERE.get(settings.host, settings.host)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def _http(headers: Mapping[str, str]) -> ClientSession:
    timeout = ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=SILENCE_TIMEOUT_S)
    return ClientSession(headers=headers, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())


@asynccontextmanager
async def _session(settings: Settings, role: Role) -> AsyncIterator[Mapping[str, str]]:
    """Open a session, yield its headers, and close it."""
    async with terminal.database() as connection:
        principal = Principal(HOLDER, role)
        token = (await keys.open_session(connection, principal, None, utc_now())).reveal()
    try:
        yield {
            "Cookie": f"{cookie_name_of(settings.url)}={token}",
            "Origin": origin_of(settings.url),
        }
    finally:
        async with terminal.database() as connection:
            await keys.close_session(connection, token)


def _detail(status: int, body: bytes) -> str:
    """Return the detail of a problem+json; for any other body, the status."""
    try:
        found = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        found = {}
    return str(found.get("detail") or f"the service answered {status} {HTTPStatus(status).phrase}")
