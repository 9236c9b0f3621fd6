"""HEAD and OPTIONS are answered without a body."""

import asyncio
import re
from typing import Any

import pytest
from litestar.routes import HTTPRoute

from accounts import sessions as keys
from api.app import create_app
from db.queries import Pool
from model.principal import Role
from model.series import Sample, Series
from model.times import utc_now

BASE = "/api/v1/monitoring"


async def status_of(service: Any, path: str, role: Role | None = Role.ADMIN) -> int:
    headers = {"Authorization": f"Bearer {service.keys[role]}"} if role else {}
    async with service.http.head(service.url + path, headers=headers) as answer:
        assert await answer.read() == b""
        status: int = answer.status
        return status


@pytest.mark.parametrize(
    "path",
    ["/livez", "/readyz", "/metrics", "/", "/sign-in", "/api/v1/openapi.json", f"{BASE}/health"],
)
async def test_head_is_get_without_its_body(service: Any, path: str) -> None:
    whole = await service.ask(path)
    headers = {"Authorization": f"Bearer {service.keys[Role.ADMIN]}"}

    async with service.http.head(service.url + path, headers=headers) as answer:
        assert answer.status == whole.status == 200
        assert await answer.read() == b""
        assert answer.headers["Content-Type"] == whole.headers["Content-Type"]
        assert ("Content-Length" in answer.headers) == ("Content-Length" in whole.headers)


async def test_head_needs_what_get_needs(service: Any) -> None:
    for role, status in ((None, 401), (Role.VIEWER, 403), (Role.ADMIN, 200)):
        assert await status_of(service, f"{BASE}/dev/status", role) == status
    assert await status_of(service, "/nothing") == 404
    assert await status_of(service, f"{BASE}/alerts/1/resolve") == 405


async def test_head_of_an_export_reads_no_more_than_its_beginning(service: Any) -> None:
    await service.write([Sample(Series(metric="m", component="server"), utc_now(), 1.0)])
    headers = {"Authorization": f"Bearer {service.keys[Role.VIEWER]}"}
    url = f"{service.url}{BASE}/metrics/history?metric=m&format=csv"

    async with asyncio.timeout(5), service.http.head(url, headers=headers) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/csv")
        assert await answer.read() == b""


async def test_head_uses_up_no_link(service: Any, pool: Pool) -> None:
    async with pool.connection() as connection:
        token = (await keys.offer_link(connection, utc_now())).reveal()

    looked = await service.ask("/sign-in", None, method="HEAD", params={"token": token})
    opened = await service.ask("/sign-in", None, params={"token": token})

    assert looked.status == 200
    assert "Set-Cookie" not in looked.headers
    assert opened.status == 303


async def test_options_and_405_name_every_method_of_an_address(service: Any) -> None:
    methods: dict[str, set[str]] = {}
    for route in create_app(service.context).routes:
        if isinstance(route, HTTPRoute):
            methods.setdefault(route.path, set()).update(route.methods)
    assert methods[f"{BASE}/metrics"] >= {"GET", "POST"}

    for path, known in methods.items():
        expected = ", ".join(sorted(known | ({"HEAD"} if "GET" in known else set())))
        url = re.sub(r"\{\w+:int\}", "1", re.sub(r"\{\w+:str\}", "x", path))
        options = await service.ask(url, method="OPTIONS")
        other = await service.ask(url, method="PATCH")
        assert (options.status, options.headers["Allow"]) == (204, expected), path
        assert (other.status, other.headers["Allow"]) == (405, expected), path
        assert other.body["detail"] == f"this address allows only the methods {expected}"
