"""The pages as files: who gets which page, under which policy, and with which files."""

import gzip
import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yarl

from api.http.headers import WORKER_POLICY
from api.pages import pages
from model.principal import Role

NAMED = re.compile(r'(?:src|href)="(/[^"]+)"')


@pytest.fixture
def unbuilt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(pages, "DIST", tmp_path)
    pages.built.cache_clear()
    yield
    pages.built.cache_clear()


@pytest.mark.parametrize("path", pages.PAGES)
async def test_a_stranger_at_a_page_is_asked_to_sign_in(service: Any, path: str) -> None:
    answer = await service.ask(path, None)

    assert answer.status == 401
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.headers["Cache-Control"] == "no-store"
    assert '<form id="sign-in"' in answer.body
    assert 'class="notice"' not in answer.body


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.ADMIN])
async def test_every_page_is_served_to_a_client_that_may_read(service: Any, role: Role) -> None:
    for path in pages.PAGES:
        answer = await service.ask(path, role)

        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "no-store"
        assert '<div id="page">' in answer.body


async def test_a_key_that_may_not_read_is_told_so(service: Any) -> None:
    answer = await service.ask("/", Role.INGEST)

    assert answer.status == 403
    assert (
        html.escape("this needs the role viewer, but 'ingest' has the role ingest") in answer.body
    )


async def test_the_sign_in_page_is_open_and_says_only_what_it_escapes(service: Any) -> None:
    answer = await service.ask("/sign-in", None)
    said = pages.page(pages.SIGN_IN, 401, "<script>alert(1)</script>").content.decode()

    assert answer.status == 200
    assert '<form id="sign-in"' in answer.body
    assert "<script>alert" not in said
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in said


async def test_the_policy_allows_nothing_inline_and_the_pages_need_nothing(service: Any) -> None:
    for path in ("/", "/sign-in"):
        answer = await service.ask(path)
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith(
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
            "img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        )
        assert "unsafe" not in policy
        assert not re.search(r"<script>|<style|\sstyle=|\son\w+=|https?://", answer.body)


@pytest.mark.parametrize("path", ["/", "/sign-in"])
async def test_files_of_a_page_are_open_and_never_change(service: Any, path: str) -> None:
    named = NAMED.findall((await service.ask(path)).body)

    assert len(named) >= 3
    for name in named:
        asset = await service.ask(name, None, headers={"Accept-Encoding": "identity"})
        assert asset.status == 200
        assert "immutable" in asset.headers["Cache-Control"]
        assert asset.headers["X-Content-Type-Options"] == "nosniff"
        kind = {
            ".js": "text/javascript",
            ".css": "text/css",
            ".svg": "image/svg+xml",
            ".webmanifest": "application/manifest+json",
        }
        assert asset.headers["Content-Type"].startswith(kind[Path(name).suffix])


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [("gzip, br", "gzip"), ("br;q=1, gzip", "gzip"), ("gzip; q=0", None), ("br", None), ("", None)],
)
async def test_files_are_compressed_for_whoever_accepts_it(
    service: Any, accepted: str, encoding: str | None
) -> None:
    name, content = max(pages.built().assets.items(), key=lambda one: len(one[1]))
    headers = {"Accept-Encoding": accepted}
    url = f"{service.url}/assets/{name}"

    async with service.http.get(url, headers=headers, auto_decompress=False) as answer:
        body = await answer.read()
        assert answer.headers.get("Content-Encoding") == encoding
        assert answer.headers["Vary"] == "Accept-Encoding"
    assert (gzip.decompress(body) if encoding else body) == content


@pytest.mark.parametrize(
    "name",
    ["x.js", "index.html", "manifest.json", "..%2findex.html", "%2e%2e/.vite/manifest.json", ".."],
)
async def test_no_other_file_is_served(service: Any, name: str) -> None:
    url = yarl.URL(f"{service.url}/assets/{name}", encoded=True)
    async with service.http.get(url, allow_redirects=False) as answer:
        assert answer.status in {401, 404}
        assert answer.headers["Content-Type"] == "application/problem+json"


async def test_the_service_worker_is_open_asked_for_anew_and_loads_nothing(service: Any) -> None:
    answer = await service.ask("/service-worker.js", None)

    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/javascript")
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["Content-Security-Policy"] == WORKER_POLICY
    assert "notificationclick" in answer.body
    assert not re.search(r"\bimport\b[^s]|importScripts", answer.body)


@pytest.mark.usefixtures("unbuilt")
async def test_pages_that_are_not_built_say_how_to_build_them(service: Any) -> None:
    for path, role in (("/", Role.VIEWER), ("/", None), ("/sign-in", None)):
        answer = await service.ask(path, role)
        assert answer.status == 503
        assert answer.headers["Content-Type"].startswith("text/html")
        assert "make setup" in answer.body
    assert (await service.ask("/assets/x.js", None)).status == 404
    assert (await service.ask("/service-worker.js", None)).status == 404
