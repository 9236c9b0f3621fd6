"""Says what is wrong with the parameters and the body of a request."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from litestar import Request
from litestar.exceptions import ValidationException

from model.validation.words import explain_text, fault

JSON = "vigia.json"
"""The decoded body in the scope of a request: an error about it says what was probably meant."""
BODY = "data"
"""The name that handlers give to the body of a request."""
MISSING = re.compile(r"Missing required (?P<kind>\w+) parameter '(?P<name>[^']*)'.*", re.DOTALL)
NO_BODY = "the body is empty; send a JSON object with Content-Type: application/json"
SEPARATOR = "; "


def detail(request: Request[Any, Any, Any], error: ValidationException) -> str:
    """Return what to change, with one part for each wrong parameter."""
    if missing := MISSING.fullmatch(error.detail):
        return f"the {missing['kind']} parameter {missing['name']!r} is missing"
    if not isinstance(error.extra, Sequence) or isinstance(error.extra, str) or not error.extra:
        return explain_text(error.detail)
    return SEPARATOR.join(dict.fromkeys(_part(request, part) for part in error.extra))


def _part(request: Request[Any, Any, Any], part: Mapping[str, str]) -> str:
    key, message = part.get("key", ""), part["message"]
    is_body = part.get("source") == "body"
    name = BODY if is_body else key
    kind = request.route_handler.signature_model.__annotations__.get(name)
    if is_body:
        value = request.scope.get(JSON)
        if value is None:
            return NO_BODY
        words = fault(value, kind, strict=False)
        is_whole = words.startswith("must ")
        return (f"the body {words}" if is_whole else words) or explain_text(message)
    found = fault(_given(request, key), kind, root=key, strict=False)
    return found or f"{key}: {explain_text(message)}"


def _given(request: Request[Any, Any, Any], name: str) -> Any:
    """Return a parameter of the path or the query as it was sent."""
    if name in request.path_params:
        return request.path_params[name]
    values = request.query_params.getall(name, [])
    return values[0] if len(values) == 1 else values
