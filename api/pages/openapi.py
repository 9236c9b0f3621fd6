"""Completes the framework's OpenAPI document: exact bodies, all errors, and plain names."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from litestar.routes import BaseRoute, HTTPRoute
from litestar.types import Empty

from api.exposition.text import OPENMETRICS, TEXT
from api.http.errors import MEDIA_TYPE
from api.ingest.formats.native import Batch
from api.paths import BASE
from history.export.formats import MEDIA_TYPES
from history.query import FILLS, FORMATS
from history.reader import AGGREGATES

REF = "#/components/schemas/"
JSON = "application/json"
PROTOBUF = "application/x-protobuf"
BYTES = {"type": "string", "format": "binary"}
PROBLEM = {
    "description": "An error; for 4xx, `detail` says what to change.",
    "content": {MEDIA_TYPE: {"schema": {"$ref": f"{REF}Problem"}}},
}
RPC_STATUS = {
    "title": "RpcStatus",
    "type": "object",
    "description": "An error as google.rpc.Status.",
    "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
    "required": ["code", "message"],
}
OTLP_REQUEST = {
    "title": "ExportMetricsServiceRequest",
    "type": "object",
    "description": "As OpenTelemetry defines it.",
    "properties": {"resourceMetrics": {"type": "array", "items": {"type": "object"}}},
}
OTLP_ANSWER = {
    "title": "ExportMetricsServiceResponse",
    "type": "object",
    "properties": {
        "partialSuccess": {
            "type": "object",
            "properties": {
                "rejectedDataPoints": {"type": "string"},
                "errorMessage": {"type": "string"},
            },
        }
    },
}
MOMENT = (
    r"^(now(-[0-9]{1,5}[smhd])?|-[0-9]{1,5}[smhd]|([0-9]{1,9}|[1-7][0-9]{9})(\.[0-9]{1,9})?"
    r"|[1-9][0-9]{11}|[1-7][0-9]{12}|[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}"
    r"(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2}))$"
)
LENGTH = r"[0-9]{1,8}[smhd]?"
NARROWER: Mapping[str, Mapping[str, Any]] = {
    "agg": {"pattern": f"^({'|'.join(AGGREGATES)})(,({'|'.join(AGGREGATES)}))*$"},
    "at": {"pattern": MOMENT},
    "compare": {"pattern": f"^{LENGTH}(,{LENGTH})*$"},
    "cursor": {"pattern": "^[0-9]{1,18}$"},
    "end": {"pattern": MOMENT},
    "fill": {"enum": list(FILLS)},
    "format": {"enum": list(FORMATS)},
    "start": {"pattern": MOMENT},
    "step": {"pattern": f"^(auto|raw|{LENGTH})$"},
    "tz": {"minLength": 1},
}
"""Constraints of parameters by name. Handlers parse these texts themselves, for better messages."""
NO_CONTENT = frozenset({"202", "204"})

Document = dict[str, Any]


def complete(document: Document, routes: Sequence[BaseRoute]) -> Document:
    """Complete the OpenAPI document of an application with these routes, and return it."""
    _describe_bodies(document, routes)
    _describe_exports(document)
    _describe_otlp(document)
    for path, method, operation in operations_of(document):
        responses = operation["responses"]
        for status in _errors(path, method, operation):
            responses.setdefault(str(status), PROBLEM)
            if status not in {409, 415} and not is_otlp(path):
                responses[str(status)] = PROBLEM
        for name in NO_CONTENT & set(responses):
            if responses[name].get("content", {}).get(JSON) == {"schema": {"type": "null"}}:
                del responses[name]["content"]
        for parameter in operation.get("parameters", []):
            _narrow(parameter)
    for component in document["components"]["schemas"].values():
        if "enum" in component:
            # The default of one field would apply to all fields of this type.
            component.pop("default", None)
    return _named(_without_unused(document))


def operations_of(document: Document) -> Iterator[tuple[str, str, Document]]:
    """Yield the path, the method and the object of every operation."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def _describe_bodies(document: Document, routes: Sequence[BaseRoute]) -> None:
    """Describe bodies by the types that validate them, which contain every constraint."""
    bodies = {
        (route.path_format, method.lower()): handler.parsed_data_field.annotation
        for route in routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        for method in handler.http_methods
        if handler.parsed_data_field not in {None, Empty}
    }
    bodies[f"{BASE}/metrics", "post"] = Batch
    schemas, components = msgspec.json.schema_components(
        bodies.values(), ref_template=REF + "{name}"
    )
    document["components"]["schemas"] |= components
    for ((path, method), kind), schema in zip(bodies.items(), schemas, strict=True):
        if method in document["paths"].get(path, {}):
            document["paths"][path][method]["requestBody"] = {
                "required": type(None) not in getattr(kind, "__args__", ()),
                "content": {JSON: {"schema": schema}},
            }


