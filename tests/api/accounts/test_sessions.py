"""Browsers: signing in with a key or a link, the rights of the cookie, and signing out."""

import asyncio
import time
from http.cookies import Morsel, SimpleCookie
from typing import Any

import pytest

from accounts import keys, sessions
from api.accounts.authenticator import COOKIE_CHARS_MAX, Authenticator
from api.accounts.origins import origin_of
from api.app import create_app
from api.server import server
from api.server.connections import Connections
from db.queries import Pool
from model.principal import Role
from model.times import utc_now
from runtime.settings import Settings

BASE = "/api/v1/monitoring"
SESSION = "/api/v1/auth/session"


async def sign_in(service: Any, role: Role = Role.OPERATOR) -> Morsel[str]:
    body = {"key": service.keys[role]}
    answer = await service.ask(SESSION, None, method="POST", json=body)
    assert answer.status == 204
    return morsel_of(answer)


def morsel_of(answer: Any) -> Morsel[str]:
    return SimpleCookie(answer.headers["Set-Cookie"])["vigia"]


async def test_a_key_becomes_a_cookie_that_reads(service: Any) -> None:
    morsel = await sign_in(service)
    headers = {"Cookie": f"vigia={morsel.value}"}

    assert morsel["httponly"]
    assert morsel["samesite"] == "lax"
    assert morsel["path"] == "/"
    assert not morsel["secure"]
    assert (await service.ask(f"{BASE}/health", None, headers=headers)).status == 200
    assert (await service.ask(f"{BASE}/dev/status", None, headers=headers)).status == 403


async def test_each_sign_in_makes_a_new_session(service: Any) -> None:
    assert (await sign_in(service)).value != (await sign_in(service)).value


async def test_a_cookie_of_someone_s_own_choosing_is_never_adopted(service: Any) -> None:
    headers = {"Cookie": "vigia=chosen"}
    body = {"key": service.keys[Role.VIEWER]}

    answer = await service.ask(SESSION, None, method="POST", json=body, headers=headers)

    assert morsel_of(answer).value != "chosen"
    assert (await service.ask(f"{BASE}/health", None, headers=headers)).status == 401


@pytest.mark.parametrize("body", [{"key": "wrong"}, {"key": ""}, {"key": "vg_" + "0" * 36}])
async def test_a_wrong_key_signs_nobody_in(service: Any, body: Any) -> None:
    for _ in range(10):
        answer = await service.ask(SESSION, None, method="POST", json=body)
        assert answer.status == 401
        assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("body", [{}, [], "x", {"key": 1}, {"key": "x", "user": "y"}, None])
async def test_a_malformed_sign_in_says_what_to_change(service: Any, body: Any) -> None:
    answer = await service.ask(SESSION, None, method="POST", json=body)

    assert answer.status == 400
    assert answer.detail


async def test_a_cookie_changes_things_only_from_our_own_pages(service: Any) -> None:
    cookie = {"Cookie": f"vigia={(await sign_in(service)).value}"}
    port = service.url.rpartition(":")[2]
    path = f"{BASE}/alerts/1/resolve"

    foreign = [
        None,
        "null",
        "http://evil.example",
        f"http://127.0.0.1.evil.example:{port}",
        f"http://evil.example/http://127.0.0.1:{port}",
        f"https://127.0.0.1:{port}",
        "http://127.0.0.1",
        f"http://127.0.0.1:{port}0",
        f"http://user@127.0.0.1:{port}",
        f"http://127.0.0.1:{port}/",
        f"HTTP://127.0.0.1:{port}",
    ]
    for origin in foreign:
        headers = cookie | ({"Origin": origin} if origin else {})
        answer = await service.ask(path, None, method="POST", headers=headers)
        assert answer.status == 403, origin
    for own in ({"Origin": service.url}, {"Sec-Fetch-Site": "same-origin"}):
        answer = await service.ask(path, None, method="POST", headers=cookie | own)
        assert answer.status == 404, own


