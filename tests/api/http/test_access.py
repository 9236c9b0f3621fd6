"""Access control: unauthenticated clients get only the open list, others what their role allows."""

import asyncio
import base64
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yarl
from litestar.routes import HTTPRoute

from accounts import keys
from api.app import create_app
from api.live import PATHS
from db.queries import Pool
from model.principal import Role
from model.times import utc_now

BASE = "/api/v1/monitoring"
OPEN = {
    ("GET", "/livez"),
    ("GET", "/readyz"),
    ("GET", "/sign-in"),
    ("POST", "/api/v1/auth/session"),
    ("GET", "/assets/x"),
    ("GET", "/service-worker.js"),
    ("GET", "/api/v1/docs/start.js"),
    ("GET", "/api/v1/docs/swagger-ui-bundle.js"),
    ("GET", "/api/v1/docs/swagger-ui.css"),
    ("GET", "/api/v1/docs/favicon-32x32.png"),
    ("GET", "/l/x"),
    ("POST", "/l/x"),
    ("POST", "/in/x"),
    ("GET", "/calendar/x"),
}
SIGNED = {("GET", "/l/x"), ("POST", "/l/x"), ("POST", "/in/x"), ("GET", "/calendar/x")}
"""Open to whoever has a link; a wrong one is answered like a wrong key."""
LOWEST = {
    ("POST", f"{BASE}/alerts/1/resolve"): Role.OPERATOR,
    ("POST", f"{BASE}/alerts/1/acknowledge"): Role.OPERATOR,
    ("POST", f"{BASE}/alerts/1/reopen"): Role.OPERATOR,
    ("POST", f"{BASE}/alerts/1/comment"): Role.OPERATOR,
    ("POST", f"{BASE}/alerts/rules"): Role.ADMIN,
    ("PUT", f"{BASE}/alerts/rules/x"): Role.ADMIN,
    ("POST", f"{BASE}/alerts/rules/preview"): Role.OPERATOR,
    ("DELETE", f"{BASE}/alerts/rules/x"): Role.ADMIN,
    ("POST", f"{BASE}/alerts/silences"): Role.OPERATOR,
    ("PUT", f"{BASE}/alerts/silences/1"): Role.OPERATOR,
    ("DELETE", f"{BASE}/alerts/silences/1"): Role.OPERATOR,
    ("POST", f"{BASE}/maintenance"): Role.OPERATOR,
    ("PUT", f"{BASE}/maintenance/1"): Role.OPERATOR,
    ("DELETE", f"{BASE}/maintenance/1"): Role.OPERATOR,
    ("GET", f"{BASE}/channels"): Role.OPERATOR,
    ("POST", f"{BASE}/channels"): Role.ADMIN,
    ("GET", f"{BASE}/channels/1"): Role.OPERATOR,
    ("PUT", f"{BASE}/channels/1"): Role.ADMIN,
    ("DELETE", f"{BASE}/channels/1"): Role.ADMIN,
    ("POST", f"{BASE}/channels/1/test"): Role.ADMIN,
    ("GET", f"{BASE}/push/key"): Role.OPERATOR,
    ("POST", f"{BASE}/push/browsers"): Role.OPERATOR,
    ("GET", f"{BASE}/push/browsers/x"): Role.OPERATOR,
    ("DELETE", f"{BASE}/push/browsers/x"): Role.OPERATOR,
    ("POST", f"{BASE}/push/browsers/x/test"): Role.OPERATOR,
    ("GET", f"{BASE}/deliveries"): Role.OPERATOR,
    ("GET", f"{BASE}/deliveries/1"): Role.OPERATOR,
    ("POST", f"{BASE}/deliveries/1/replay"): Role.OPERATOR,
    ("GET", f"{BASE}/deliveries/pause"): Role.ADMIN,
    ("POST", f"{BASE}/deliveries/pause"): Role.ADMIN,
    ("POST", f"{BASE}/deliveries/resume"): Role.ADMIN,
    ("GET", f"{BASE}/actions"): Role.OPERATOR,
    ("GET", f"{BASE}/contacts"): Role.OPERATOR,
    ("POST", f"{BASE}/contacts"): Role.ADMIN,
    ("GET", f"{BASE}/contacts/x"): Role.OPERATOR,
    ("PUT", f"{BASE}/contacts/x"): Role.ADMIN,
    ("DELETE", f"{BASE}/contacts/x"): Role.ADMIN,
    ("POST", f"{BASE}/contacts/x/verify"): Role.ADMIN,
    ("POST", f"{BASE}/contacts/x/confirm"): Role.ADMIN,
    ("POST", f"{BASE}/contacts/x/calendar"): Role.ADMIN,
    ("DELETE", f"{BASE}/contacts/x/calendar"): Role.ADMIN,
    ("GET", f"{BASE}/schedules"): Role.OPERATOR,
    ("POST", f"{BASE}/schedules"): Role.ADMIN,
    ("GET", f"{BASE}/schedules/x"): Role.OPERATOR,
    ("PUT", f"{BASE}/schedules/x"): Role.ADMIN,
    ("DELETE", f"{BASE}/schedules/x"): Role.ADMIN,
    ("GET", f"{BASE}/schedules/x/shifts"): Role.OPERATOR,
    ("POST", f"{BASE}/schedules/x/overrides"): Role.OPERATOR,
    ("DELETE", f"{BASE}/schedules/x/overrides/1"): Role.OPERATOR,
    ("POST", f"{BASE}/schedules/x/calendar"): Role.ADMIN,
    ("DELETE", f"{BASE}/schedules/x/calendar"): Role.ADMIN,
    ("GET", f"{BASE}/oncall"): Role.OPERATOR,
    ("GET", f"{BASE}/routes"): Role.OPERATOR,
    ("POST", f"{BASE}/routes"): Role.ADMIN,
    ("POST", f"{BASE}/routes/preview"): Role.OPERATOR,
    ("GET", f"{BASE}/routes/x"): Role.OPERATOR,
    ("PUT", f"{BASE}/routes/x"): Role.ADMIN,
    ("DELETE", f"{BASE}/routes/x"): Role.ADMIN,
    ("GET", f"{BASE}/policies"): Role.OPERATOR,
    ("POST", f"{BASE}/policies"): Role.ADMIN,
    ("POST", f"{BASE}/policies/preview"): Role.OPERATOR,
    ("GET", f"{BASE}/policies/x"): Role.OPERATOR,
    ("PUT", f"{BASE}/policies/x"): Role.ADMIN,
    ("DELETE", f"{BASE}/policies/x"): Role.ADMIN,
    ("DELETE", f"{BASE}/hosts/x"): Role.OPERATOR,
    ("PUT", f"{BASE}/config/x"): Role.ADMIN,
    ("POST", f"{BASE}/config/retention/preview"): Role.OPERATOR,
    ("POST", f"{BASE}/dev/test-alert"): Role.ADMIN,
    ("GET", f"{BASE}/dev/status"): Role.ADMIN,
    ("GET", f"{BASE}/security/events"): Role.ADMIN,
    ("POST", f"{BASE}/metrics"): Role.INGEST,
    ("POST", f"{BASE}/ingest/otlp/v1/metrics"): Role.INGEST,
    ("POST", f"{BASE}/ingest/prometheus/write"): Role.INGEST,
    ("POST", "/v1/metrics"): Role.INGEST,
    ("POST", "/api/v1/write"): Role.INGEST,
}
PAGES = {"/", "/on-call", "/settings"}
"""Their refusals are pages too."""
ANYONE = {("DELETE", "/api/v1/auth/session")}
RANK = [Role.VIEWER, Role.OPERATOR, Role.ADMIN]


