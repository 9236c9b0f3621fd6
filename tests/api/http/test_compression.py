"""Responses are compressed if the client accepts it, and their content stays equal."""

import asyncio
import gzip
import threading
import zlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import cramjam
import pytest
from litestar import Litestar, Response, get, post
from litestar.response import Stream

from api.http.compression import Compression
from api.pages import pages
from api.server import server
from model.principal import Role
from model.series import Sample, Series, labels_of
from model.times import utc_now
from runtime.compression import BYTES_MIN
from runtime.threads import COMPRESSING

BASE = "/api/v1/monitoring"
LARGE = b'{"name": "server_cpu_percent"}' * 1000
TEXT = "text/plain"
DECODERS = {
    "gzip": gzip.decompress,
    "zstd": lambda body: bytes(cramjam.zstd.decompress(body)),
    None: lambda body: body,
}
more = asyncio.Event()


@get("/large", media_type=TEXT)
async def large() -> Response[bytes]:
    return Response(LARGE, headers={"ETag": '"v1"', "Vary": "Accept"})


@post("/large", media_type=TEXT)
async def secret() -> bytes:
    return LARGE


@get("/small", media_type=TEXT)
async def small() -> bytes:
    return b"x" * (BYTES_MIN - 1)


@get("/picture", media_type="image/png")
async def picture() -> bytes:
    return LARGE


@get("/encoded", media_type=TEXT)
async def encoded() -> Response[bytes]:
    return Response(gzip.compress(LARGE), headers={"Content-Encoding": "gzip"})


@get("/stream")
async def stream() -> Stream:
    async def parts() -> AsyncIterator[bytes]:
        yield b"first\n"
        await more.wait()
        yield b"second\n"

    return Stream(parts(), media_type="text/csv")


@pytest.fixture
async def url() -> AsyncIterator[str]:
    listener = server.listen("127.0.0.1", 0)
    routes = [large, secret, small, picture, encoded, stream]
    app = Litestar(routes, middleware=[Compression()], logging_config=None, openapi_config=None)
    running = asyncio.create_task(server.serve(app, listener))
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def ask(service: Any, url: str, accepted: str | None, method: str = "GET") -> Any:
    """Return encoding, headers and the body as it came."""
    headers = {} if accepted is None else {"Accept-Encoding": accepted}
    options = {"headers": headers, "skip_auto_headers": ["Accept-Encoding"]}
    async with service.http.request(method, url, auto_decompress=False, **options) as answer:
        assert answer.status in {200, 201}
        return answer.headers.get("Content-Encoding"), answer.headers, await answer.read()


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        (None, None),
        ("", None),
        ("identity", None),
        ("br", None),
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("zstd", "zstd"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=1.0, zstd;q=0.5", "gzip"),
        ("gzip;q=0", None),
        ("gzip; q=0, zstd;q=0.000", None),
        ("*", "zstd"),
        ("zstd;q=0, *;q=0.1", "gzip"),
        ("gzip;q=x", None),
        ("gzip;x=1", None),
        (";;;,,,;q=", None),
    ],
)
async def test_the_encoding_is_the_one_that_is_wanted_most(
    service: Any, url: str, accepted: str | None, expected: str | None
) -> None:
    encoding, headers, body = await ask(service, f"{url}/large", accepted)

    assert encoding == expected
    assert DECODERS[encoding](body) == LARGE
    assert headers["Vary"] == "Accept, Accept-Encoding"
    assert int(headers["Content-Length"]) == len(body)
    assert headers["ETag"] == ('W/"v1"' if encoding else '"v1"')


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/small"), ("GET", "/picture"), ("POST", "/large")],
)
async def test_small_compressed_and_secret_responses_are_not_compressed(
    service: Any, url: str, method: str, path: str
) -> None:
    encoding, _, body = await ask(service, url + path, "gzip, zstd", method)

    assert encoding is None
    assert len(body) in {BYTES_MIN - 1, len(LARGE)}


async def test_a_compressed_response_is_not_compressed_again(service: Any, url: str) -> None:
    encoding, _, body = await ask(service, f"{url}/encoded", "zstd")

    assert (encoding, gzip.decompress(body)) == ("gzip", LARGE)


