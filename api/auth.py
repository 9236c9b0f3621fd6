"""Who asks: keys and session cookies become principals, and Origins are compared with our own."""

import asyncio
import base64
import hashlib
import hmac
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from urllib.parse import urlsplit

import psycopg

from api.database import DEADLINE_S
from api.refusals import Refusals
from api.throttle import Throttle
from db import keys
from db.pool import AwayError, BusyError, DatabasePool
from db.queries import Connection
from vigia.model import Principal, Role, UnavailableError, utc_now
from vigia.settings import Secret, Settings

ADMIN = Principal("admin", Role.ADMIN)
"""Who holds the bootstrap key, or came by a sign-in link."""

VERIFIED_S = 3.0
"""How long a found key or cookie is believed: a revoked one must be refused within 5 s."""
BELIEVED_S = 3600.0
"""How long an ingest key is believed while the database, which would know, is away: what it sends
waits on disk. Nobody could revoke it meanwhile either."""
BELIEVER_TIMEOUT_S = 2.0
LOOKUPS_AT_ONCE = 2
"""So few that made-up keys never take the connections of the service's other work."""
LOOKUPS_WAITING_MAX = 512
PRIVATE_DOMAINS = (".local", ".localhost", ".lan", ".internal", ".home.arpa", ".test")
VERIFIED_MAX = 1000
TOKEN_CHARS_MAX = 1024


class Verified:
    """What was found to be valid a moment ago, by hash; the oldest leaves when it is full."""

    def __init__(self, life_s: float = VERIFIED_S) -> None:
        self._life_s = life_s
        self._found: dict[bytes, tuple[Principal, float]] = {}

    def get(self, token: str) -> Principal | None:
        principal, until = self._found.get(keys.hash_of(token), (None, 0.0))
        return principal if time.monotonic() < until else None

    def put(self, token: str, principal: Principal) -> None:
        digest = keys.hash_of(token)
        self._found.pop(digest, None)
        if len(self._found) >= VERIFIED_MAX:
            del self._found[next(iter(self._found))]
        self._found[digest] = principal, time.monotonic() + self._life_s

    def forget(self, token: str) -> None:
        self._found.pop(keys.hash_of(token), None)

    def clear(self) -> None:
        self._found.clear()


