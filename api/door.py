"""The one door: nothing is answered to a stranger unless its route is in the open list."""

from collections.abc import Mapping
from typing import Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from api.auth import Authenticator, is_basic
from api.connections import identify
from api.errors import problem
from db.security import Type
from vigia.model import Principal, Role, UnavailableError

ROLE = "role"
"""Key of a handler's `opt`: the role it needs; None for any. Without it, viewer."""

REFUSAL = "refusal"
"""Key of a handler's `opt`: makes the answer of a refusal, of its status and detail, for people."""

OPEN: Mapping[str, Any] = {"open": True}
"""The `opt` of the open list in `api.app`, and of nothing else."""

AUTHENTICATES: Mapping[str, Any] = {"authenticates": True}
"""The `opt` of a WebSocket handler, which must ask the Authenticator before it sends anything."""

ALLOWED: Mapping[Role, frozenset[Role]] = {
    Role.INGEST: frozenset({Role.INGEST, Role.ADMIN}),
    Role.VIEWER: frozenset({Role.VIEWER, Role.OPERATOR, Role.ADMIN}),
    Role.OPERATOR: frozenset({Role.OPERATOR, Role.ADMIN}),
    Role.ADMIN: frozenset({Role.ADMIN}),
}
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class RefusedError(Exception):
    """The door stays shut; says with which status, what to do about it, and to whom, if known.

    `kind` is how the security audit has it; None for a stranger who showed nothing.
    """

    def __init__(self, status: int, detail: str, kind: Type | None, actor: str = "") -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.actor = actor


class Door(ASGIMiddleware):
    """Lets a request in when its principal may do what its handler does, as `scope["user"]`.

    It also guards answers to paths that have no handler, so that strangers cannot tell them apart.
    """

    scopes = (ScopeType.HTTP, ScopeType.WEBSOCKET, ScopeType.ASGI)

    def __init__(self, auth: Authenticator) -> None:
        self._auth = auth

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        try:
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
        identify(scope)
        needed = opt.get(ROLE, Role.VIEWER)
        if needed is not None and principal.role not in ALLOWED[needed]:
            detail = f"this needs the role {needed}, and {principal.name!r} is {principal.role}"
            raise RefusedError(403, detail, Type.FORBIDDEN, principal.name)
        scope["user"] = principal

    async def _principal(self, connection: ASGIConnection[Any, Any, Any, Any]) -> Principal:
        authorization = connection.headers.get("authorization")
        if authorization is not None:
            found = await self._auth.principal_of_header(authorization)
        else:
            found = await self._auth.principal_of_cookie(connection.headers.get("cookie"))
        if found is None:
            # A cookie that has ended is no attempt: pages that were left open show it for ever.
            raise RefusedError(
                401,
                "send a valid key as `Authorization: Bearer <key>`, or sign in with a browser",
                Type.KEY_REFUSED if authorization else None,
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
