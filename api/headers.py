"""Headers that every answer carries unless its handler chose otherwise."""

from litestar.types import Message, Scope

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""For our pages: nothing inline, and no text ever becomes HTML or code."""

DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""For the documentation page, whose library writes inline styles; scripts are files of ours."""

DEFAULTS = {
    b"content-security-policy": b"default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
}


async def add_headers(message: Message, _scope: Scope) -> None:
    """Complete the headers of an answer as it is sent; errors pass here too."""
    if message["type"] == "http.response.start":
        given = list(message["headers"])
        names = {name.lower() for name, _ in given}
        missing = [pair for pair in DEFAULTS.items() if pair[0] not in names]
        message["headers"] = [*given, *missing]
