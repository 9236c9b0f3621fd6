"""Routes to sign a browser in and out: they exchange a key for a session cookie."""

from typing import Any

from litestar import Request, Response, delete, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.exceptions import NotAuthorizedException
from litestar.params import JSONBody
from msgspec import Struct

from accounts.sessions import SESSION_LIFE
from api.accounts.authenticator import Authenticator
from api.http.access import ROLE
from api.http.context import AppContext, KnownRequest
from api.server.connections import asker_of
from audit.log import Type
from runtime.settings import Secret


class Credentials(Struct, frozen=True, forbid_unknown_fields=True):
    """The key with which a browser signs in."""

    key: str


@post("/api/v1/auth/session", status_code=204, tags=["session"], summary="Sign in with a key")
async def sign_in(
    request: Request[Any, Any, Any],
    data: JSONBody[Credentials],
    context: NamedDependency[AppContext],
) -> Response[None]:
    async with context.auth.throttle.looking_up(request.scope):
        session = await context.auth.sign_in(data.key, asker_of(request.scope))
    if session is None:
        context.auth.refusals.note(Type.SIGN_IN_FAILED, request.scope)
        await context.auth.throttle.wait(request.scope)
        raise NotAuthorizedException("this key is not valid; ask an administrator for another")
    return Response(None, status_code=204, cookies=[session_cookie(request, context.auth, session)])


@delete("/api/v1/auth/session", opt={ROLE: None}, tags=["session"], summary="Sign out")
async def sign_out(request: KnownRequest, context: NamedDependency[AppContext]) -> Response[None]:
    await context.auth.sign_out(request.headers.get("cookie"))
    gone = session_cookie(request, context.auth, Secret(""))
    gone.max_age = 0
    return Response(None, status_code=204, cookies=[gone])


def session_cookie(request: Request[Any, Any, Any], auth: Authenticator, session: Secret) -> Cookie:
    """Return the cookie of a session. It is Secure over https, also behind a trusted proxy.

    SameSite is Lax: with Strict, links in chats and mails would open signed out. Access control
    provides the rest of the protection, because a change by cookie needs this service's Origin.
    """
    return Cookie(
        key=auth.cookie_name,
        value=session.reveal(),
        path="/",
        max_age=int(SESSION_LIFE.total_seconds()),
        httponly=True,
        secure=auth.is_secure or request.scope["scheme"] == "https",
        samesite="lax",
    )
