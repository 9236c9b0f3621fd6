"""Who asks: keys and session cookies become principals, and Origins are compared with our own."""

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
from api.accounts.throttle import Throttle
from audit.refusals import Refusals
from db.pool import DEADLINE_S, DatabasePool
from model.errors import UnavailableError
from model.principal import Principal, Role
from model.times import utc_now
from runtime.settings import Secret, Settings

ADMIN = Principal("admin", Role.ADMIN)
"""Who holds the bootstrap key, or came by a sign-in link."""

VERIFIED_S = 3.0
"""How long a found key or cookie is believed: a revoked one must be refused within 5 s."""
CONFIRM_EVERY_S = 2.0
"""How often ingest keys that would be believed in an outage are asked for, all in one query: one
that was revoked must be refused within 5 s."""
BELIEVER_TIMEOUT_S = 2.0
PRIVATE_DOMAINS = (".local", ".localhost", ".lan", ".internal", ".home.arpa", ".test")
VERIFIED_MAX = 1000
TOKEN_CHARS_MAX = 1024
COOKIE_CHARS_MAX = 8 << 10
"""A longer Cookie header is not read: it takes as long to read as it is, on the event loop."""
SESSION = re.compile(rf"[A-Za-z0-9_-]{{1,{TOKEN_CHARS_MAX}}}", re.ASCII)
"""What the value of a session's cookie is made of; nothing in it is ever quoted."""


class Verified:
    """What was found to be valid a moment ago, by hash; the oldest leaves when it is full."""

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
        self._pool = pool
        self.lookups = Lookups(pool, obstacle)
        self._admin_key = settings.admin_key
        self._origin = origin_of(settings.url)
        self._is_public = bool(settings.public_url)
        self._keys = Verified()
        self._sessions = Verified()
        self._senders = Believed()
        self._forgotten = 0
        """How often everything was forgotten; what was asked before is not remembered after it."""
        self.is_secure = self._origin.startswith("https:")
        self.cookie_name = cookie_name_of(self._origin)

    def forget(self) -> None:
        """Forget who holds which key: the database that knew it was replaced by another one."""
        self._forgotten += 1
        for known in (self._keys, self._sessions, self._senders):
            known.clear()
        self.lookups.forget()

    async def confirm_senders(self) -> None:
        """Ask the database which of the ingest keys in use are still valid; forget the others.

        It takes no place among the lookups: made-up keys must not keep it from being asked.
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
        """Return who an Authorization header stands for; `asker` is the address that shows it."""
        token = bearer_of(authorization) or basic_of(authorization)
        return None if token is None else await self.principal_of_token(token, asker)

    async def principal_of_cookie(self, cookie: str | None, asker: str = "") -> Principal | None:
        """Return who a Cookie header stands for; the caller must check the Origin."""
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
        """Return who holds a key."""
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
            # A database that is only busy would know that the key has been revoked.
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
        """Open a session for the holder of a key and return its cookie's value."""
        if self._is_admin_key(token):
            return await self._open_session(ADMIN, None)
        holder = await self._find(token, asker)
        if holder is None:
            return None
        return await self._open_session(holder.principal(), holder.id)

    async def sign_in_by_link(self, token: str, asker: str) -> Secret | None:
        """Use up a sign-in link and open a session for it."""
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
        """Return the session's token in a Cookie header.

        It is not parsed by `http.cookies`, which takes seconds for what is quoted cunningly.
        """
        if not cookie or len(cookie) > COOKIE_CHARS_MAX or self.cookie_name not in cookie:
            return None
        for pair in cookie.split(";"):
            name, _, value = pair.strip().partition("=")
            if name == self.cookie_name and SESSION.fullmatch(value):
                return value
        return None

    def is_own_origin(self, origin: str | None, host: str | None, scheme: str) -> bool:
        """Whether an Origin is ours: the public URL, or where none is set also that of the Host.

        A page of another site can choose neither header. It can have a name of its own lead here,
        so that both name it: without a public URL, the name must be one that no stranger can have.
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
        # Digests are compared, so that not even the length of the key can be timed.
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


def _host_of(origin: str) -> str | None:
    """Return the host that an Origin names; None where it cannot be read, such as `http://[`."""
    try:
        return urlsplit(origin).hostname
    except ValueError:
        return None


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()
