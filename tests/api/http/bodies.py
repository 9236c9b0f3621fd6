"""Requests that are wrong in one place, made from the OpenAPI document."""

from typing import Any

from hypothesis import strategies as st
from msgspec import Struct

JUNK = st.sampled_from(
    [
        None,
        True,
        -1,
        0,
        1.5,
        1e300,
        "",
        "x",
        "my name",
        "-1h",
        "=>",
        "mean",
        "a\nb",
        [],
        [1],
        {},
        {"a": 1},
    ]
)
"""Values that fit few fields."""
TYPOS = st.sampled_from([lambda name: name + "s", lambda name: name[1:], lambda name: name[::-1]])
DEPTH_MAX = 6


class Request(Struct):
    """A request to an operation; `body` is None for none."""

    method: str
    path: str
    query: dict[str, str]
    body: Any


def operations(document: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the operations with a body of JSON or with parameters of the query."""
    return [
        (method, path)
        for path, methods in sorted(document["paths"].items())
        for method, operation in sorted(methods.items())
        if "application/json" in operation.get("requestBody", {}).get("content", {})
        or any(one["in"] == "query" for one in operation.get("parameters", []))
    ]


@st.composite
def wrong_requests(draw: st.DrawFn, document: dict[str, Any]) -> Request:
    """Return a request with at least one fault in its body or in a parameter."""
    method, path = draw(st.sampled_from(operations(document)))
    operation = document["paths"][path][method]
    parameters = operation.get("parameters", [])
    for one in parameters:
        path = path.replace(f"{{{one['name']}}}", draw(st.sampled_from(["1", "x", "nope", "a b"])))
    names = [one["name"] for one in parameters if one["in"] == "query"]
    query = {name: draw(st.sampled_from(["x", "0", "-1h", "mean"])) for name in names[:3]}
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    body = None
    if content is not None:
        body = draw(_mutated(draw(_valid(content["schema"], document["components"]["schemas"]))))
    return Request(method.upper(), path, query, body)


@st.composite
def _valid(draw: st.DrawFn, schema: Any, schemas: Any, depth: int = 0) -> Any:
    """Return a value that nearly fits a schema: only its kinds and choices are respected."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rsplit("/", 1)[1]]
    for union in ("oneOf", "anyOf", "allOf"):
        if schema.get(union):
            return draw(_valid(draw(st.sampled_from(schema[union])), schemas, depth))
    if "const" in schema or schema.get("enum"):
        return schema.get("const", schema.get("enum", [None])[0])
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object" and depth < DEPTH_MAX:
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        names = [name for name in properties if name in required or draw(st.booleans())]
        return {name: draw(_valid(properties[name], schemas, depth + 1)) for name in names}
    if kind == "array" and schema.get("items"):
        return [draw(_valid(schema["items"], schemas, depth + 1))] if depth < DEPTH_MAX else []
    return {"string": "text", "integer": 1, "number": 1.5, "boolean": True}.get(kind)


@st.composite
def _mutated(draw: st.DrawFn, value: Any) -> Any:
    """Return a value with another value or name in one place."""
    if isinstance(value, dict) and value and draw(st.integers(0, 3)):
        name = draw(st.sampled_from(sorted(value)))
        if draw(st.integers(0, 3)) == 0:
            return {draw(TYPOS)(one) if one == name else one: value[one] for one in value}
        return {**value, name: draw(_mutated(value[name]))}
    if isinstance(value, list) and value and draw(st.booleans()):
        return [draw(_mutated(value[0]))]
    return draw(JUNK)
