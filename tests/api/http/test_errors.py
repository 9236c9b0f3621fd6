"""No request causes a status 500, and no error reveals internals."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
import structlog
from litestar import get
from litestar.params import FromPath
from psycopg_pool import PoolTimeout

from api.app import create_app
from api.server import server
from model.principal import Role

BASE = "/api/v1/monitoring"
HOSTILE_HISTORY = [
    {"metric": ""},
    {},
    {"metric": ["m"] * 101},
    *({"metric": "m", "start": value} for value in ("-9e18", "9e18", "1e400", "-1", "", "\0", "x")),
    *(
        {"metric": "m", "start": value}
        for value in ("9" * 400, "-1000000d", "9999-12-31T23:59:59Z")
    ),
    *(
        {"metric": "m", "end": value}
        for value in ("9e18", "0", "-2h", "2243-01-01T00:00:00Z", "nan")
    ),
    *({"metric": "m", "step": value} for value in ("0", "1ns", "0.5s", "-1m", "1e5", "", "AUTO")),
    *({"metric": "m", "step": value} for value in ("inf", "999999999999999d", "9" * 400, "1.5s")),
    *({"metric": "m", "points": value} for value in ("0", "-1", "1", "1e9", "11001", "x", "")),
    {"metric": "m", "points": "9" * 400},
    {"metric": "m", "start": "0", "step": "1s"},
    {"metric": "m", "start": "0", "end": "8589934592", "step": "1s"},
    *({"metric": "m", "agg": value} for value in ("", "AVG", "avg;drop", "__class__", "median")),
    {"metric": "m", "fill": "zero"},
    {"metric": "m", "component": "\0"},
    {"metric": "\0"},
    {"metric": "m", "label.a": "\0"},
    {"metric": "m", "label.": "x"},
    {"metric": "m", "start": ["-1h", "-2h"]},
]
HOSTILE_OTHERS = [
    *((path, {"limit": value}) for path in ("/metrics", "/alerts/active", "/alerts/history")
      for value in ("0", "-1", "1001", "x", "", "1e400", "9" * 400)),
    *((path, {"cursor": value}) for path in ("/metrics", "/alerts/active", "/config/history")
      for value in ("x", "-1", "", "1e3", "9" * 19, "9" * 400, "\0", "1 OR 1=1")),
    ("/metrics", {"component": "\0"}),
    ("/metrics/current", {"component": "a\0b"}),
    ("/alerts/history", {"start": "-9e18"}),
    ("/alerts/history", {"end": "1e400"}),
    ("/alerts/active", {"level": "loud"}),
    ("/alerts/active", {"category": "'; DROP TABLE system_alerts; --"}),
    ("/alerts/" + "9" * 5000, {}),
    ("/alerts/-1", {}),
    ("/config/" + "x" * 5000, {}),
    ("/health", {"at": "9e18"}),
]  # fmt: skip
INSIDE = ("Traceback", "SELECT", "psycopg", "system_metrics", "line ", ".py", "Error(")


def check_refusal(answer: Any) -> None:
    assert 400 <= answer.status < 500, answer
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert set(answer.body) == {"type", "title", "status", "detail"}
    assert answer.body["status"] == answer.status
    assert answer.detail
    assert len(answer.detail) < 1000
    assert not any(word in answer.detail for word in INSIDE), answer.detail


async def test_hostile_questions_about_the_past_are_refused(service: Any) -> None:
    assert len(HOSTILE_HISTORY) >= 40
    await service.post("/metrics", {"series": []})
    for query in HOSTILE_HISTORY:
        started = time.monotonic()
        answer = await service.get("/metrics/history", **query)
        check_refusal(answer)
        assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    "text", ["'; DROP TABLE series; --", "%", "$1", "{0}", "😀" * 100, "a" * 2000]
)
async def test_strange_texts_are_only_texts(service: Any, text: str) -> None:
    for path in ("/metrics", "/metrics/current", "/alerts/active"):
        assert (await service.get(path, component=text)).status == 200
    answer = await service.get("/metrics/history", metric=text, component=text, **{"label.x": text})
    assert answer.status == 404
    assert answer.detail.startswith("there is no metric ")


async def test_other_hostile_questions_are_refused(service: Any) -> None:
    for path, query in HOSTILE_OTHERS:
        check_refusal(await service.get(path, **query))


async def test_a_body_that_nests_for_ever_is_refused(service: Any) -> None:
    for path in ("/dev/test-alert", "/alerts/1/resolve"):
        answer = await service.ask(BASE + path, method="POST", data=b"[" * 60_000)
        check_refusal(answer)


@pytest.mark.parametrize("body", [b'"\xff"', b'{"a":"\xed\xa0\x80"}', b'{"\xff":1}', b"\xff"])
async def test_a_body_that_is_not_utf_8_is_refused(service: Any, body: bytes) -> None:
    for method, path in (
        ("POST", "/alerts/rules"),
        ("POST", "/alerts/rules/preview"),
        ("PUT", "/config/thresholds"),
        ("POST", "/dev/test-alert"),
        ("POST", "/alerts/1/resolve"),
    ):
        sent = {"data": body, "headers": {"Content-Type": "application/json"}}
        check_refusal(await service.ask(BASE + path, method=method, **sent))


@get("/boom/{kind:str}")
async def boom(kind: FromPath[str]) -> None:
    raise {
        "bug": ZeroDivisionError("secret inside"),
        "pool": PoolTimeout("secret inside"),
        "away": psycopg.OperationalError("secret inside"),
        "slow": TimeoutError(),
        "inside": psycopg.errors.InternalError_("secret inside: could not open relation"),
        "sql": psycopg.ProgrammingError("secret inside: SELECT 1"),
    }[kind]


@pytest.fixture
async def broken(service: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """The same service with a route that fails in every way."""
    app = create_app(service.context, [boom])
    listener = server.listen("127.0.0.1", 0)
    running = asyncio.create_task(server.serve(app, listener))
    monkeypatch.setattr(service, "url", f"http://127.0.0.1:{listener.getsockname()[1]}")
    yield service
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize(
    ("kind", "status"),
    [("bug", 500), ("sql", 500), ("pool", 503), ("away", 503), ("inside", 503), ("slow", 503)],
)
async def test_an_internal_error_is_logged_and_not_shown(
    broken: Any, kind: str, status: int
) -> None:
    with structlog.testing.capture_logs() as logs:
        answer = await broken.ask(f"/boom/{kind}")

    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "secret" not in repr(answer)
    assert ("Retry-After" in answer.headers) == (status == 503)
    [entry] = logs
    assert entry["path"] == f"/boom/{kind}"
    assert kind == "slow" or "secret inside" in repr(entry)
    assert not any(key in repr(logs) for key in broken.keys.values())


async def test_keys_are_in_no_answer_and_in_no_log(
    broken: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    key = broken.context.settings.admin_key.reveal()
    secrets = [key, *broken.keys.values()]
    answers = []
    for path in ("/boom/bug", f"{BASE}/dev/status", f"{BASE}/config", f"{BASE}/dashboard", "/x"):
        answers.append(await broken.ask(path))
        answers.append(await broken.ask(f"{path}?key={broken.keys[Role.VIEWER]}", Role.INGEST))
    for role in Role:
        answer = await broken.ask(
            "/api/v1/auth/session", None, method="POST", json={"key": broken.keys[role]}
        )
        answers.append(answer)
    answers.append(
        await broken.ask("/api/v1/auth/session", None, method="POST", json={"key": secrets})
    )

    said = "".join(repr((answer.headers, answer.body)) for answer in answers)
    logged = "".join(capfd.readouterr())
    assert not any(secret in said or secret in logged for secret in secrets)
