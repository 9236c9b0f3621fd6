"""Answers that are made from memory, each encoded once for everybody who asks until it changes."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.datastructures import State as RequestState
from litestar.openapi.datastructures import ResponseSpec
from msgspec import Raw, Struct

from api.compression import BYTES_MIN, COMPRESSORS, THREAD_BYTES_MIN, accepted
from api.encode_current import Fragment, encode_component, encode_document
from api.messages import State
from api.newest import Newest
from db import health

INLINE_VALUES = 200
"""So few values are encoded at once; more are encoded in a thread."""
KEPT_TIMES, KEPT_MIN_S, KEPT_MAX_S = 4.0, 0.02, 5.0
"""A document that took longer than the least to make is given out for so many times as long as it
took, changed or not: however many ask for it, making it takes a fifth of one core."""
DOCUMENTS_MAX = 64
"""How many documents of single components are kept."""
LARGE_BYTES = 200_000
DASHBOARD_ALERTS_MAX = 100
NOT_MODIFIED: Mapping[int, ResponseSpec] = {
    304: ResponseSpec(
        None, description="As `If-None-Match` has it: nothing has changed.", generate_examples=False
    )
}


class Document:
    """An encoded answer; `etag` is of its content, so that it holds on every replica.

    It is compressed once for everybody, when the first client wants that.
    """

    def __init__(self, body: bytes, etag: str) -> None:
        self.body = body
        self.etag = etag
        self._compressed: dict[str, bytes] = {}
        self._lock = asyncio.Lock()

    async def compressed(self, encoding: str) -> bytes:
        """Return the body in an encoding of `api.compression`."""
        if encoding not in self._compressed:
            async with self._lock:
                if encoding not in self._compressed:
                    finish = COMPRESSORS[encoding]().finish
                    is_large = len(self.body) >= THREAD_BYTES_MIN
                    self._compressed[encoding] = (
                        await asyncio.to_thread(finish, self.body)
                        if is_large
                        else finish(self.body)
                    )
        return self._compressed[encoding]


class Kept(Struct, frozen=True):
    """A document, the change it was made at, and until when it is given out unseen."""

    document: Document
    changed: int
    until: float


class Documents:
    """The documents of newest values; one is made at a time, and all who ask meanwhile share it."""

    def __init__(self, newest: Newest, clock: Callable[[], float] = time.monotonic) -> None:
        self.made = 0
        self._newest = newest
        self._clock = clock
        self._fragments: dict[str, tuple[int, Fragment]] = {}
        self._kept: dict[str | None, Kept] = {}
        self._lock = asyncio.Lock()
        self._health: tuple[tuple[object, ...], Document] | None = None
        self._dashboard: tuple[tuple[object, ...], Document] | None = None

    async def metrics(self, component: str | None = None) -> Document:
        """Return the newest values of all components, or of one."""
        if found := self._find(component):
            return found
        async with self._lock:
            return self._find(component) or await self._make(component)

    async def health(self, state: State) -> Document:
        """Return the state of every component."""
        of = (state.statuses,)
        if self._health is None or not _is_same(self._health[0], of):
            body = msgspec.json.encode(health.document(state.statuses))
            self._health = of, await encoded(lambda: body)
        return self._health[1]

    async def dashboard(self, state: State) -> Document:
        """Return everything that the first page needs; its time is that of the last change."""
        metrics, states = await self.metrics(), await self.health(state)
        of = (metrics, states, state.alerts, state.seq)
        if self._dashboard is None or not _is_same(self._dashboard[0], of):
            made = await encoded(lambda: _dashboard(state, metrics, states), len(metrics.body))
            self._dashboard = of, made
        return self._dashboard[1]

    def forget(self) -> None:
        self._fragments.clear()
        self._kept.clear()
        self._health = self._dashboard = None

    def _find(self, component: str | None) -> Document | None:
        kept = self._kept.get(component)
        if kept is None:
            return None
        is_valid = kept.changed == self._changed(component) or self._clock() < kept.until
        return kept.document if is_valid else None

    def _changed(self, component: str | None) -> int:
        return self._newest.changes if component is None else self._newest.changed(component)

    async def _make(self, component: str | None) -> Document:
        began, changed = self._clock(), self._changed(component)
        wanted = self._newest.components() if component is None else [component]
        await self._encode([name for name in wanted if self._newest.changed(name)])
        fragments = [self._fragments[name][1] for name in wanted if name in self._fragments]
        size = sum(len(one.body) for one in fragments)
        document = await encoded(lambda: encode_document(fragments), size)
        took_s = self._clock() - began
        kept_s = min(KEPT_TIMES * took_s, KEPT_MAX_S) if took_s > KEPT_MIN_S else 0.0
        self._kept.pop(component, None)
        if len(self._kept) >= DOCUMENTS_MAX:
            del self._kept[next(iter(self._kept))]
        self._kept[component] = Kept(document, changed, began + took_s + kept_s)
        self.made += 1
        return document

    async def _encode(self, names: Iterable[str]) -> None:
        """Encode the components that changed since they were encoded."""
        self._drop_removed()
        for name in names:
            changed = self._newest.changed(name)
            if self._fragments.get(name, (0, None))[0] == changed:
                continue
            values = self._newest.of(name)
            if len(values) <= INLINE_VALUES:
                fragment = encode_component(name, values)
                # Many small components are as much work as a large one.
                await asyncio.sleep(0)
            else:
                fragment = await asyncio.to_thread(encode_component, name, values)
            self._fragments[name] = changed, fragment

    def _drop_removed(self) -> None:
        for name in [one for one in self._fragments if not self._newest.changed(one)]:
            del self._fragments[name]


async def encoded(encode: Callable[[], bytes], size_bytes: int = 0) -> Document:
    """Make a document of about a size, in a thread when it is large."""

    def make() -> Document:
        body = encode()
        return Document(body, f'"{blake2b(body, digest_size=12).hexdigest()}"')

    return make() if size_bytes <= LARGE_BYTES else await asyncio.to_thread(make)


def _dashboard(state: State, metrics: Document, states: Document) -> bytes:
    return msgspec.json.encode(
        {
            "time": state.time,
            "seq": state.seq,
            "health": Raw(states.body),
            "uptime": {one.component: one.uptime_24h for one in state.statuses},
            "metrics": Raw(metrics.body),
            "alerts": state.alerts[:DASHBOARD_ALERTS_MAX],
        }
    )


def _is_same(known: tuple[object, ...], of: tuple[object, ...]) -> bool:
    """Whether a document was made of the very same things: none of them is ever changed."""
    return all(one is other or one == other for one, other in zip(known, of, strict=True))


async def answer(request: Request[Any, Any, RequestState], document: Document) -> Response[Any]:
    """Return a document, compressed for those who can read that, or 304 to who has it already."""
    headers = {
        "ETag": document.etag,
        "Cache-Control": "private, no-cache",
        "Vary": "Accept-Encoding",
    }
    if is_known(request.headers.get("if-none-match", ""), document.etag):
        return Response(None, status_code=304, headers=headers)
    body, encoding = document.body, accepted(request.scope)
    if encoding and len(body) >= BYTES_MIN and request.method == "GET":
        body = await document.compressed(encoding)
        # The same content in other bytes: as a strong tag it would stand for both.
        headers |= {"Content-Encoding": encoding, "ETag": f"W/{document.etag}"}
    return Response(body, media_type="application/json", headers=headers)


def is_known(if_none_match: str, etag: str) -> bool:
    """Whether a header of a client names a document; marks of weakness do not matter here."""
    names = {name.strip().removeprefix("W/") for name in if_none_match.split(",")}
    return "*" in names or etag in names
