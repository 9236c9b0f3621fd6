"""Errors as problem+json. 4xx says what to change; 5xx reveals nothing internal."""

import traceback
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import psycopg
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec
from litestar.types import ASGIApp, ExceptionHandlersMap
from msgspec import Struct

from api.http import invalid
from api.http.headers import methods_text
from db.failures import describe
from db.pool import AwayError, BusyError
from db.unfit import UNFIT
from model.errors import ConflictError, DomainError, InvalidError, NotFoundError, UnavailableError
from model.validation.words import explain_text

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
DETAIL_CHARS_MAX = 500
"""Longer details are cut: they may quote what the client sent."""
NOT_FOUND = "there is nothing at this address; GET /api/v1/monitoring lists all addresses"
STATUS = {InvalidError: 400, NotFoundError: 404, ConflictError: 409, UnavailableError: 503}
HEADERS = {
    401: {"WWW-Authenticate": 'Bearer realm="vigia"'},
    503: {"Retry-After": str(RETRY_AFTER_S)},
}


Wrapper = Callable[[ASGIApp], ASGIApp]


class Problem(Struct, frozen=True):
    """An error by RFC 9457. `title` names the status, `detail` says what is wrong here."""

    title: str
    status: int
    detail: str
    type: str = "about:blank"


def documented(description: str) -> ResponseSpec:
    """Return the OpenAPI description of an error that only some operations return."""
    return ResponseSpec(Problem, description=description, media_type=MEDIA_TYPE)


def problem(status: int, detail: str) -> Response[Problem]:
    """Return the response to a request that failed."""
    shown = detail if len(detail) <= DETAIL_CHARS_MAX else detail[:DETAIL_CHARS_MAX] + "…"
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=shown)
    return Response(
        body, status_code=status, media_type=MEDIA_TYPE, headers=HEADERS.get(status, {})
    )


def of_domain(_request: Request[Any, Any, Any], error: DomainError) -> Response[Problem]:
    return problem(STATUS[type(error)], str(error))


def of_data(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    log.warning("value_refused", path=request.scope["path"], error=str(error).strip())
    return problem(
        400, "a value cannot be stored: it is out of range, or a text contains U+0000; change it"
    )


def of_database(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    log.warning("database_away", path=request.scope["path"], error=str(error).strip())
    if isinstance(error, BusyError | AwayError):
        return problem(503, f"{error}; try again soon")
    return problem(503, "the database does not answer; try again soon")


def of_unfit(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    """Return a response for a database that is read-only, empty, or another one."""
    log.warning("database_unfit", path=request.scope["path"], error=str(error).strip())
    return problem(503, f"{describe(error)}; try again soon")


def of_depth(_request: Request[Any, Any, Any], _error: RecursionError) -> Response[Problem]:
    return problem(400, "the body is nested too deeply")


def of_bug(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    # Log the trace as text: a renderer that shows local variables would show keys.
    trace = "".join(traceback.format_exception(error))
    log.error("request_failed", path=request.scope["path"], exception=trace)
    return problem(500, "an internal error occurred; the log of the service has the details")


def _detail(request: Request[Any, Any, Any], error: HTTPException) -> str:
    """Return what to change; a validation error has one part for each wrong parameter."""
    if error.status_code == HTTPStatus.NOT_FOUND:
        return NOT_FOUND
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = methods_text((error.headers or {}).get("allow", ""))
        return f"this address allows only the methods {allowed}"
    if error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return "the body is too large; split it"
    if isinstance(error, ValidationException):
        return invalid.detail(request, error)
    return explain_text(error.detail)


class Guarded(Response[Problem]):
    """A response to a request without a handler, which has not passed access control yet."""

    def __init__(self, answer: Response[Problem], access: Wrapper) -> None:
        super().__init__(
            answer.content,
            status_code=answer.status_code,
            media_type=answer.media_type,
            headers=answer.headers,
        )
        self._access = access

    def to_asgi_response(self, *arguments: Any, **options: Any) -> Any:
        """Return the response wrapped in access control, which demands a key first."""
        return self._access(super().to_asgi_response(*arguments, **options))


def table(access: Wrapper) -> ExceptionHandlersMap:
    """Return the handler of each kind of error."""

    def of_http(request: Request[Any, Any, Any], error: HTTPException) -> Response[Problem]:
        answer = problem(error.status_code, _detail(request, error))
        answer.headers.update(error.headers or {})
        return answer if "route_handler" in request.scope else Guarded(answer, access)

    return {
        DomainError: of_domain,
        HTTPException: of_http,
        psycopg.DataError: of_data,
        psycopg.OperationalError: of_database,
        # An internal error of the database server: the request may succeed in another session.
        psycopg.errors.InternalError_: of_database,
        **dict.fromkeys(UNFIT, of_unfit),
        TimeoutError: of_database,
        RecursionError: of_depth,
        Exception: of_bug,
    }
