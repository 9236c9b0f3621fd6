"""Authentication: turns keys and session cookies into principals, and checks Origin headers."""

import asyncio
import base64
import hashlib
import hmac
import re
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from urllib.parse import urlsplit

from accounts import keys, sessions, tokens
from api.accounts.believed import Believed
from api.accounts.lookups import Lookups
from api.accounts.origins import cookie_name_of, origin_of
from api.accounts.throttle import Throttle
from audit.refusals import Refusals
from db.pool import DEADLINE_S, DatabasePool
from model.errors import UnavailableError
from model.principal import Principal, Role
from model.times import utc_now
from runtime.settings import Secret, Settings

ADMIN = Principal("admin", Role.ADMIN)
"""The holder of the bootstrap key, and whoever signs in with a sign-in link."""

VERIFIED_S = 3.0
"""How long a valid key or cookie is cached. A revoked one must be refused within 5 s."""
CONFIRM_EVERY_S = 2.0
"""How often all ingest keys in use are checked, in one query. They are accepted in an outage, and
a key revoked just before it must not be."""
BELIEVER_TIMEOUT_S = 2.0
PRIVATE_DOMAINS = (".local", ".localhost", ".lan", ".internal", ".home.arpa", ".test")
VERIFIED_MAX = 1000
TOKEN_CHARS_MAX = 1024
COOKIE_CHARS_MAX = 8 << 10
"""A longer Cookie header is ignored: parsing takes time on the event loop."""
SESSION = re.compile(rf"[A-Za-z0-9_-]{{1,{TOKEN_CHARS_MAX}}}", re.ASCII)
"""The form of a session cookie's value, which is never quoted."""


class Verified:
    """A cache of valid tokens by hash, for VERIFIED_S; if it is full, it drops the oldest."""

    def __init__(self) -> None:
        self._found: dict[bytes, tuple[Principal, float]] = {}

    def get(self, token: str) -> Principal | None:
        principal, until = self._found.get(tokens.hash_of(token), (None, 0.0))
        return principal if time.monotonic() < until else None

    def put(self, token: str, principal: Principal) -> None:
        digest = tokens.hash_of(token)
        self._found.pop(digest, None)
        if len(self._found) >= VERIFIED_MAX:
            del self._found[next(iter(self._found))]
        self._found[digest] = principal, time.monotonic() + VERIFIED_S

    def forget(self, token: str) -> None:
        self._found.pop(tokens.hash_of(token), None)

    def clear(self) -> None:
        self._found.clear()


