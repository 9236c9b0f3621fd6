"""Access control: routes outside the open list need authentication and a role."""

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
"""Key of a handler's `opt`: the role that it needs (None: any role). The default is viewer."""

REFUSAL = "refusal"
"""Key of a handler's `opt`: a function that makes the response to a refusal from status and detail,
for routes whose clients are people."""

OPEN: Mapping[str, Any] = {"open": True}
"""The `opt` of the open list in `api.app`, and of nothing else."""

AUTHENTICATES: Mapping[str, Any] = {"authenticates": True}
"""The `opt` of a WebSocket handler, which must authenticate the client before it sends anything."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class RefusedError(Exception):
    """Access is refused. The message says what to do; `actor` is the name of the client if known.

    `kind` is the type of its audit entry; None if the client sent no key, and nothing is logged.
    """

    def __init__(self, status: int, detail: str, kind: Type | None, actor: str = "") -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.actor = actor


class AccessMiddleware(ASGIMiddleware):
    """Passes a request on if its principal has the role of its handler; sets `scope["user"]`.

    Also guards responses for paths without a handler, so that unauthenticated clients cannot find
    out which paths exist.
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
            detail = (
                f"this needs the role {needed}, but {principal.name!r} has the role "
                f"{principal.role}"
            )
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
            # An ended session looks the same as a made-up one, so both count as attempts.
            is_attempt = authorization or self._auth.session_of(cookie)
            raise RefusedError(
                401,
                "send a valid key as `Authorization: Bearer <key>`, or sign in with a browser",
                Type.KEY_REFUSED if is_attempt else None,
            )
        if authorization is None:
            self._refuse_foreign_page(connection, found)
        elif is_basic(authorization):
            # Browsers store such a key, and also send it with requests of other sites' pages.
            self._refuse_foreign_page(connection)
        return found

    def _refuse_foreign_page(
        self, connection: ASGIConnection[Any, Any, Any, Any], by_cookie: Principal | None = None
    ) -> None:
        """Refuse a change requested by a page of another site (CSRF).

        Browsers add cookies and stored keys to such requests by themselves.
        """
        headers = connection.headers
        origin = headers.get("origin")
        if connection.scope.get("method") in SAFE_METHODS or (origin is None and by_cookie is None):
            return
        same = headers.get("sec-fetch-site") == "same-origin"
        scheme = connection.scope["scheme"]
        if not same and not self._auth.is_own_origin(origin, headers.get("host"), scheme):
            raise RefusedError(
                403,
                "the Origin header names another site; use this service's own pages or a key. "
                "If it is the address of this service, set VIGIA_PUBLIC_URL to it",
                Type.FORBIDDEN,
                by_cookie.name if by_cookie else "",
            )


async def refuse(
    scope: Scope, receive: Receive, send: Send, refusal: RefusedError | UnavailableError
) -> None:
    """Send the response to a refused request; a WebSocket is closed with code 4000 + status."""
    status = refusal.status if isinstance(refusal, RefusedError) else 503
    if scope["type"] == ScopeType.WEBSOCKET:
        await send({"type": "websocket.close", "code": 4000 + status, "reason": str(refusal)})
        return
    request: Request[Any, Any, Any] = Request(scope, receive, send)
    handler = scope.get("route_handler")
    write = (handler.opt if handler else {}).get(REFUSAL, problem)
    answer = write(status, str(refusal))
    await answer.to_asgi_response(app=None, request=request)(scope, receive, send)
