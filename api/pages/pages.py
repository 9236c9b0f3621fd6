"""The pages for browsers: the first page, the sign-in page, pages of links, and their files."""

import html
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.response import Redirect
from msgspec import Struct

from api.accounts.sessions import session_cookie
from api.http.access import REFUSAL
from api.http.context import AppContext
from api.http.errors import HEADERS
from api.http.head import is_head
from api.http.headers import PAGE_POLICY, WORKER_POLICY
from api.http.limits import CONCURRENCY, Concurrency
from api.server.connections import asker_of
from audit.log import Type
from model.errors import NotFoundError
from runtime.compression import constant
from runtime.installation import repair, web_folder

DIST = web_folder() / "dist"
MANIFEST = ".vite/manifest.json"
FIRST, SIGN_IN, LINK = "index.html", "sign-in.html", "link.html"
WORKER = "service-worker.js"
PAGES = ["/", "/on-call", "/settings"]
"""The addresses of the pages, which web/src/page.tsx tells apart."""
NOTICE = b"<!-- notice -->"
"""The placeholder in the sign-in page for a notice."""
CONTENT = b"<!-- content -->"
"""The placeholder in the page of a link for its text and button."""
TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
IMMUTABLE = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "Vary": "Accept-Encoding",
}
NOT_BUILT = (
    b'<!doctype html><html lang="en"><meta charset="utf-8"><title>Vigia</title>'
    b"<h1>The pages are missing</h1><p>Run <code>%b</code>, then load this page again."
    b" The API works without them.</p></html>"
) % repair().encode()


class Built(Struct, frozen=True):
    """The built files of `web/`: pages, and every file that they reference, by file name."""

    pages: Mapping[str, bytes]
    unnoticed: Mapping[str, bytes]
    """The pages with the placeholder removed."""
    assets: Mapping[str, bytes]
    worker: bytes
    """The service worker. Its name never changes, because browsers know it by its path."""


class Chunk(Struct):
    """An entry of the build manifest: a file, and the files that it needs."""

    file: str
    css: list[str] = []
    assets: list[str] = []


def load(folder: Path) -> Built:
    """Read the files in the manifest, and no others. Raises FileNotFoundError."""
    manifest = (folder / MANIFEST).read_bytes()
    chunks = msgspec.json.decode(manifest, type=dict[str, Chunk]).values()
    files = {name for chunk in chunks for name in [chunk.file, *chunk.css, *chunk.assets]}
    pages = {name: (folder / name).read_bytes() for name in (FIRST, SIGN_IN, LINK)}
    return Built(
        pages=pages,
        unnoticed={name: constant(page.replace(NOTICE, b"")) for name, page in pages.items()},
        assets={Path(name).name: constant((folder / name).read_bytes()) for name in files},
        worker=constant((folder / WORKER).read_bytes()),
    )


@cache
def built() -> Built:
    """Return the files, which are read once. A failure is not cached, so it is tried again."""
    return load(DIST)


def page(name: str, status: int = 200, notice: str = "") -> Response[bytes]:
    """Return a page; the sign-in page can show a notice."""
    try:
        files = built()
    except FileNotFoundError:
        status, content = 503, NOT_BUILT
    else:
        content = files.unnoticed[name]
        if notice:
            said = f'<p class="notice" role="alert">{html.escape(notice)}</p>'
            content = files.pages[name].replace(NOTICE, said.encode())
    return Response(
        content,
        status_code=status,
        media_type="text/html",
        headers={"Content-Security-Policy": PAGE_POLICY, **HEADERS.get(status, {})},
    )


def link_page(content: str, status: int = 200) -> Response[bytes]:
    """Return the page of a link; `content` is HTML in which all foreign text is escaped."""
    try:
        whole = built().pages[LINK].replace(CONTENT, content.encode())
    except FileNotFoundError:
        status, whole = 503, NOT_BUILT
    headers = {
        "Content-Security-Policy": PAGE_POLICY,
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        **HEADERS.get(status, {}),
    }
    return Response(whole, status_code=status, media_type="text/html", headers=headers)


def refusal(status: int, detail: str) -> Response[bytes]:
    """Return the sign-in page for a refused request, with the reason if the client signed in."""
    is_unauthenticated = status == 401  # noqa: PLR2004 (Unauthorized)
    return page(SIGN_IN, status, "" if is_unauthenticated else detail)


@get(PAGES, opt={REFUSAL: refusal, CONCURRENCY: Concurrency.NONE}, include_in_schema=False)
async def first_page() -> Response[bytes]:
    """Serve the document of every page: its script looks at the address."""
    return page(FIRST)


@get("/sign-in", include_in_schema=False)
async def sign_in_page(
    request: Request[Any, Any, Any],
    context: NamedDependency[AppContext],
    token: Annotated[
        str | None, QueryParameter(description="The token of a one-time link.")
    ] = None,
) -> Response[bytes]:
    """Show the form, or consume a sign-in link. An invalid link shows a notice above the form."""
    if token is None or is_head(request.scope):
        return page(SIGN_IN)
    async with context.auth.throttle.looking_up(request.scope):
        session = await context.auth.sign_in_by_link(token, asker_of(request.scope))
    if session is None:
        context.auth.refusals.note(Type.SIGN_IN_FAILED, request.scope)
        await context.auth.throttle.wait(request.scope)
        return page(SIGN_IN, 401, "This link is used or expired. Sign in with a key.")
    answer: Response[Any] = Redirect("/", status_code=303)
    answer.cookies.append(session_cookie(request, context.auth, session))
    return answer


@get(f"/{WORKER}", include_in_schema=False)
async def service_worker() -> Response[bytes]:
    """Serve the service worker at the root, so that its scope is every page. It is never cached."""
    try:
        content = built().worker
    except FileNotFoundError:
        raise NotFoundError(f"the pages are missing; run `{repair()}`") from None
    headers = {"Content-Security-Policy": WORKER_POLICY, "Cache-Control": "no-cache"}
    return Response(content, media_type=TYPES[".js"], headers=headers)


@get("/assets/{name:str}", include_in_schema=False)
async def asset(name: FromPath[str]) -> Response[bytes]:
    """Serve a file of the pages. It is immutable: its name contains a hash of its content."""
    try:
        content = built().assets[name]
    except (FileNotFoundError, KeyError):
        raise NotFoundError("this file does not exist any more; reload the page") from None
    return Response(content, media_type=TYPES[Path(name).suffix], headers=IMMUTABLE)
