"""The running service as commands ask it: over HTTP, with a key or with a session of their own."""

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
from api.accounts.authenticator import cookie_name_of, origin_of
from model.errors import DomainError, UnavailableError
from model.principal import Principal, Role
from model.times import utc_now
from runtime.settings import Settings
from vigia.cli import terminal

CONNECT_TIMEOUT_S = 5.0
SILENCE_TIMEOUT_S = 60.0
"""How long an answer may pause: the whole of it may take hours."""
HOLDER = "cli"
KEY_HELP = f"A key; not needed beside the service. {terminal.KEY_WARNING}"
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (compared, not bound)

Query = Sequence[tuple[str, str]]
Command = TypeVar("Command", bound=Callable[..., Any])


class AnswerError(DomainError):
    """The service said no; the message is its own."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Client:
    """A service, and who asks it."""

    def __init__(self, http: ClientSession, url: str) -> None:
        self._http = http
        self._url = url

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, query: Query = (), body: bytes | None = None
    ) -> AsyncIterator[ClientResponse]:
        """Yield an answer that has begun well. Raises AnswerError, or UnavailableError."""
        url = self._url + path
        try:
            async with self._http.request(method, url, params=query, data=body) as answer:
                if answer.status >= HTTPStatus.BAD_REQUEST:
                    raise AnswerError(answer.status, _detail(answer.status, await answer.read()))
                yield answer
        except aiohttp.ClientConnectorError:
            raise UnavailableError(
                f"no service answers at {self._url}; start it with `vigia serve`, or give --url"
            ) from None
        except aiohttp.ClientError as error:
            raise UnavailableError(f"{self._url}: the answer broke off: {error}") from None
        except TimeoutError:
            raise UnavailableError(f"{self._url}: silent for {SILENCE_TIMEOUT_S:g} s") from None

    async def ask(
        self, method: str, path: str, query: Query = (), body: object = None
    ) -> dict[str, Any]:
        """Return a whole answer; nothing is an empty one."""
        data = None if body is None else msgspec.json.encode(body)
        async with self.stream(method, path, query, data) as answer:
            found: dict[str, Any] = msgspec.json.decode(await answer.read() or b"{}")
            return found


def options(command: Command) -> Command:
    """Add the options that say which service is asked, and who asks."""
    url = click.option(
        "--url", envvar="VIGIA_URL", show_envvar=True, help="A service; by default this machine's."
    )
    key = click.option("--key", envvar="VIGIA_KEY", show_envvar=True, help=KEY_HELP)
    key_file = click.option(
        "--key-file",
        envvar="VIGIA_KEY_FILE",
        show_envvar=True,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="A file that holds the key.",
    )

    @wraps(command)
    def with_key(*, key: str | None, key_file: Path | None, **given: Any) -> None:
        if key_file is not None:
            if key is not None:
                raise click.UsageError("--key and --key-file exclude each other; give one of them")
            key = key_file.read_text(encoding="utf-8").strip()
        command(key=key, **given)

    return cast(Command, url(key(key_file(with_key))))


@asynccontextmanager
async def open_client(url: str | None, key: str | None, role: Role) -> AsyncIterator[Client]:
    """Yield a client of a service; of this machine's own, one that may do what the role may.

    Without a key, that is by the administrator's, else by a session that this process opens in the
    database: whoever reaches that could as well make a key.
    """
    settings = terminal.settings()
    if url is not None and key is None:
        raise click.UsageError(
            "--url needs --key-file or --key: the keys of this machine are for its own service"
        )
    if key is None and settings.admin_key is not None:
        key = settings.admin_key.reveal()
    address = (url or _local(settings)).rstrip("/")
    # On this machine it takes longer to compress an answer than to send it.
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
    """Yield a client of this machine's service that shows no key: for what is open to all."""
    async with _http({}) as http:
        yield Client(http, _local(settings))


def _local(settings: Settings) -> str:
    """Return where a service with these settings listens."""
    host = EVERYWHERE.get(settings.host, settings.host)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def _http(headers: Mapping[str, str]) -> ClientSession:
    timeout = ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=SILENCE_TIMEOUT_S)
    return ClientSession(headers=headers, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())


@asynccontextmanager
async def _session(settings: Settings, role: Role) -> AsyncIterator[Mapping[str, str]]:
    """Yield the headers of a session that ends with the command."""
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
    """Return what a problem+json says; of anything else, the status."""
    try:
        found = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        found = {}
    return str(found.get("detail") or f"the service answered {status} {HTTPStatus(status).phrase}")