@pytest.mark.parametrize("accepted", ["gzip", "zstd"])
async def test_a_stream_is_compressed_as_it_comes(service: Any, url: str, accepted: str) -> None:
    more.clear()
    decoder: Any = zlib.decompressobj(31) if accepted == "gzip" else cramjam.zstd.Decompressor()
    headers = {"Accept-Encoding": accepted}
    async with service.http.get(f"{url}/stream", auto_decompress=False, headers=headers) as answer:
        assert answer.headers["Content-Encoding"] == accepted
        first = await answer.content.readany()
        if accepted == "gzip":
            assert decoder.decompress(first) == b"first\n"
        more.set()
        whole = first + await answer.content.read()

    assert DECODERS[accepted](whole) == b"first\nsecond\n"


async def test_scrapes_exports_and_documents_are_compressed(service: Any) -> None:
    now = utc_now()
    series = [
        Series(metric="m", component="server", labels=labels_of({"i": str(i)})) for i in range(50)
    ]
    await service.write([Sample(one, now, 1.0) for one in series])
    key = {"Authorization": f"Bearer {service.keys[Role.VIEWER]}"}
    export = f"{BASE}/metrics/history?metric=m&start=-1h&step=raw&format="
    for path in ("/metrics", "/api/v1/openapi.json", *(export + form for form in ("csv", "arrow"))):
        sizes = []
        for encoding in ("identity", "gzip", "zstd"):
            headers = key | {"Accept-Encoding": encoding}
            url = service.url + path
            async with service.http.get(url, headers=headers, auto_decompress=False) as answer:
                body = await answer.read()
                assert answer.status == 200
                assert "Accept-Encoding" in answer.headers["Vary"]
            found = answer.headers.get("Content-Encoding")
            assert (found or "identity") == encoding
            sizes.append((len(body), len(DECODERS[found](body))))
        (plain, _), (zipped, unzipped), (zstd, unzstd) = sizes
        assert max(zipped, zstd) < plain / 2
        # The service's own metrics differ from one scrape to the next.
        assert abs(unzipped - plain) < 500
        assert abs(unzstd - plain) < 500


@asynccontextmanager
async def busy(*pools: ThreadPoolExecutor | None) -> AsyncIterator[None]:
    """Keep every thread there is busy; None are the threads of everybody."""
    end, loop = threading.Event(), asyncio.get_running_loop()
    waiting = [loop.run_in_executor(pool, end.wait) for pool in pools for _ in range(64)]
    try:
        yield
    finally:
        end.set()
        await asyncio.gather(*waiting)


async def test_constant_content_is_compressed_once(
    service: Any,
) -> None:
    names = ["/api/v1/docs/swagger-ui-bundle.js", "/api/v1/openapi.json"]
    assets = pages.built().assets.items()
    names += [f"/assets/{name}" for name, content in assets if len(content) >= BYTES_MIN]
    headers = {"Authorization": f"Bearer {service.keys[Role.VIEWER]}"}

    async def all_of_them() -> list[bytes]:
        found = []
        for name in names:
            for encoding in ("gzip", "zstd"):
                options = {"headers": headers | {"Accept-Encoding": encoding}}
                url = service.url + name
                async with service.http.get(url, auto_decompress=False, **options) as answer:
                    assert answer.headers["Content-Encoding"] == encoding
                    found.append(DECODERS[encoding](await answer.read()))
        return found

    first = await all_of_them()
    async with busy(None, COMPRESSING.executor):
        async with asyncio.timeout(10):
            assert await all_of_them() == first


async def test_answers_that_wait_to_be_compressed_keep_no_other_work_waiting(
    service: Any, url: str
) -> None:
    async with busy(COMPRESSING.executor):
        waiting = [asyncio.create_task(ask(service, f"{url}/large", "gzip")) for _ in range(40)]
        async with asyncio.timeout(10):
            _, _, body = await ask(service, f"{url}/large", None)
            assert await asyncio.to_thread(len, body) == len(LARGE)
        assert not any(task.done() for task in waiting)
    assert all(encoding == "gzip" for encoding, _, _ in await asyncio.gather(*waiting))
