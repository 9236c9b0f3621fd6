"""The API documentation: the OpenAPI document, and a page for it without external files."""

from functools import cache
from hashlib import blake2b
from http import HTTPStatus
from pathlib import Path
from typing import Any

from litestar import MediaType, Request, Response, Router, get
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from api.http.errors import NOT_FOUND, problem
from api.http.headers import DOCS_POLICY
from api.http.limits import CONCURRENCY, Concurrency
from api.pages.openapi import complete
from model.errors import NotFoundError
from runtime.compression import constant
from runtime.installation import repair, web_folder
from runtime.version import __version__

DOCS = "/api/v1/docs"
DESCRIPTION = (
    "Self-hosted real-time monitoring. Times are RFC 3339, epoch seconds, or such as -24h; "
    "durations are 15s, 5m, 1h, 7d or seconds. Errors are application/problem+json."
)
ASSETS = web_folder() / "node_modules" / "swagger-ui-dist"
ASSET_TYPES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
ASSET_HEADERS = {"Cache-Control": "public, max-age=3600"}

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Vigia API</title>
<link rel="icon" href="/api/v1/docs/favicon-32x32.png">
<link rel="stylesheet" href="/api/v1/docs/swagger-ui.css">
</head>
<body>
<main id="page"></main>
<script src="/api/v1/docs/swagger-ui-bundle.js"></script>
<script src="/api/v1/docs/start.js"></script>
</body>
</html>
"""
SCRIPT = """SwaggerUIBundle({
  url: "/api/v1/openapi.json",
  dom_id: "#page",
  validatorUrl: null,
});
"""


class Document(JsonRenderPlugin):
    """The completed OpenAPI document as JSON."""

    _json: bytes = b""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Return the document, which is built once."""
        if not self._json:
            document = complete(openapi_schema, request.app.routes)
            self._json = constant(self.render_json(request, document))
        return self._json


@get(DOCS, opt={CONCURRENCY: Concurrency.NONE}, media_type=MediaType.HTML, include_in_schema=False)
async def docs_page() -> Response[str]:
    return Response(
        PAGE, media_type=MediaType.HTML, headers={"Content-Security-Policy": DOCS_POLICY}
    )


@get(f"{DOCS}/start.js", media_type="text/javascript", include_in_schema=False)
async def docs_script() -> Response[str]:
    return Response(SCRIPT, media_type="text/javascript", headers=ASSET_HEADERS)


@cache
def asset_of(name: str) -> tuple[bytes, str]:
    """Return a file, which is read once, and its ETag. Raises FileNotFoundError."""
    content = constant((ASSETS / name).read_bytes())
    return content, f'"{blake2b(content, digest_size=12).hexdigest()}"'


@get([f"{DOCS}/{name}" for name in ASSET_TYPES], include_in_schema=False)
async def docs_asset(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Serve one of ASSET_TYPES; the router matches no other path."""
    name = Path(request.scope["path"]).name
    try:
        content, tag = asset_of(name)
    except FileNotFoundError:
        text = f"the documentation page is not installed; run `{repair()}`"
        raise NotFoundError(text) from None
    return Response(content, media_type=ASSET_TYPES[name], headers=ASSET_HEADERS | {"ETag": tag})


def config(cookie_name: str) -> OpenAPIConfig:
    """Return the OpenAPI configuration, which serves the document at `/api/v1/openapi.json`."""
    key = SecurityScheme(type="http", scheme="bearer", description="A key, `vg_…`.")
    session = SecurityScheme(
        type="apiKey",
        name=cookie_name,
        security_scheme_in="cookie",
        description="Session of a browser; changes must come from this service's Origin.",
    )
    return OpenAPIConfig(
        title="Vigia",
        version=__version__,
        description=DESCRIPTION,
        components=Components(security_schemes={"key": key, "session": session}),
        security=[{"key": []}, {"session": []}],
        render_plugins=[Document()],
        openapi_router=Router(
            "/api/v1", route_handlers=[], include_in_schema=False, after_request=_no_page
        ),
    )


async def _no_page(response: Response[Any]) -> Response[Any]:
    """Replace Litestar's own 404 page by the usual problem response."""
    return problem(404, NOT_FOUND) if response.status_code == HTTPStatus.NOT_FOUND else response
