"""The API documentation is complete, correct, and needs no other server."""

import re
from typing import Any

from jsonschema import Draft202012Validator
from litestar.routes import HTTPRoute

from api.app import create_app
from api.http.access import ROLE
from api.pages.openapi import is_otlp
from model.principal import Role
from model.times import parse_time, utc_now

DOCUMENT = "/api/v1/openapi.json"
HIDDEN = re.compile(
    r"/|/settings|/on-call|/sign-in|/l/.*|/in/.*|/calendar/.*|/assets/.*|/service-worker.js|/api/v1"
    r"|/api/v1/\{path:str\}"
    r"|/api/v1/openapi.json|/api/v1/docs.*"
)


async def test_every_route_is_described(service: Any) -> None:
    document = (await service.ask(DOCUMENT)).body
    described = {(path, method) for path, item in document["paths"].items() for method in item}
    there = {
        (re.sub(r":\w+\}", "}", route.path), method.lower())
        for route in create_app(service.context).routes
        if isinstance(route, HTTPRoute) and not HIDDEN.fullmatch(route.path)
        for method in route.methods - {"OPTIONS"}
    }

    assert described == there


async def test_every_operation_names_its_errors_and_who_may_ask(service: Any) -> None:
    document = (await service.ask(DOCUMENT)).body
    problem = {"$ref": "#/components/schemas/Problem"}

    assert document["openapi"].startswith("3.1")
    assert document["security"] == [{"key": []}, {"session": []}]
    assert set(document["components"]["securitySchemes"]) == {"key", "session"}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            responses = operation["responses"]
            assert operation["summary"], path
            assert {"500", "503"} <= set(responses)
            if operation.get("security") != [{}]:
                assert {"401", "403"} <= set(responses), (path, method)
            for status, response in responses.items():
                if status >= "400" and not is_otlp(path):
                    assert response["content"]["application/problem+json"]["schema"] == problem
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "query":
                    assert parameter["description"], (path, parameter["name"])


async def test_every_schema_is_one_and_every_reference_leads_somewhere(service: Any) -> None:
    document = (await service.ask(DOCUMENT)).body
    schemas = document["components"]["schemas"]

    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    for name in re.findall(r'"#/components/schemas/([^"]+)"', repr(document).replace("'", '"')):
        assert name in schemas
    assert set(schemas["Column"]["required"]) == {"metric", "component", "times", "values"}


async def test_every_schema_has_one_plain_name(service: Any) -> None:
    """Generators make a type of each title, and leave out operations whose types collide."""
    schemas = (await service.ask(DOCUMENT)).body["components"]["schemas"]

    for name, schema in schemas.items():
        assert re.fullmatch(r"[A-Z][A-Za-z0-9]*", name)
        assert schema["title"] == name


async def test_bodies_say_what_they_refuse_and_whether_they_are_needed(service: Any) -> None:
    document = (await service.ask(DOCUMENT)).body
    optional = set()
    for path, item in document["paths"].items():
        for operation in item.values():
            if "requestBody" not in operation:
                continue
            body = operation["requestBody"]
            assert {"408", "413"} <= set(operation["responses"]), path
            assert {"application/json", "application/octet-stream"} & set(body["content"])
            if not body["required"]:
                optional.add(path.rpartition("/")[2])
            for name in refs(body["content"].get("application/json", {})):
                schema = document["components"]["schemas"][name]
                if not is_otlp(path):
                    assert schema.get("additionalProperties") is False or "enum" in schema, name

    assert optional == {"acknowledge", "resolve", "reopen", "test-alert", "verify", "pause"}


def refs(part: Any) -> list[str]:
    return re.findall(r"#/components/schemas/(\w+)", repr(part))


async def test_answers_are_described_as_they_are(service: Any) -> None:
    paths = (await service.ask(DOCUMENT)).body["paths"]

    for item in paths.values():
        for operation in item.values():
            assert "content" not in operation["responses"].get("204", {})
    scrape = paths["/metrics"]["get"]["responses"]["200"]["content"]
    for accepted in ("text/plain", "application/openmetrics-text"):
        answer = await service.ask("/metrics", headers={"Accept": accepted})
        assert answer.headers["Content-Type"] in scrape
    otlp = paths["/api/v1/monitoring/ingest/otlp/v1/metrics"]["post"]
    assert refs(otlp["responses"]["200"]) == ["ExportMetricsServiceResponse"]
    assert set(otlp["responses"]["400"]["content"]) == {
        "application/json",
        "application/x-protobuf",
    }
    assert refs(otlp["responses"]["415"]) == ["RpcStatus"]