class Authenticator:
    """Finds the principal of a token, header or cookie; None if it is not valid.

    Every method that looks something up raises UnavailableError if the database does not answer.
    """

    def __init__(
        self,
        pool: DatabasePool,
        settings: Settings,
        refusals: Refusals | None = None,
        obstacle: Callable[[], str] = lambda: "",
    ) -> None:
        """`obstacle` returns why the database cannot be asked yet, or an empty text."""
        self.refusals = refusals or Refusals()
        self.throttle = Throttle()
        self._pool = pool
        self.lookups = Lookups(pool, obstacle)
        self._admin_key = settings.admin_key
        self._origin = origin_of(settings.url)
        self._is_public = bool(settings.public_url)
        self._keys = Verified()
        self._sessions = Verified()
        self._senders = Believed()
        self._forgotten = 0
        """How often the caches were cleared. A look-up that started before is not cached after."""
        self.is_secure = self._origin.startswith("https:")
        self.cookie_name = cookie_name_of(self._origin)

    def forget(self) -> None:
        """Clear all caches, because the database was replaced by another one."""
        self._forgotten += 1
        for known in (self._keys, self._sessions, self._senders):
            known.clear()
        self.lookups.forget()

    async def confirm_senders(self) -> None:
        """Check in the database which ingest keys in use are still valid; drop the others.

        Bypasses the limits of `lookups`: a flood of made-up keys must not prevent the check.
        """
        asked, asked_at = self._senders.all(), time.monotonic()
        if not asked or self._pool.is_away:
            return
        async with asyncio.timeout(BELIEVER_TIMEOUT_S), self._pool.connection() as connection:
            valid = await keys.find_valid(connection, list(asked))
        self._senders.confirm(asked, valid, asked_at)

    async def principal_of_header(
        self, authorization: str | None, asker: str = ""
    ) -> Principal | None:
        """Return the principal of an Authorization header; `asker` is the client's address."""
        token = bearer_of(authorization) or basic_of(authorization)
        return None if token is None else await self.principal_of_token(token, asker)

    async def principal_of_cookie(self, cookie: str | None, asker: str = "") -> Principal | None:
        """Return the principal of a Cookie header; the caller must check the Origin."""
        token = self.session_of(cookie)
        if token is None or not sessions.is_session(token):
            return None
        if known := self._sessions.get(token):
            return known
        if self.lookups.is_refused(token):
            return None
        forgotten = self._forgotten
        async with self.lookups.connect(DEADLINE_S, asker, token) as connection:
            found = await sessions.find_session(connection, token, utc_now())
        if forgotten != self._forgotten:
            return found
        self.lookups.learn(token, is_valid=found is not None)
        if found is not None:
            self._sessions.put(token, found)
        return found

    async def principal_of_token(self, token: str, asker: str = "") -> Principal | None:
        """Return the principal of a key.

        1. The bootstrap key, then the cache of valid keys.
        2. The database, with a short deadline for an ingest key that can be accepted without it.
        3. If the database is unavailable, an ingest key that it confirmed shortly before.
        """
        if self._is_admin_key(token):
            return ADMIN
        if known := self._keys.get(token):
            return known
        asked_at, forgotten = time.monotonic(), self._forgotten
        timeout_s = BELIEVER_TIMEOUT_S if self._believed(token) else DEADLINE_S
        try:
            holder = await self._find(token, asker, timeout_s)
        except UnavailableError:
            believed = self._believed(token)
            # A busy database still knows whether the key was revoked. Only an outage counts.
            if believed is None or not self._pool.is_away:
                raise
            self._keys.put(token, believed)
            return believed
        self._senders.forget(token)
        if holder is None:
            return None
        principal = holder.principal()
        if forgotten == self._forgotten:
            self._remember(token, principal, asked_at)
        return principal

    def _remember(self, token: str, principal: Principal, asked_at: float) -> None:
        if principal.role is Role.INGEST:
            self._senders.put(token, principal, asked_at)
        self._keys.put(token, principal)

    async def sign_in(self, token: str, asker: str) -> Secret | None:
        """Open a session for the holder of a key; return the value of its cookie."""
        if self._is_admin_key(token):
            return await self._open_session(ADMIN, None)
        holder = await self._find(token, asker)
        if holder is None:
            return None
        return await self._open_session(holder.principal(), holder.id)

    async def sign_in_by_link(self, token: str, asker: str) -> Secret | None:
        """Consume a sign-in link and open a session."""
        async with self.lookups.connect(DEADLINE_S, asker) as connection:
            taken = await sessions.take_link(connection, token, utc_now())
        return await self._open_session(ADMIN, None) if taken else None

    async def sign_out(self, cookie: str | None) -> None:
        """End the session of a Cookie header, if there is one."""
        token = self.session_of(cookie)
        if token is not None:
            self._sessions.forget(token)
            async with self.lookups.connect_holder(DEADLINE_S) as connection:
                await sessions.close_session(connection, token)

    def session_of(self, cookie: str | None) -> str | None:
        """Return the session token in a Cookie header.

        Does not use `http.cookies`, which takes seconds to parse maliciously quoted values.
        """
        if not cookie or len(cookie) > COOKIE_CHARS_MAX or self.cookie_name not in cookie:
            return None
        for pair in cookie.split(";"):
            name, _, value = pair.strip().partition("=")
            if name == self.cookie_name and SESSION.fullmatch(value):
                return value
        return None

    def is_own_origin(self, origin: str | None, host: str | None, scheme: str) -> bool:
        """Return whether an Origin is this service: the public URL or, if none is set, the Host.

        A page of another site can set neither header. But its owner can point a domain at this
        service (DNS rebinding), so that both headers name that domain. Therefore, without a public
        URL, the name must be one that nobody outside can register.
        """
        if origin == self._origin:
            return True
        if self._is_public or not host or origin != f"{scheme}://{host}":
            return False
        name = _host_of(origin)
        return name is not None and is_private_name(name)

    def _is_admin_key(self, token: str) -> bool:
        if self._admin_key is None:
            return False
        wanted = self._admin_key.reveal().encode()
        # Compare digests, so that timing does not reveal even the length of the key.
        return hmac.compare_digest(_digest(token.encode()), _digest(wanted))

    def _believed(self, token: str) -> Principal | None:
        return self._senders.get(token, time.monotonic(), self._pool.answered_at)

    async def _find(
        self, token: str, asker: str, timeout_s: float = DEADLINE_S
    ) -> keys.Holder | None:
        if not keys.is_well_formed(token) or self.lookups.is_refused(token):
            return None
        forgotten = self._forgotten
        async with self.lookups.connect(timeout_s, asker, token) as connection:
            found = await keys.find(connection, token)
        if forgotten == self._forgotten:
            self.lookups.learn(token, is_valid=found is not None)
        return found

    async def _open_session(self, principal: Principal, key_id: int | None) -> Secret:
        async with self.lookups.connect_holder(DEADLINE_S) as connection:
            return await sessions.open_session(connection, principal, key_id, utc_now())


def bearer_of(authorization: str | None) -> str | None:
    """Return the key in an Authorization header, which the server decodes as Latin-1."""
    scheme, _, token = (authorization or "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not 0 < len(token) <= TOKEN_CHARS_MAX:
        return None
    return token.encode("latin-1", "replace").decode("utf-8", "replace")


def is_basic(authorization: str | None) -> bool:
    """Return whether the key is sent as the password of basic authentication."""
    return (authorization or "").lower().startswith("basic ")


def basic_of(authorization: str | None) -> str | None:
    """Return the password of basic authentication, in which some senders have to put their key."""
    if authorization is None or not is_basic(authorization):
        return None
    try:
        text = base64.b64decode(authorization[len("basic ") :].strip(), validate=True)
    except ValueError:
        return None
    key = text.partition(b":")[2].decode(errors="replace")
    return key if 0 < len(key) <= TOKEN_CHARS_MAX else None


def is_private_name(name: str) -> bool:
    """Return whether nobody outside can point this host name at the service.

    That holds for IP addresses, names without a dot, the name of this machine, and domains reserved
    for private networks.
    """
    with suppress(ValueError):
        ip_address(name.removeprefix("[").removesuffix("]"))
        return True
    is_own = name == socket.gethostname().lower()
    return "." not in name or is_own or name.endswith(PRIVATE_DOMAINS)


def _host_of(origin: str) -> str | None:
    """Return the host of an Origin; None if it cannot be parsed, such as `http://[`."""
    try:
        return urlsplit(origin).hostname
    except ValueError:
        return None


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()