def _describe_exports(document: Document) -> None:
    """Add the response formats that a request can choose."""
    answer = document["paths"][f"{BASE}/metrics/history"]["get"]["responses"]["200"]
    answer["content"] |= {name: {"schema": {"type": "string"}} for name in MEDIA_TYPES.values()}
    for path in (f"{BASE}/metrics/export", "/metrics"):
        forms = (f"{TEXT.media_type}; charset=utf-8", OPENMETRICS.media_type)
        document["paths"][path]["get"]["responses"]["200"]["content"] = {
            name: {"schema": {"type": "string"}} for name in forms
        }


def _describe_otlp(document: Document) -> None:
    """Describe bodies and responses in OpenTelemetry's formats, errors included."""
    document["components"]["schemas"] |= {
        schema["title"]: schema for schema in (OTLP_REQUEST, OTLP_ANSWER, RPC_STATUS)
    }
    for path, item in document["paths"].items():
        if not is_otlp(path):
            continue
        operation = item["post"]
        operation["requestBody"]["content"] = _as_otlp(OTLP_REQUEST)
        for status in {"200", *operation["responses"], *map(str, _errors(path, "post", operation))}:
            schema = OTLP_ANSWER if status == "200" else RPC_STATUS
            old = operation["responses"].get(status, PROBLEM)
            content = _as_otlp(schema) | (PROBLEM["content"] if status in {"401", "403"} else {})  # type: ignore[operator]
            operation["responses"][status] = {**old, "content": content}


def is_otlp(path: str) -> bool:
    return "otlp" in path or path == "/v1/metrics"


def _as_otlp(schema: Document) -> Document:
    return {JSON: {"schema": {"$ref": REF + schema["title"]}}, PROTOBUF: {"schema": BYTES}}


def _errors(path: str, method: str, operation: Document) -> set[int]:
    is_open = operation.get("security") == [{}]
    has_body = "requestBody" in operation
    found = {500, 503} | (set() if is_open else {401, 403})
    found |= {400, 401} if has_body or "parameters" in operation else set()
    # Even an open route refuses a change that a page of another site requests.
    found |= {403, 408, 413} if has_body else set()
    found |= {403} if method != "get" else set()
    return found | ({404} if "{" in path else set())


def _narrow(parameter: Document) -> None:
    """Add the constraints of a text parameter, and drop null, which no URL can contain."""
    schema = parameter["schema"]
    kinds = schema.get("oneOf", [])
    texts = [kind for kind in kinds if kind.get("type") in {"string", "array"}]
    if len(kinds) == 2 and len(texts) == 1:  # noqa: PLR2004 (the text, and its absence)
        del schema["oneOf"]
        schema |= texts[0]
    text = schema.get("items", schema)
    if text.get("type") == "string":
        text |= NARROWER.get(parameter["name"], {})


def _without_unused(document: Document) -> Document:
    """Leave out components without a direct or indirect reference."""
    schemas, kept = document["components"]["schemas"], {}
    wanted = list(_references(document["paths"]))
    while wanted:
        name = wanted.pop()
        if name not in kept:
            kept[name] = schemas[name]
            wanted += _references(schemas[name])
    document["components"]["schemas"] = dict(sorted(kept.items()))
    return document


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(reference := part.get("$ref"), str):
            yield reference.removeprefix(REF)
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from _references(inner)


def _named(document: Document) -> Document:
    """Give each component a plain name and title, from which generators derive type names."""
    schemas = document["components"]["schemas"]
    names = {key: _plain(key) for key in schemas}
    document["components"]["schemas"] = {
        names[key]: {**schema, "title": names[key]} for key, schema in schemas.items()
    }
    found: Document = _renamed(document, names)
    return found


def _plain(key: str) -> str:
    """Return a plain name: `AlertPage` for `Page_api.alerts.Alert_`, else CamelCase."""
    if page := re.fullmatch(r"Page[_\[](?:\w+\.)*(\w+?)[_\]]", key):
        return f"{page[1]}Page"
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"\W|_", key))


def _renamed(part: Any, names: dict[str, str]) -> Any:
    if isinstance(part, list):
        return [_renamed(inner, names) for inner in part]
    if not isinstance(part, dict):
        return part
    found = {key: _renamed(inner, names) for key, inner in part.items()}
    if isinstance(reference := part.get("$ref"), str):
        found["$ref"] = REF + names[reference.removeprefix(REF)]
    return found
