"""A proxy between senders and the service that writes down what was acknowledged to whom."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from tests.system.ledger.account import Ledger, Row
from tests.system.ledger.bodies import SENDERS, refused_of, rows_of

BODY_BYTES_MAX = 64 << 20
ANSWER_TIMEOUT_S = 60
EXPECTED = {200, 202, 204, 503}
NO_SERVICE = 502
"""What a sender is told when nobody answers; the service itself never says so."""
PASSED_ON = ("Retry-After", "Content-Type")


class Recorder:
    """Passes on every request and its answer, and keeps the books."""

    def __init__(self, upstream: str, http: aiohttp.ClientSession) -> None:
        self._upstream = upstream
        self._http = http
        self.ledger = Ledger()
        self.statuses: dict[str, Counter[int]] = defaultdict(Counter)
        self.complaints: list[str] = []
        self.last_success: dict[str, float] = {}
        self.longest_outage_s: dict[str, float] = defaultdict(float)

    async def handle(self, request: web.Request) -> web.Response:
        """Pass on one request. The answer counts even if its sender is gone by then."""
        body = await request.read()
        rows = rows_of(request.path, body)
        self.ledger.note_sent(rows)
        headers = {
            k: v for k, v in request.headers.items() if k.lower() not in {"host", "connection"}
        }
        try:
            async with self._http.post(
                self._upstream + request.path, data=body, headers=headers
            ) as answer:
                content = await answer.read()
        except aiohttp.ClientError:
            return self._without_answer(request.path)
        except TimeoutError:
            self.complaints.append(f"{request.path}: no answer within {ANSWER_TIMEOUT_S} s")
            return self._without_answer(request.path)
        self._note(request.path, rows, answer.status, content)
        passed = {name: answer.headers[name] for name in PASSED_ON if name in answer.headers}
        return web.Response(status=answer.status, body=content, headers=passed)

    def _without_answer(self, path: str) -> web.Response:
        self.statuses[SENDERS[path]][NO_SERVICE] += 1
        return web.Response(status=NO_SERVICE)

    def _note(self, path: str, rows: list[Row], status: int, content: bytes) -> None:
        sender = SENDERS[path]
        self.statuses[sender][status] += 1
        if status not in EXPECTED:
            self.complaints.append(f"{path}: {status} {content[:200]!r}")
        elif status != 503:
            if refused := refused_of(path, content):
                self.complaints.append(f"{path}: {refused} samples refused: {content[:200]!r}")
            self.ledger.note_acknowledged(sender, rows)
            self._note_success(sender)

    def _note_success(self, sender: str) -> None:
        now = time.monotonic()
        gap_s = now - self.last_success.get(sender, now)
        self.longest_outage_s[sender] = max(self.longest_outage_s[sender], gap_s)
        self.last_success[sender] = now

    async def hear_everyone(self, since: float, timeout_s: float) -> None:
        """Wait until each sender has been told of a success after a moment."""
        try:
            async with asyncio.timeout(timeout_s):
                while any(self.last_success.get(each, 0) <= since for each in SENDERS.values()):
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(
                f"a sender had no success for {timeout_s:g} s\n{self.figures()}"
            ) from None

    def figures(self) -> str:
        """Say how it went, sender by sender."""
        return "\n".join(
            f"{sender}: {self.ledger.by_sender[sender]} samples acknowledged, answers "
            f"{dict(sorted(self.statuses[sender].items()))}, "
            f"longest outage {self.longest_outage_s[sender]:.1f} s"
            for sender in SENDERS.values()
        )


@asynccontextmanager
async def serving(handler: object, path: str = "/{any:.*}") -> AsyncIterator[str]:
    """Serve one handler on a free port; yields the address."""
    app = web.Application(client_max_size=BODY_BYTES_MAX)
    app.router.add_route("*", path, handler)  # type: ignore[arg-type] # it is a coroutine function
    runner = web.AppRunner(app, access_log=None, auto_decompress=False)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def recording(upstream: str) -> AsyncIterator[tuple[Recorder, str]]:
    """Run a recorder in front of a service; yields it and its address."""
    timeout = aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as http:
        recorder = Recorder(upstream, http)
        async with serving(recorder.handle) as url:
            yield recorder, url