async def test_parameters_say_what_they_may_be(service: Any) -> None:
    paths = (await service.ask(DOCUMENT)).body["paths"]
    history = paths["/api/v1/monitoring/metrics/history"]["get"]["parameters"]
    schemas = {parameter["name"]: parameter["schema"] for parameter in history}

    moment = re.compile(schemas["start"]["pattern"])
    for text in (
        "now",
        "-24h",
        "now-1h",
        "0",
        "1774747800.5",
        "1774747800000",
        "2026-03-29T01:30:00Z",
    ):
        assert moment.fullmatch(text)
        parse_time(text, utc_now())
    for text in ("", "x", "2026-03-29", "-1"):
        assert not moment.fullmatch(text)
    assert schemas["fill"]["enum"] == ["null", "none", "previous", "linear"]
    assert re.fullmatch(schemas["agg"]["items"]["pattern"], "avg,p95")
    assert not any({"type": "null"} in schema.get("oneOf", []) for schema in schemas.values())


async def test_the_page_works_offline_and_runs_no_inline_script(service: Any) -> None:
    page = await service.ask("/api/v1/docs")

    assert page.status == 200
    assert page.headers["Content-Type"].startswith("text/html")
    policy = page.headers["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-eval" not in policy
    assert not re.search(r"<script>|https?://|\son\w+=", page.body)
    for path in re.findall(r'(?:src|href)="([^"]+)"', page.body):
        asset = await service.ask(path, None)
        assert asset.status == 200, path
        assert asset.headers["X-Content-Type-Options"] == "nosniff"
        assert asset.headers["Content-Type"].startswith(("text/", "image/"))


async def test_the_document_and_the_page_need_a_key(service: Any) -> None:
    for path in (DOCUMENT, "/api/v1/docs"):
        assert (await service.ask(path, None)).status == 401
        assert (await service.ask(path, Role.INGEST)).status == 403
        assert (await service.ask(path, Role.VIEWER)).status == 200


def test_roles_are_declared_where_they_are_more_than_viewer(service: Any) -> None:
    declared = {
        (handler.handler_name, handler.opt[ROLE])
        for route in create_app(service.context).routes
        for handler in getattr(route, "route_handlers", [])
        if ROLE in handler.opt
    }

    assert declared == {
        ("sign_out", None),
        ("ingest", Role.INGEST),
        ("receive", Role.INGEST),
        ("resolve", Role.OPERATOR),
        ("acknowledge", Role.OPERATOR),
        ("reopen", Role.OPERATOR),
        ("comment", Role.OPERATOR),
        ("create", Role.ADMIN),
        ("read", Role.ADMIN),
        ("begin", Role.ADMIN),
        ("end", Role.ADMIN),
        ("preview_route", Role.OPERATOR),
        ("preview_policy", Role.OPERATOR),
        ("create", Role.OPERATOR),
        ("replace", Role.ADMIN),
        ("replace", Role.OPERATOR),
        ("finish", Role.OPERATOR),
        ("remove", Role.ADMIN),
        ("remove", Role.OPERATOR),
        ("change", Role.ADMIN),
        ("preview", Role.OPERATOR),
        ("preview_rule", Role.OPERATOR),
        ("raise_alert", Role.ADMIN),
        ("every", Role.OPERATOR),
        ("one", Role.OPERATOR),
        ("replay", Role.OPERATOR),
        ("test", Role.ADMIN),
        ("verify", Role.ADMIN),
        ("confirm", Role.ADMIN),
        ("override", Role.OPERATOR),
        ("cancel", Role.OPERATOR),
        ("now", Role.OPERATOR),
        ("shifts_of", Role.OPERATOR),
        ("create_of_schedule", Role.ADMIN),
        ("revoke_of_schedule", Role.ADMIN),
        ("create_of_contact", Role.ADMIN),
        ("revoke_of_contact", Role.ADMIN),
        ("push_key", Role.OPERATOR),
        ("subscribe_browser", Role.OPERATOR),
        ("one_browser", Role.OPERATOR),
        ("test_browser", Role.OPERATOR),
        ("unsubscribe_browser", Role.OPERATOR),
        ("status", Role.ADMIN),
        ("events", Role.ADMIN),
    }
