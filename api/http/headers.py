"""Default headers of responses, which a handler can override."""

from collections.abc import Iterable

from litestar.routes import BaseRoute, HTTPRoute
from litestar.types import Message, Scope

from api.server.connections import ENDS

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "manifest-src 'self'; require-trusted-types-for 'script'; trusted-types service-worker"
)
"""For Vigia's pages: nothing inline, and no text is ever parsed as HTML or code."""

WORKER_POLICY = "default-src 'none'; connect-src 'self'; base-uri 'none'; form-action 'none'"
"""For the service worker, which sends requests to this service and loads nothing."""

DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""For the API documentation, whose library writes inline styles; scripts are Vigia's files."""

DEFAULTS = {
    b"content-security-policy": b"default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
}


async def add_headers(message: Message, scope: Scope) -> None:
    """Add missing headers to a response as it is sent, error responses included."""
    if message["type"] == "http.response.start":
        given = list(message["headers"])
        names = {name.lower() for name, _ in given}
        missing = [pair for pair in DEFAULTS.items() if pair[0] not in names]
        ends = [(b"connection", b"close")] if (scope.get("state") or {}).get(ENDS) else []
        message["headers"] = [*given, *missing, *ends]


class Allow:
    """Completes the `Allow` header: the router lists only the methods of one handler, not HEAD."""

    def __init__(self) -> None:
        self._methods: dict[str, set[str]] = {}

    def learn(self, routes: Iterable[BaseRoute]) -> None:
        """Remember the methods of every path."""
        for route in routes:
            if isinstance(route, HTTPRoute):
                self._methods.setdefault(route.path_format, set()).update(route.methods)

    async def __call__(self, message: Message, scope: Scope) -> None:
        """Complete the header as the response is sent."""
        if message["type"] != "http.response.start":
            return
        names = [name.lower() for name, _ in message["headers"]]
        if b"allow" in names:
            headers = list(message["headers"])
            at = names.index(b"allow")
            known = self._methods.get(str(scope.get("path_template")), set())
            headers[at] = b"allow", methods_text(headers[at][1].decode(), known).encode()
            message["headers"] = headers


def methods_text(allow: str, others: Iterable[str] = ()) -> str:
    """Return the methods of an `Allow` header and others, plus HEAD if there is GET.

    Drops `websocket`, which the router lists as a method.
    """
    methods = {name.strip() for name in allow.split(",")} - {"websocket"} | set(others)
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
