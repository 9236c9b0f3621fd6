"""Response documents from memory. Each is encoded once, and shared until it changes."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from hashlib import blake2b

import msgspec
from msgspec import Raw, Struct

from health import status as health
from live.encode_current import Fragment, encode_component, encode_document, in_order
from live.messages import State
from live.newest import Identity, Newest
from runtime.compression import Once
from samples.current import Current

INLINE_VALUES = 200
"""Up to this many values are encoded on the event loop; more are encoded in a thread."""
NAMES_INLINE = 1000
"""Most names that are sorted or looked up without a pause: at most a millisecond."""
KEPT_TIMES, KEPT_MIN_S, KEPT_MAX_S = 4.0, 0.02, 5.0
"""A document that took longer than KEPT_MIN_S to make is reused for KEPT_TIMES as long as it took,
even if it changed, and at most for KEPT_MAX_S. So making it takes at most a fifth of one core."""
DOCUMENTS_MAX = 64
"""Most documents of single components in the cache."""
LARGE_BYTES = 200_000
DASHBOARD_ALERTS_MAX = 100


class Document(Once):
    """An encoded document; `etag` depends only on its content, so replicas agree on it."""

    def __init__(self, body: bytes, etag: str) -> None:
        super().__init__(body)
        self.etag = etag


class KeptDocument(Struct, frozen=True):
    """A document, its count of changes, and until when it is reused without a look at these."""

    document: Document
    changed: int
    until: float


class Documents:
    """The documents of newest values. One is made at a time; requests in between share it."""

    def __init__(self, newest: Newest, clock: Callable[[], float] = time.monotonic) -> None:
        self.made = 0
        self._newest = newest
        self._clock = clock
        self._fragments: dict[str, tuple[int, Fragment]] = {}
        self._kept: dict[str | None, KeptDocument] = {}
        self._lock = asyncio.Lock()
        self._names: Sequence[str] = ()
        self._ordered: Sequence[str] = ()
        self._health: tuple[tuple[object, ...], Document] | None = None
        self._dashboard: tuple[tuple[object, ...], Document] | None = None
        self._generation = 0

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
        """Return all data of the first page; its time is that of the last change."""
        metrics, states = await self.metrics(), await self.health(state)
        of = (metrics, states, state.alerts, state.seq)
        if self._dashboard is None or not _is_same(self._dashboard[0], of):
            made = await encoded(lambda: _dashboard(state, metrics, states), len(metrics.body))
            self._dashboard = of, made
        return self._dashboard[1]

    def forget(self) -> None:
        """Drop all documents. A document that is being made from old values is made again."""
        self._generation += 1
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
        began, changed, generation = self._clock(), self._changed(component), self._generation
        wanted = await self._all() if component is None else [component]
        fragments = await self._encode(wanted)
        # For many fragments, the size is not worth computing: assume that it is large.
        is_few = len(fragments) <= NAMES_INLINE
        size = sum(len(one.body) for one in fragments) if is_few else LARGE_BYTES + 1
        document = await encoded(lambda: encode_document(fragments), size)
        if generation != self._generation:
            return await self._make(component)
        took_s = self._clock() - began
        kept_s = min(KEPT_TIMES * took_s, KEPT_MAX_S) if took_s > KEPT_MIN_S else 0.0
        self._kept.pop(component, None)
        if len(self._kept) >= DOCUMENTS_MAX:
            del self._kept[next(iter(self._kept))]
        self._kept[component] = KeptDocument(document, changed, began + took_s + kept_s)
        self.made += 1
        return document

    async def _all(self) -> Sequence[str]:
        """Return the sorted names of all components, cached until the set of names changes."""
        names = self._newest.components()
        if names is not self._names:
            in_a_thread = len(names) > NAMES_INLINE
            self._ordered = (
                await asyncio.to_thread(lambda: list(in_order(names)))
                if in_a_thread
                else sorted(names)
            )
            self._names = names
            async for name in in_turns(list(self._fragments)):
                if not self._newest.changed(name):
                    self._fragments.pop(name, None)
        return self._ordered

    async def _encode(self, names: Sequence[str]) -> list[Fragment]:
        """Return the fragments of known components; encode those that changed since last time."""
        fragments = []
        async for name in in_turns(names):
            changed = self._newest.changed(name)
            known_at, fragment = self._fragments.get(name, (0, None))
            if changed and (fragment is None or known_at != changed):
                fragment = await _encoded_component(name, self._newest.of(name))
                self._fragments[name] = changed, fragment
            if changed and fragment is not None:
                fragments.append(fragment)
        return fragments


async def in_turns(names: Iterable[str]) -> AsyncIterator[str]:
    """Yield names, and yield to the event loop after each NAMES_INLINE of them."""
    for number, name in enumerate(names, start=1):
        yield name
        if number % NAMES_INLINE == 0:
            await asyncio.sleep(0)


async def _encoded_component(name: str, values: Mapping[Identity, Current]) -> Fragment:
    if len(values) > INLINE_VALUES:
        return await asyncio.to_thread(encode_component, name, values)
    fragment = encode_component(name, values)
    # Many small components are as much work as a large one, so yield after each.
    await asyncio.sleep(0)
    return fragment


async def encoded(encode: Callable[[], bytes], size_bytes: int = 0) -> Document:
    """Make a document; in a thread if its estimated size is large."""

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
    """Return whether a document was made of the same objects, which are immutable."""
    return all(one is other or one == other for one, other in zip(known, of, strict=True))
