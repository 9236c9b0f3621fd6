"""Access control: without authentication only the routes of the open list are answered."""

from collections.abc import Mapping
from typing import Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from api.accounts.authenticator import Authenticator, is_basic
from api.http.errors import problem
from api.server.connections import asker_of, identify
from audit.log import Type
from model.errors import UnavailableError
from model.principal import ALLOWED, Principal, Role

ROLE = "role"
"""Key of a handler's `opt`: the role it needs; None for any. Without it, viewer."""

REFUSAL = "refusal"
"""Key of a handler's `opt`: makes the answer of a refusal, of its status and detail, for people."""

OPEN: Mapping[str, Any] = {"open": True}
"""The `opt` of the open list in `api.app`, and of nothing else."""

AUTHENTICATES: Mapping[str, Any] = {"authenticates": True}
"""The `opt` of a WebSocket handler, which must ask the Authenticator before it sends anything."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class RefusedError(Exception):
    """Access is refused; says with which status, what to do about it, and to whom, if known.

    `kind` is how the security audit has it; None when nothing was shown.
    """

    def __init__(self, status: int, detail: str, kind: Type | None, actor: str = "") -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.actor = actor


class AccessMiddleware(ASGIMiddleware):
    """Lets a request in when its principal may do what its handler does, as `scope["user"]`.

    It also guards answers to paths that have no handler, so that strangers cannot tell them apart.
    """

    scopes = (ScopeType.HTTP, ScopeType.WEBSOCKET, ScopeType.ASGI)

    def __init__(self, auth: Authenticator) -> None:
        self._auth = auth

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        try:
            async with self._auth.throttle.looking_up(scope):
                await self._check(scope)
        except (RefusedError, UnavailableError) as refusal:
            if isinstance(refusal, RefusedError) and refusal.kind:
                self._auth.refusals.note(refusal.kind, scope, refusal.actor)
                if refusal.kind is Type.KEY_REFUSED:
                    await self._auth.throttle.wait(scope)
            await refuse(scope, receive, send, refusal)
        else:
            await next_app(scope, receive, send)

    async def _check(self, scope: Scope) -> None:
        handler = scope.get("route_handler")
        opt = handler.opt if handler else {}
        if scope["type"] == ScopeType.WEBSOCKET and opt.get("authenticates"):
            return
        connection: ASGIConnection[Any, Any, Any, Any] = ASGIConnection(scope)
        if opt.get("open"):
            self._refuse_foreign_page(connection)
            return
        principal = await self._principal(connection)
        identify(scope, principal)
        needed = opt.get(ROLE, Role.VIEWER)
        if needed is not None and principal.role not in ALLOWED[needed]:
            detail = f"this needs the role {needed}, and {principal.name!r} is {principal.role}"
            raise RefusedError(403, detail, Type.FORBIDDEN, principal.name)
        scope["user"] = principal

    async def _principal(self, connection: ASGIConnection[Any, Any, Any, Any]) -> Principal:
        authorization = connection.headers.get("authorization")
        cookie, asker = connection.headers.get("cookie"), asker_of(connection.scope)
        if authorization is not None:
            found = await self._auth.principal_of_header(authorization, asker)
        else:
            found = await self._auth.principal_of_cookie(cookie, asker)
        if found is None:
            # Nobody can tell a session that has ended from one that is made up.
            is_attempt = authorization or self._auth.session_of(cookie)
            raise RefusedError(
                401,
                "send a valid key as `Authorization: Bearer <key>`, or sign in with a browser",
                Type.KEY_REFUSED if is_attempt else None,
            )
        if authorization is None:
            self._refuse_foreign_page(connection, found)
        elif is_basic(authorization):
            # Browsers keep such a key, and send it for pages of other sites too.
            self._refuse_foreign_page(connection)
        return found

    def _refuse_foreign_page(
        self, connection: ASGIConnection[Any, Any, Any, Any], by_cookie: Principal | None = None
    ) -> None:
        """Refuse a change asked for by a page of another site, which a browser signs unasked."""
        headers = connection.headers
        origin = headers.get("origin")
        if connection.scope.get("method") in SAFE_METHODS or (origin is None and by_cookie is None):
            return
        same = headers.get("sec-fetch-site") == "same-origin"
        scheme = connection.scope["scheme"]
        if not same and not self._auth.is_own_origin(origin, headers.get("host"), scheme):
            raise RefusedError(
                403,
                "the Origin is not this service's; use its own pages, or a key; if this is its "
                "address, set VIGIA_PUBLIC_URL",
                Type.FORBIDDEN,
                by_cookie.name if by_cookie else "",
            )


async def refuse(
    scope: Scope, receive: Receive, send: Send, refusal: RefusedError | UnavailableError
) -> None:
    """Answer a request that is not served."""
    status = refusal.status if isinstance(refusal, RefusedError) else 503
    if scope["type"] == ScopeType.WEBSOCKET:
        await send({"type": "websocket.close", "code": 4000 + status, "reason": str(refusal)})
        return
    request: Request[Any, Any, Any] = Request(scope, receive, send)
    handler = scope.get("route_handler")
    write = (handler.opt if handler else {}).get(REFUSAL, problem)
    answer = write(status, str(refusal))
    await answer.to_asgi_response(app=None, request=request)(scope, receive, send)