async def test_a_foreign_page_cannot_sign_a_browser_in(service: Any) -> None:
    body = {"key": service.keys[Role.VIEWER]}
    headers = {"Origin": "http://evil.example"}

    answer = await service.ask(SESSION, None, method="POST", json=body, headers=headers)

    assert answer.status == 403
    assert "Set-Cookie" not in answer.headers


async def test_a_key_needs_no_origin(service: Any) -> None:
    key = service.keys[Role.OPERATOR]
    headers = {"Authorization": f"Bearer {key}", "Origin": "http://evil.example"}

    answer = await service.ask(f"{BASE}/alerts/1/resolve", None, method="POST", headers=headers)

    assert answer.status == 404


async def test_signing_out_ends_the_session_at_once(service: Any) -> None:
    cookie = {"Cookie": f"vigia={(await sign_in(service)).value}"}
    assert (await service.ask(f"{BASE}/health", None, headers=cookie)).status == 200

    gone = await service.ask(
        SESSION, None, method="DELETE", headers=cookie | {"Origin": service.url}
    )

    assert gone.status == 204
    assert morsel_of(gone)["max-age"] == "0"
    assert (await service.ask(f"{BASE}/health", None, headers=cookie)).status == 401


async def test_a_session_ends_with_its_key(service: Any, pool: Pool) -> None:
    cookie = {"Cookie": f"vigia={(await sign_in(service)).value}"}

    async with pool.connection() as connection:
        await keys.revoke(connection, Role.OPERATOR.value, utc_now(), "test")

    assert (await service.ask(f"{BASE}/health", None, headers=cookie)).status == 401


async def test_a_link_signs_in_once(service: Any, pool: Pool) -> None:
    async with pool.connection() as connection:
        token = (await sessions.offer_link(connection, utc_now())).reveal()

    first = await service.ask("/sign-in", None, params={"token": token})
    second = await service.ask("/sign-in", None, params={"token": token})

    assert first.status == 303
    assert first.headers["Location"] == "/"
    cookie = {"Cookie": f"vigia={morsel_of(first).value}"}
    assert (await service.ask(f"{BASE}/dev/status", None, headers=cookie)).status == 200
    assert second.status == 401
    assert "Set-Cookie" not in second.headers
    assert (await service.ask("/", None, headers=cookie)).status == 200


@pytest.mark.parametrize("token", ["x", "", "\0", "x" * 5000])
async def test_a_wrong_link_is_the_sign_in_page_that_says_so(service: Any, token: str) -> None:
    answer = await service.ask("/sign-in", None, params={"token": token})

    assert answer.status == 401
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "This link is used or expired." in answer.body
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    "cookie", ["", "vigia", "vigia=", "=", "vigia=\xe9", "vigia=" + "x" * 2000, 'vigia="', ";;;"]
)
async def test_a_cookie_that_is_none_is_401(service: Any, cookie: str) -> None:
    answer = await service.ask(f"{BASE}/health", None, headers={"Cookie": cookie})

    assert answer.status == 401


HEAD_CHARS = 15_000
"""Nearly as many as the head of a request may have."""


