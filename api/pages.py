"""The pages for browsers: the first page, the sign-in page, and the files that both are made of."""

import gzip
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

from api.door import REFUSAL
from api.errors import HEADERS
from api.head import is_head
from api.headers import PAGE_POLICY
from api.limits import CONCURRENCY, Concurrency
from api.parts import Parts
from api.sessions import session_cookie
from db.security import Type
from vigia.installation import repair, web_folder
from vigia.model import NotFoundError

DIST = web_folder() / "dist"
MANIFEST = ".vite/manifest.json"
FIRST, SIGN_IN = "index.html", "sign-in.html"
NOTICE = b"<!-- notice -->"
"""The place in the sign-in page for what the service has to say."""
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
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
    """What the build of `web/` made: the pages, and every file they name, by its file name."""

    pages: Mapping[str, bytes]
    assets: Mapping[str, bytes]
    zipped: Mapping[str, bytes]


class Chunk(Struct):
    """An entry of the manifest: a file, and those that come with it."""

    file: str
    css: list[str] = []
    assets: list[str] = []


def load(folder: Path) -> Built:
    """Read what the manifest names, and nothing else. Raises FileNotFoundError."""
    manifest = (folder / MANIFEST).read_bytes()
    chunks = msgspec.json.decode(manifest, type=dict[str, Chunk]).values()
    files = {name for chunk in chunks for name in [chunk.file, *chunk.css, *chunk.assets]}
    assets = {Path(name).name: (folder / name).read_bytes() for name in files}
    return Built(
        pages={name: (folder / name).read_bytes() for name in (FIRST, SIGN_IN)},
        assets=assets,
        zipped={name: gzip.compress(content, mtime=0) for name, content in assets.items()},
    )


@cache
def built() -> Built:
    """Read the files once; those that are not there are looked for again."""
    return load(DIST)


def page(name: str, status: int = 200, notice: str = "") -> Response[bytes]:
    """Return a page, with something said on it if it is the sign-in page."""
    try:
        content = built().pages[name]
    except FileNotFoundError:
        status, content = 503, NOT_BUILT
    said = f'<p class="notice" role="alert">{html.escape(notice)}</p>' if notice else ""
    return Response(
        content.replace(NOTICE, said.encode()),
        status_code=status,
        media_type="text/html",
        headers={"Content-Security-Policy": PAGE_POLICY, **HEADERS.get(status, {})},
    )


def refusal(status: int, detail: str) -> Response[bytes]:
    """Ask a stranger to sign in; whoever showed something hears what is wrong with it."""
    is_stranger = status == 401  # noqa: PLR2004 (Unauthorized)
    return page(SIGN_IN, status, "" if is_stranger else detail)


@get("/", opt={REFUSAL: refusal, CONCURRENCY: Concurrency.NONE}, include_in_schema=False)
async def first_page() -> Response[bytes]:
    return page(FIRST)


@get("/sign-in", include_in_schema=False)
async def sign_in_page(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    token: Annotated[str | None, QueryParameter(description="Of a one-time link.")] = None,
) -> Response[bytes]:
    """Show the form, or use up a link. A link that is no good says so above the form."""
    if token is None or is_head(request.scope):
        return page(SIGN_IN)
    session = await parts.auth.sign_in_by_link(token)
    if session is None:
        parts.auth.refusals.note(Type.SIGN_IN_FAILED, request.scope)
        await parts.auth.throttle.wait(request.scope)
        return page(SIGN_IN, 401, "This link was used or is too old. Sign in with a key.")
    answer: Response[Any] = Redirect("/", status_code=303)
    answer.cookies.append(session_cookie(request, parts.auth, session))
    return answer


@get("/assets/{name:str}", include_in_schema=False)
async def asset(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[bytes]:
    """Serve a file of the pages; its name changes with its content."""
    encodings = request.headers.get("accept-encoding", "").replace(" ", "")
    is_zipped = "gzip" in encodings and "gzip;q=0" not in encodings
    try:
        files = built()
        content = (files.zipped if is_zipped else files.assets)[name]
    except (FileNotFoundError, KeyError):
        raise NotFoundError("there is no such file; load the page again") from None
    return Response(
        content,
        media_type=TYPES[Path(name).suffix],
        headers=IMMUTABLE | ({"Content-Encoding": "gzip"} if is_zipped else {}),
    )
