"""The documentation is complete, is right, and needs no other server."""

import re
from typing import Any

from jsonschema import Draft202012Validator
from litestar.routes import HTTPRoute

from api.app import create_app
from api.door import ROLE
from vigia.model import Role

DOCUMENT = "/api/v1/openapi.json"
HIDDEN = re.compile(
    r"/|/sign-in|/assets/.*|/api/v1|/api/v1/\{path:str\}|/api/v1/openapi.json|/api/v1/docs.*"
)


async def test_every_route_is_described(service: Any) -> None:
    document = (await service.ask(DOCUMENT)).body
    described = {(path, method) for path, item in document["paths"].items() for method in item}
    there = {
        (re.sub(r":\w+\}", "}", route.path), method.lower())
        for route in create_app(service.parts).routes
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
                if status >= "400":
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
        for route in create_app(service.parts).routes
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
        ("create", Role.OPERATOR),
        ("replace", Role.ADMIN),
        ("replace", Role.OPERATOR),
        ("finish", Role.OPERATOR),
        ("remove", Role.ADMIN),
        ("remove", Role.OPERATOR),
        ("change", Role.ADMIN),
        ("preview", Role.OPERATOR),
        ("raise_alert", Role.ADMIN),
        ("status", Role.ADMIN),
        ("events", Role.ADMIN),
    }
