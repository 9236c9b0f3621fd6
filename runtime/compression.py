"""Compresses with gzip and zstd: large contents in a thread, constant contents only once."""

import asyncio
import zlib
from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

import cramjam

from runtime.threads import COMPRESSING

BYTES_MIN = 1000
"""Smaller answers are not compressed: they fit into one packet."""
GZIP_LEVEL = 4
ZSTD_LEVEL = 3
THREAD_BYTES_MIN = 16 << 10
"""Larger contents are compressed in a thread: on the event loop they would delay other requests."""
PIECE_BYTES = 128 << 10
"""How much zstd compresses in one call, while it holds the GIL: about a millisecond."""


class Compressor(Protocol):
    """Compresses one answer. The client can decode the result of each `add` at once."""

    @abstractmethod
    def add(self, content: bytes) -> bytes: ...

    @abstractmethod
    def finish(self, content: bytes) -> bytes: ...


class Gzip:
    def __init__(self, level: int = GZIP_LEVEL) -> None:
        self._deflate = zlib.compressobj(level, wbits=16 + zlib.MAX_WBITS)

    def add(self, content: bytes) -> bytes:
        return self._deflate.compress(content) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def finish(self, content: bytes) -> bytes:
        return self._deflate.compress(content) + self._deflate.flush()


class Zstd:
    def __init__(self, level: int = ZSTD_LEVEL) -> None:
        self._zstd = cramjam.zstd.Compressor(level)

    def add(self, content: bytes) -> bytes:
        self._take(content)
        return bytes(self._zstd.flush())

    def finish(self, content: bytes) -> bytes:
        self._take(content)
        return bytes(self._zstd.finish())

    def _take(self, content: bytes) -> None:
        # Unlike zlib, cramjam holds the GIL while it compresses, even in a thread.
        for start in range(0, len(content), PIECE_BYTES):
            self._zstd.compress(content[start : start + PIECE_BYTES])


COMPRESSORS: Mapping[str, Callable[[], Compressor]] = {"zstd": Zstd, "gzip": Gzip}
"""The compressors by their names in Content-Encoding, in order of preference."""
THOROUGH: Mapping[str, Callable[[], Compressor]] = {
    "zstd": partial(Zstd, 9),
    "gzip": partial(Gzip, 9),
}
"""The compressors for content that is compressed once and sent many times."""


class Once:
    """Content that is compressed once for all clients, when the first client asks for it."""

    def __init__(
        self, body: bytes, compressors: Mapping[str, Callable[[], Compressor]] = COMPRESSORS
    ) -> None:
        self.body = body
        self._compressors = compressors
        self._compressed: dict[str, bytes] = {}
        self._lock = asyncio.Lock()

    async def compressed(self, encoding: str) -> bytes:
        """Return the body in one of the encodings."""
        if encoding not in self._compressed:
            async with self._lock:
                # Another request may have compressed it while this one waited for the lock.
                if encoding not in self._compressed:
                    finish = self._compressors[encoding]().finish
                    self._compressed[encoding] = await run(finish, self.body)
        return self._compressed[encoding]


_CONSTANT: dict[int, Once] = {}
"""Content that never changes, by the identity of its bytes object."""


def constant(content: bytes) -> bytes:
    """Register content that never changes, and return it.

    Answers with this very bytes object are compressed once. The object is kept for ever: its id
    must not be reused.
    """
    _CONSTANT[id(content)] = Once(content, THOROUGH)
    return content


def once_of(content: bytes) -> Once | None:
    """Return the registered content for this very bytes object, or None."""
    return _CONSTANT.get(id(content))


async def run(step: Callable[[bytes], bytes], content: bytes) -> bytes:
    """Compress content with `step`, in a thread when it is large."""
    if len(content) < THREAD_BYTES_MIN:
        return step(content)
    return await COMPRESSING.run(step, content)