class Authenticator:
    """Tells who a token, header or cookie stands for; None for nobody.

    Every question may raise UnavailableError, because the database knows the answer.
    """

    def __init__(
        self,
        pool: DatabasePool,
        settings: Settings,
        refusals: Refusals | None = None,
        obstacle: Callable[[], str] = lambda: "",
    ) -> None:
        """Until `obstacle` is empty, keys that only the database knows are answered with it."""
        self.refusals = refusals or Refusals()
        self.throttle = Throttle()
        self.lookups_refused = 0
        self._pool = pool
        self._obstacle = obstacle
        self._lookups = asyncio.Semaphore(LOOKUPS_AT_ONCE)
        self._waiting = 0
        self._admin_key = settings.admin_key
        self._origin = origin_of(settings.url)
        self._is_public = bool(settings.public_url)
        self._keys = Verified()
        self._sessions = Verified()
        self._writers = Verified(BELIEVED_S)
        self.is_secure = self._origin.startswith("https:")
        self.cookie_name = cookie_name_of(self._origin)

    def forget(self) -> None:
        """Forget who holds which key: the database that knew it was replaced by another one."""
        for known in (self._keys, self._sessions, self._writers):
            known.clear()

    async def principal_of_header(self, authorization: str | None) -> Principal | None:
        """Return who an Authorization header stands for."""
        token = bearer_of(authorization) or basic_of(authorization)
        return None if token is None else await self.principal_of_token(token)

    async def principal_of_cookie(self, cookie: str | None) -> Principal | None:
        """Return who a Cookie header stands for; the caller must check the Origin."""
        token = self.session_of(cookie)
        if token is None:
            return None
        if known := self._sessions.get(token):
            return known
        async with self._connect() as connection:
            found = await keys.find_session(connection, token, utc_now())
        if found is not None:
            self._sessions.put(token, found)
        return found

    async def principal_of_token(self, token: str) -> Principal | None:
        """Return who holds a key."""
        if self._is_admin_key(token):
            return ADMIN
        if known := self._keys.get(token):
            return known
        believed = self._writers.get(token)
        try:
            holder = await self._find(token, BELIEVER_TIMEOUT_S if believed else DEADLINE_S)
        except UnavailableError:
            # A database that is only busy would know that the key has been revoked.
            if believed is None or not self._pool.is_away:
                raise
            self._keys.put(token, believed)
            return believed
        self._writers.forget(token)
        if holder is None:
            return None
        principal = holder.principal()
        if principal.role is Role.INGEST:
            self._writers.put(token, principal)
        self._keys.put(token, principal)
        return principal

    async def sign_in(self, token: str) -> Secret | None:
        """Open a session for the holder of a key and return its cookie's value."""
        if self._is_admin_key(token):
            return await self._open_session(ADMIN, None)
        holder = await self._find(token)
        if holder is None:
            return None
        return await self._open_session(holder.principal(), holder.id)

    async def sign_in_by_link(self, token: str) -> Secret | None:
        """Use up a sign-in link and open a session for it."""
        async with self._connect() as connection:
            taken = await keys.take_link(connection, token, utc_now())
        return await self._open_session(ADMIN, None) if taken else None

    async def sign_out(self, cookie: str | None) -> None:
        """End the session of a Cookie header, if there is one."""
        token = self.session_of(cookie)
        if token is not None:
            self._sessions.forget(token)
            async with self._connect() as connection:
                await keys.close_session(connection, token)

    def session_of(self, cookie: str | None) -> str | None:
        """Return the session's token in a Cookie header."""
        try:
            morsel = SimpleCookie(cookie or "").get(self.cookie_name)
        except CookieError:
            return None
        return morsel.value if morsel and 0 < len(morsel.value) <= TOKEN_CHARS_MAX else None

    def is_own_origin(self, origin: str | None, host: str | None, scheme: str) -> bool:
        """Whether an Origin is ours: the public URL, or where none is set also that of the Host.

        A page of another site can choose neither header. It can have a name of its own lead here,
        so that both name it: without a public URL, the name must be one that no stranger can have.
        """
        if origin == self._origin:
            return True
        if self._is_public or not host or origin != f"{scheme}://{host}":
            return False
        name = urlsplit(origin).hostname
        return name is not None and is_private_name(name)

    def _is_admin_key(self, token: str) -> bool:
        if self._admin_key is None:
            return False
        wanted = self._admin_key.reveal().encode()
        # Digests are compared, so that not even the length of the key can be timed.
        return hmac.compare_digest(_digest(token.encode()), _digest(wanted))

    async def _find(self, token: str, timeout_s: float = DEADLINE_S) -> keys.Holder | None:
        if not keys.is_well_formed(token):
            return None
        async with self._connect(timeout_s) as connection:
            return await keys.find(connection, token)

    @asynccontextmanager
    async def _connect(self, timeout_s: float = DEADLINE_S) -> AsyncIterator[Connection]:
        """Lend one of the few connections for looking up. Raises UnavailableError, saying why."""
        if obstacle := self._obstacle():
            raise UnavailableError(obstacle)
        if self._waiting >= LOOKUPS_WAITING_MAX:
            self.lookups_refused += 1
            raise UnavailableError("too many keys wait to be looked up; try again soon")
        self._waiting += 1
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._lookups,
                self._pool.connection() as connection,
            ):
                yield connection
        except AwayError as error:
            raise UnavailableError(f"{error}; try again soon") from error
        except BusyError as error:
            raise UnavailableError("the database is busy; try again soon") from error
        except (psycopg.OperationalError, TimeoutError) as error:
            raise UnavailableError("the database does not answer; try again soon") from error
        finally:
            self._waiting -= 1

    async def _open_session(self, principal: Principal, key_id: int | None) -> Secret:
        async with self._connect() as connection:
            return await keys.open_session(connection, principal, key_id, utc_now())


def bearer_of(authorization: str | None) -> str | None:
    """Return the key in an Authorization header, which arrives as Latin-1 whatever was sent."""
    scheme, _, token = (authorization or "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not 0 < len(token) <= TOKEN_CHARS_MAX:
        return None
    return token.encode("latin-1", "replace").decode("utf-8", "replace")


def is_basic(authorization: str | None) -> bool:
    """Whether a key comes as the password of basic authentication."""
    return (authorization or "").lower().startswith("basic ")


def basic_of(authorization: str | None) -> str | None:
    """Return the password of basic authentication: senders that know nothing else show a key so."""
    if authorization is None or not is_basic(authorization):
        return None
    try:
        text = base64.b64decode(authorization[len("basic ") :].strip(), validate=True)
    except ValueError:
        return None
    key = text.partition(b":")[2].decode(errors="replace")
    return key if 0 < len(key) <= TOKEN_CHARS_MAX else None


def is_private_name(name: str) -> bool:
    """Whether no stranger can make a host's name lead here.

    An address needs no look-up, and nobody can register a name without a dot, that of this machine,
    or one of a domain that is kept for private networks.
    """
    with suppress(ValueError):
        ip_address(name.removeprefix("[").removesuffix("]"))
        return True
    is_own = name == socket.gethostname().lower()
    return "." not in name or is_own or name.endswith(PRIVATE_DOMAINS)


def cookie_name_of(url: str) -> str:
    """Return the name of the cookie that holds a session of the service at an address."""
    # The prefix makes browsers refuse a cookie of this name from a subdomain or over http.
    return "__Host-vigia" if url.startswith("https:") else "vigia"


def origin_of(url: str) -> str:
    """Return an address as browsers write it in Origin: without path and without a default port."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    default = {"http": 80, "https": 443}[parts.scheme]
    port = f":{parts.port}" if parts.port not in (None, default) else ""
    return f"{parts.scheme}://{host}{port}"


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()
