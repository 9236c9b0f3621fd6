"""Compressing with gzip and zstd, of large contents in a thread, and of constant ones once."""

import asyncio
import zlib
from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

import cramjam

from runtime.threads import COMPRESSING

BYTES_MIN = 1000
"""A smaller answer fits into one packet as it is."""
GZIP_LEVEL = 4
ZSTD_LEVEL = 3
THREAD_BYTES_MIN = 16 << 10
"""More than this takes longer than the loop can spare."""
PIECE_BYTES = 128 << 10
"""How much is compressed without letting others have the interpreter: about a millisecond."""


class Compressor(Protocol):
    """Compresses one answer; what `add` returns can be read at once."""

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
        # Unlike zlib it keeps the interpreter to itself while it works, in a thread as well.
        for start in range(0, len(content), PIECE_BYTES):
            self._zstd.compress(content[start : start + PIECE_BYTES])


COMPRESSORS: Mapping[str, Callable[[], Compressor]] = {"zstd": Zstd, "gzip": Gzip}
"""By their names in Content-Encoding, the better first."""
THOROUGH: Mapping[str, Callable[[], Compressor]] = {
    "zstd": partial(Zstd, 9),
    "gzip": partial(Gzip, 9),
}
"""For what is compressed once and sent again and again."""


class Once:
    """Content that is compressed once for everybody, when the first client wants that."""

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
                if encoding not in self._compressed:
                    finish = self._compressors[encoding]().finish
                    self._compressed[encoding] = await run(finish, self.body)
        return self._compressed[encoding]


_CONSTANT: dict[int, Once] = {}
"""What never changes, by the identity of its bytes."""


def constant(content: bytes) -> bytes:
    """Return content that never changes: answers with these very bytes are compressed once."""
    _CONSTANT[id(content)] = Once(content, THOROUGH)
    return content


def once_of(content: bytes) -> Once | None:
    """Return these very bytes as content that never changes, None when they are none."""
    return _CONSTANT.get(id(content))


async def run(step: Callable[[bytes], bytes], content: bytes) -> bytes:
    """Compress content, in a thread when it is large."""
    if len(content) < THREAD_BYTES_MIN:
        return step(content)
    return await COMPRESSING.run(step, content)