def walk(service: Any) -> Iterator[tuple[str, str]]:
    """Every method of every route but the WebSocket's, with something for each parameter."""
    for route in create_app(service.context).routes:
        if not isinstance(route, HTTPRoute):
            assert route.path in PATHS
            continue
        path = re.sub(r"\{\w+:int\}", "1", route.path)
        for method in route.methods - {"OPTIONS"}:
            yield method, re.sub(r"\{\w+:str\}", "x", path)


def may(role: Role, method: str, path: str) -> bool:
    needed = LOWEST.get((method, path), Role.VIEWER)
    if (method, path) in ANYONE:
        return True
    if Role.INGEST in {role, needed}:
        return needed == Role.INGEST and role in {Role.INGEST, Role.ADMIN}
    return RANK.index(role) >= RANK.index(needed)


async def test_nothing_but_the_open_list_answers_a_stranger(service: Any) -> None:
    closed = set(walk(service)) - OPEN

    assert len(closed) > 20
    for method, path in closed:
        answer = await service.ask(path, None, method=method)
        assert answer.status == 401, (method, path)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        if path in PAGES:
            assert answer.headers["Content-Type"].startswith("text/html")
            continue
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.body["status"] == 401


async def test_the_open_list_is_what_it_is_said_to_be(service: Any) -> None:
    assert set(walk(service)) >= OPEN
    for method, path in OPEN - SIGNED - {("POST", "/api/v1/auth/session"), ("GET", "/assets/x")}:
        answer = await service.ask(path, None, method=method)
        # On a busy machine the database may not answer the probe in time.
        assert answer.status == 200 or (path, answer.status) == ("/readyz", 503), path


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        f"{BASE}/nothing",
        f"{BASE}/metrics/",
        f"{BASE}//metrics",
        f"{BASE}/METRICS",
        f"{BASE}/./metrics",
        f"{BASE}/metrics/%2e%2e/metrics",
        f"{BASE}/%6detrics",
        f"{BASE}/metrics;x=1",
        "/livez/../api/v1/monitoring",
        "/api/v1/docs/..%2f..%2fpackage.json",
        "/api/v1/docs/../openapi.json",
        "/api/v1/docs/swagger-ui.css/../../openapi.json",
        f"{BASE}/alerts/:alert_id",
        f"{BASE}/alerts/{{alert_id:int}}",
    ],
)
async def test_no_spelling_of_a_path_opens_it(service: Any, path: str) -> None:
    url = yarl.URL(service.url + path, encoded=True)
    for method in ("GET", "POST", "PATCH", "HEAD", "OPTIONS", "TRACE"):
        async with service.http.request(method, url, allow_redirects=False) as answer:
            assert answer.status == 401