@pytest.mark.parametrize(
    "cookie",
    ['vigia="' + r"\"" * (HEAD_CHARS // 2) + '"', "a=b;" * (HEAD_CHARS // 4), "vigia;" * 1300],
    ids=["quoted", "many", "nearly too long"],
)
async def test_no_cookie_of_a_stranger_holds_the_event_loop_up(service: Any, cookie: str) -> None:
    began = time.thread_time()
    answer = await service.ask(f"{BASE}/health", None, headers={"Cookie": cookie})

    assert answer.status == 401
    assert time.thread_time() - began < 0.1  # Of client and server: a request takes 5 ms.


async def test_the_session_is_found_among_cookies_of_other_services(service: Any) -> None:
    session = (await sign_in(service)).value
    others = 'xvigia=1; vigiax=2;vigia="quoted"; a=vigia=3;b ;vigia=\xe9'
    headers = {"Cookie": f"{others};  vigia={session} ;vigia=4"}

    assert (await service.ask(f"{BASE}/health", None, headers=headers)).status == 200
    assert (await service.ask(SESSION, None, method="DELETE", headers=headers)).status == 403
    headers["Origin"] = service.url
    assert (await service.ask(SESSION, None, method="DELETE", headers=headers)).status == 204
    assert (await service.ask(f"{BASE}/health", None, headers=headers)).status == 401


@pytest.mark.parametrize(
    ("value", "is_read"),
    [
        ("x", True), ("A-Z_09", True), ("x" * 1024, True), ("x" * 1025, False), ("", False),
        ('"x"', False), ("x y", False), ("x\ny", False), ("\N{ARABIC-INDIC DIGIT ONE}", False),
    ],
)  # fmt: skip
def test_a_cookie_is_read_only_if_it_can_be_a_session(value: str, *, is_read: bool) -> None:
    for settings in (Settings(), Settings(public_url="https://vigia.example")):
        auth = Authenticator(Any, settings)
        cookie = f"{auth.cookie_name}={value}"

        assert auth.session_of(f"{cookie}; other=1") == (value if is_read else None)
        assert auth.session_of(f"{cookie}; other=" + "1" * COOKIE_CHARS_MAX) is None


async def test_https_makes_the_cookie_secure_and_binds_it_to_the_host(pool: Pool) -> None:
    auth = Authenticator(pool, Settings(public_url="https://vigia.example/"))

    assert auth.is_secure
    assert auth.cookie_name == "__Host-vigia"


async def test_with_a_public_url_only_its_origin_is_ours(pool: Pool) -> None:
    auth = Authenticator(pool, Settings(public_url="https://vigia.example/path"))

    assert auth.is_own_origin("https://vigia.example", "internal:3001", "https")
    assert not auth.is_own_origin("http://internal:3001", "internal:3001", "http")
    assert not auth.is_own_origin("http://vigia.example", "vigia.example", "https")
    assert not auth.is_own_origin(None, "vigia.example", "https")


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://localhost:3001", "http://localhost:3001"),
        ("https://Vigia.Example:443/x/", "https://vigia.example"),
        ("http://vigia.example:80", "http://vigia.example"),
        ("http://[::1]:3001", "http://[::1]:3001"),
    ],
)
def test_an_origin_is_written_as_browsers_do(url: str, origin: str) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 403),
        ("evil.example:3001", 403),
        ("127.0.0.1.evil.example", 403),
        ("192.0.2.7", 204),
        ("[2001:db8::1]:3001", 204),
        ("monitoring", 204),
        ("localhost:3001", 204),
        ("box.local:3001", 204),
        ("BOX.LAN", 204),
        ("vigia.home.arpa", 204),
        ("[", 403),
        ("[::1", 403),
        ("[x]", 403),
        ("]", 403),
    ],
)
async def test_a_name_that_a_stranger_may_own_is_not_ours(
    service: Any, host: str, status: int
) -> None:
    headers = {"Host": host, "Origin": f"http://{host}"}
    body = {"key": service.keys[Role.VIEWER]}

    answer = await service.ask(SESSION, None, method="POST", json=body, headers=headers)

    assert answer.status == status


async def test_behind_a_proxy_that_speaks_https_the_cookie_is_secure(service: Any) -> None:
    headers = {"Host": "box.lan", "Origin": "https://box.lan", "X-Forwarded-Proto": "https"}
    body = {"key": service.keys[Role.VIEWER]}
    listener = server.listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}{SESSION}"
    connections = Connections(None, ["127.0.0.0/8"])
    running = asyncio.create_task(server.serve(create_app(service.context), listener, connections))

    async with service.http.post(url, json=body, headers=headers) as answer:
        assert answer.status == 204
        assert morsel_of(answer)["secure"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
