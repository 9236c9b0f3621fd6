"""Responses from memory. Each is encoded once, and shared by all clients until it changes."""

from collections.abc import Mapping
from typing import Any

from litestar import Request, Response
from litestar.datastructures import State as RequestState
from litestar.openapi.datastructures import ResponseSpec

from api.http.compression import accepted
from live.documents import Document
from runtime.compression import BYTES_MIN

NOT_MODIFIED: Mapping[int, ResponseSpec] = {
    304: ResponseSpec(
        None, description="Not changed since `If-None-Match`.", generate_examples=False
    )
}


async def answer(request: Request[Any, Any, RequestState], document: Document) -> Response[Any]:
    """Return a document, compressed if the client accepts it, or status 304 if it has it."""
    headers = {
        "ETag": document.etag,
        "Cache-Control": "private, no-cache",
        "Vary": "Accept-Encoding",
    }
    if is_known(request.headers.get("if-none-match", ""), document.etag):
        return Response(None, status_code=304, headers=headers)
    body, encoding = document.body, accepted(request.scope)
    if encoding and len(body) >= BYTES_MIN and request.method == "GET":
        body = await document.compressed(encoding)
        # A strong ETag must not stand for two encodings of the same content.
        headers |= {"Content-Encoding": encoding, "ETag": f"W/{document.etag}"}
    return Response(body, media_type="application/json", headers=headers)


def is_known(if_none_match: str, etag: str) -> bool:
    """Return whether an If-None-Match header contains an ETag, weak or strong."""
    names = {name.strip().removeprefix("W/") for name in if_none_match.split(",")}
    return "*" in names or etag in names
