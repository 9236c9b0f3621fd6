"""Signing browsers in and out: a key becomes a session cookie."""

from typing import Any

from litestar import Request, Response, delete, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.exceptions import NotAuthorizedException
from litestar.params import JSONBody
from msgspec import Struct

from api.auth import Authenticator
from api.door import ROLE
from api.parts import KnownRequest, Parts
from db.keys import SESSION_LIFE
from db.security import Type
from vigia.settings import Secret


class Credentials(Struct, frozen=True, forbid_unknown_fields=True):
    """What a browser signs in with."""

    key: str


@post("/api/v1/auth/session", status_code=204, tags=["session"], summary="Sign in with a key")
async def sign_in(
    request: Request[Any, Any, Any],
    data: JSONBody[Credentials],
    parts: NamedDependency[Parts],
) -> Response[None]:
    session = await parts.auth.sign_in(data.key)
    if session is None:
        parts.auth.refusals.note(Type.SIGN_IN_FAILED, request.scope)
        await parts.auth.throttle.wait(request.scope)
        raise NotAuthorizedException("this key is not valid; ask an administrator for another")
    return Response(None, status_code=204, cookies=[session_cookie(request, parts.auth, session)])


@delete("/api/v1/auth/session", opt={ROLE: None}, tags=["session"], summary="Sign out")
async def sign_out(request: KnownRequest, parts: NamedDependency[Parts]) -> Response[None]:
    await parts.auth.sign_out(request.headers.get("cookie"))
    gone = session_cookie(request, parts.auth, Secret(""))
    gone.max_age = 0
    return Response(None, status_code=204, cookies=[gone])


def session_cookie(request: Request[Any, Any, Any], auth: Authenticator, session: Secret) -> Cookie:
    """Return the cookie of a session; over https, which a trusted proxy may say, it is Secure.

    Lax, not Strict: a link in a terminal's page, a chat or a mail would arrive signed out. What
    Strict would add, the door does: a change by cookie needs our own Origin.
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