@pytest.mark.parametrize("role", list(Role))
async def test_each_role_may_do_what_it_may_and_no_more(service: Any, role: Role) -> None:
    for method, path in set(walk(service)) - OPEN:
        answer = await service.ask(path, role, method=method)
        assert (answer.status != 403) == may(role, method, path), (method, path, answer)
        assert answer.status < 500
        if answer.status == 403:
            assert role in (answer.body if path in PAGES else answer.detail)


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer x", "bearer vg_x", "Bearer " + "x" * 5000, "é"],
)
async def test_a_wrong_key_is_always_401(service: Any, authorization: str) -> None:
    for _ in range(3):
        answer = await service.ask(f"{BASE}/health", None, headers={"Authorization": authorization})
        assert answer.status == 401


async def test_a_key_with_one_character_wrong_is_401(service: Any) -> None:
    key = service.keys[Role.VIEWER]
    wrong = key[:10] + ("a" if key[10] != "a" else "b") + key[11:]

    answer = await service.ask(f"{BASE}/health", None, headers={"Authorization": f"Bearer {wrong}"})

    assert answer.status == 401


def basic_of(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


async def test_a_key_may_come_as_the_password_of_basic_authentication(service: Any) -> None:
    for user in ("", "anybody"):
        basic = basic_of(user, service.keys[Role.VIEWER])
        for path, status in ((f"{BASE}/health", 200), (f"{BASE}/dev/status", 403)):
            answer = await service.ask(path, None, headers={"Authorization": basic})
            assert answer.status == status
    for wrong in ("Basic", "Basic ", "Basic !", "Basic YTpi", "Basic dmdfeA==", "Basic /w=="):
        answer = await service.ask(f"{BASE}/health", None, headers={"Authorization": wrong})
        assert answer.status == 401


async def test_a_page_of_another_site_cannot_use_the_password_that_a_browser_keeps(
    service: Any,
) -> None:
    basic = basic_of("x", service.keys[Role.OPERATOR])
    path = f"{BASE}/alerts/1/resolve"
    for origin, status in (("http://evil.example", 403), (service.url, 404), (None, 404)):
        headers = {"Authorization": basic} | ({"Origin": origin} if origin else {})
        assert (await service.ask(path, None, method="POST", headers=headers)).status == status


async def test_wrong_keys_beyond_twenty_are_answered_slowly_and_valid_ones_are_not(
    service: Any,
) -> None:
    wrong = {"Authorization": "Bearer wrong"}
    began = time.monotonic()
    for _ in range(20):
        assert (await service.ask(f"{BASE}/health", None, headers=wrong)).status == 401
    assert time.monotonic() - began < 1

    began = time.monotonic()
    slow = [
        asyncio.create_task(service.ask(f"{BASE}/health", None, headers=wrong)),
        asyncio.create_task(
            service.ask("/api/v1/auth/session", None, method="POST", json={"key": "wrong"})
        ),
    ]
    body = {"key": service.keys[Role.VIEWER]}
    valid = await service.ask("/api/v1/auth/session", None, method="POST", json=body)
    assert (valid.status, (await service.get("/health")).status) == (204, 200)
    assert not any(task.done() for task in slow)

    assert {answer.status for answer in await asyncio.gather(*slow)} == {401}
    assert time.monotonic() - began > 1.9
    assert service.context.auth.throttle.delayed >= 2


async def test_the_bootstrap_key_is_an_admin_s(service: Any) -> None:
    key = service.context.settings.admin_key.reveal()

    for scheme in ("Bearer", "bearer"):
        headers = {"Authorization": f"{scheme} {key}"}
        assert (await service.ask(f"{BASE}/dev/status", None, headers=headers)).status == 200
    headers = {"Authorization": f"Bearer {key}x"}
    assert (await service.ask(f"{BASE}/dev/status", None, headers=headers)).status == 401


async def test_a_revoked_key_is_refused_within_five_seconds(service: Any, pool: Pool) -> None:
    assert (await service.get("/health")).status == 200

    async with pool.connection() as connection:
        await keys.revoke(connection, Role.VIEWER.value, utc_now(), "test")

    async with asyncio.timeout(5):
        while (await service.get("/health")).status == 200:
            await asyncio.sleep(0.1)
    assert (await service.get("/health")).status == 401


async def test_an_unknown_address_is_404_and_an_unknown_method_405(service: Any) -> None:
    for path in ("/nothing", "/api/v1/nothing", f"{BASE}/nothing", f"{BASE}/alerts/x"):
        answer = await service.ask(path)
        assert answer.status == 404, path
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert set(answer.body) == {"type", "title", "status", "detail"}
    answer = await service.ask(f"{BASE}/health", method="DELETE")
    assert answer.status == 405
    assert answer.body["title"] == "Method Not Allowed"
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"
    assert answer.detail == "this address allows only the methods GET, HEAD, OPTIONS"


async def test_every_answer_carries_the_headers_that_protect_it(service: Any) -> None:
    for path, role in (
        ("/livez", None),
        ("/nothing", None),
        (f"{BASE}/alerts/active", Role.VIEWER),
    ):
        headers = (await service.ask(path, role)).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
