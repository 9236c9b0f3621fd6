"""Receives and decodes request bodies, under limits that are checked before memory is used."""

import asyncio
import mmap
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext, suppress
from enum import StrEnum
from typing import Any, TypeVar

import cramjam
from litestar import Request
from litestar.exceptions import HTTPException

from api.http.limiter import Limiter
from api.ingest.admission.room import HeldBytes, Room
from api.ingest.formats.garbage import uncollected
from api.ingest.formats.protobuf_wire import Body
from api.server.body_deadline import SlowBodyError
from model.principal import holder_of
from runtime.threads import Threads

WIRE_BYTES_MAX = 4 * 2**20
DECODED_BYTES_MAX = 32 * 2**20
RATIO_MAX = 100
RATIO_FREE_BYTES = 2**20
"""A body that decodes to less may have any compression ratio."""
WINDOW_BYTES_MAX = 8 * 2**20
"""The largest window of a zstd frame in HTTP (RFC 9659)."""
SNAPPY_RATIO_MAX = 22
"""The highest possible ratio of snappy: its densest element encodes 64 bytes in 3."""
MAPPED_BYTES_MIN = 2**20
"""A larger decoded body is read in the mapped memory where it was decoded."""
HELD_BYTES_MAX = 128 * 2**20
"""Limit of received bytes of all bodies that are arriving or waiting to be read."""
SMALL_BYTES_MAX = 128 * 2**10
"""A body of up to this size is received at once. Most senders never exceed it."""
ROOM_BYTES = WIRE_BYTES_MAX
"""Limit of all larger bodies together: one is read while others arrive."""
SLOW_S = 0.5
"""How long a body that arrives slowly may occupy the shared memory."""
WAITING_MAX = 1000
KEY_SHARE = 2
"""One key takes at most 1/KEY_SHARE of the waiting places."""

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ZSTD_SIZE_BYTES = (0, 2, 4, 8)

T = TypeVar("T")


class Encoding(StrEnum):
    """The compression of a body, as in Content-Encoding."""

    IDENTITY = "identity"
    GZIP = "gzip"
    ZSTD = "zstd"
    SNAPPY = "snappy"


class BodyError(HTTPException):
    """A body that is refused; `limit` names the limit that it exceeds, in one word."""

    def __init__(self, status: int, limit: str, detail: str) -> None:
        super().__init__(detail, status_code=status)
        self.limit = limit


class Bodies:
    """Receives bodies concurrently, and parses one at a time: two threads would be no faster.

    1. Receive a small body at once. A large one waits at its sender, not in memory, until there is
       room for it.
    2. Wait for the turn of the key.
    3. Decode and parse the body in the only parser thread. The allocator keeps freed memory for
       each thread, so twenty threads would keep the memory of twenty large bodies.

    `refused` counts the bodies that exceed a limit, by limit.
    """

    def __init__(self) -> None:
        self._limiter = Limiter(1, WAITING_MAX, WAITING_MAX // KEY_SHARE)
        self._thread = Threads("bodies")
        self._held = HeldBytes(HELD_BYTES_MAX)
        self._room = Room(ROOM_BYTES)
        self.refused: Counter[str] = Counter()

    async def read(
        self,
        request: Request[Any, Any, Any],
        encodings: tuple[Encoding, ...],
        parse: Callable[[Body], T],
        inline_bytes_max: int = 0,
    ) -> T:
        """Return the result of `parse` for the decoded body.

        `parse` runs in a thread, except for uncompressed bodies of up to `inline_bytes_max`:
        handing a few samples to a thread takes longer than parsing them. Raises BodyError,
        SlowBodyError, UnavailableError, and whatever `parse` raises.
        """
        key = holder_of(request.user)
        try:
            encoding = encoding_of(request.headers.get("content-encoding", ""), encodings)
            async with self._received(request, key) as body, self._limiter.slot(key):
                if encoding is Encoding.IDENTITY and len(body) <= inline_bytes_max:
                    return parse(body)
                return await self._thread.run(_read, body, encoding, parse)
        except SlowBodyError:
            self.refused["slow"] += 1
            raise
        except BodyError as error:
            self.refused[error.limit] += 1
            raise
        finally:
            if self._held.refused:
                self.refused["held"] = self._held.refused

    @asynccontextmanager
    async def _received(self, request: Request[Any, Any, Any], key: str) -> AsyncIterator[bytes]:
        """Yield a body, and hold its share of the memory meanwhile."""
        declared = request.content_length
        # A body without a declared length may have the largest size.
        size = WIRE_BYTES_MAX if declared is None else declared
        if size > WIRE_BYTES_MAX:
            raise _too_long()
        with self._held.holder(key) as take:
            chunks, beginning = request.stream(), b""
            if declared is None or declared <= SMALL_BYTES_MAX:
                beginning = await _receive(chunks, SMALL_BYTES_MAX, take)
                if len(beginning) <= SMALL_BYTES_MAX:
                    yield beginning
                    return
            async with self._room.held(size, key) as leave:
                slow = asyncio.get_running_loop().call_later(SLOW_S, leave)
                try:
                    rest = await _receive(chunks, WIRE_BYTES_MAX - len(beginning), take)
                finally:
                    slow.cancel()
                yield _whole(beginning, rest)


async def _receive(stream: AsyncIterator[bytes], enough: int, take: Callable[[int], None]) -> bytes:
    """Return the bytes of a stream until there are more than `enough`, or it ends.

    `take` counts them, and raises UnavailableError if there are too many.
    """
    chunks: list[bytes] = []
    size = 0
    while size <= enough:
        chunk = await anext(stream, None)
        if chunk is None:
            break
        take(len(chunk))
        size += len(chunk)
        chunks.append(chunk)
    return b"".join(chunks)


def _whole(beginning: bytes, rest: bytes) -> bytes:
    if len(beginning) + len(rest) > WIRE_BYTES_MAX:
        raise _too_long()
    return beginning + rest


def encoding_of(header: str, encodings: tuple[Encoding, ...]) -> Encoding:
    """Return the encoding in a Content-Encoding header; without one, the first accepted one."""
    name = header.strip().lower() or encodings[0]
    if name not in encodings:
        detail = f"Content-Encoding must be {' or '.join(encodings)}"
        raise BodyError(415, "encoding", detail)
    return Encoding(name)


def _read(body: bytes, encoding: Encoding, parse: Callable[[Body], T]) -> T:
    content = decode(body, encoding)
    try:
        with uncollected() if len(content) > SMALL_BYTES_MAX else nullcontext():
            return parse(content)
    finally:
        if isinstance(content, mmap.mmap):
            # Close it now: the traceback of an error may keep it beyond the request.
            with suppress(BufferError):
                content.close()


def decode(body: bytes, encoding: Encoding) -> Body:
    """Return the decoded body. Raises BodyError: 413 if it is too large, 400 if it is corrupt."""
    try:
        match encoding:
            case Encoding.IDENTITY:
                return body
            case Encoding.GZIP:
                return _gunzip(body)
            case Encoding.ZSTD:
                return _unzstd(body)
            case Encoding.SNAPPY:
                return _unsnappy(body)
    except (zlib.error, cramjam.DecompressionError):
        raise _corrupt(encoding) from None


def _gunzip(body: bytes) -> bytes:
    # The last four bytes declare the length of the content. If they are wrong, decoding stops.
    declared = int.from_bytes(body[-4:], "little")
    _check_size(declared, len(body))
    inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    decoded = inflater.decompress(body, declared + 1)
    if not inflater.eof or inflater.unused_data or len(decoded) != declared:
        raise _corrupt(Encoding.GZIP)
    return decoded


def _unzstd(body: bytes) -> Body:
    declared = _zstd_size(body)
    allowed = min(DECODED_BYTES_MAX, max(RATIO_FREE_BYTES, RATIO_MAX * len(body)))
    if declared is not None:
        _check_size(declared, len(body))
        allowed = declared
    return _mapped(allowed, lambda place: cramjam.zstd.decompress_into(body, place))


def _zstd_size(body: bytes) -> int | None:
    """Return the content's length in the frame header (RFC 8878); None if it is not there."""
    if body[:4] != ZSTD_MAGIC or len(body) < 6:  # noqa: PLR2004 (magic, descriptor, and one more)
        raise _corrupt(Encoding.ZSTD)
    descriptor = body[4]
    is_single = bool(descriptor & 0x20)
    at = 5 + (not is_single) + (0, 1, 2, 4)[descriptor & 3]
    if not is_single:
        base = 1 << (10 + (body[5] >> 3))
        if base + (base >> 3) * (body[5] & 7) > WINDOW_BYTES_MAX:
            raise BodyError(
                413, "decoded", "the zstd window is larger than 8 MiB (RFC 9659); use a lower level"
            )
    length = ZSTD_SIZE_BYTES[descriptor >> 6] or int(is_single)
    if not length:
        return None
    return int.from_bytes(body[at : at + length], "little") + (256 if length == 2 else 0)  # noqa: PLR2004 (two bytes count from 256)


def _unsnappy(body: bytes) -> Body:
    declared = cramjam.snappy.decompress_raw_len(body)
    if declared > SNAPPY_RATIO_MAX * len(body):
        # Snappy cannot compress that much, so the declared length is damaged.
        raise _corrupt(Encoding.SNAPPY)
    _check_size(declared, len(body))
    return _mapped(declared, lambda place: cramjam.snappy.decompress_raw_into(body, place))


def _mapped(size: int, fill: Callable[[mmap.mmap], int]) -> Body:
    """Return the bytes that `fill` writes into mapped memory.

    Mapped memory returns to the system when it is closed, while the allocator would keep it. Pages
    that are never written take no memory. A small result is copied, because bytes are faster to
    read.
    """
    place = mmap.mmap(-1, max(size, 1))
    filled = fill(place)
    if filled == len(place) and filled > MAPPED_BYTES_MIN:
        return place
    with place:
        return place[:filled]


def _check_size(declared: int, wire: int) -> None:
    if declared > DECODED_BYTES_MAX:
        detail = f"the decoded body is larger than {DECODED_BYTES_MAX >> 20} MiB; split it"
        raise BodyError(413, "decoded", detail)
    if declared > max(RATIO_FREE_BYTES, RATIO_MAX * wire):
        detail = f"the decoded body is more than {RATIO_MAX} times as long; send smaller bodies"
        raise BodyError(413, "ratio", detail)


def _too_long() -> BodyError:
    return BodyError(413, "wire", f"the body is larger than {WIRE_BYTES_MAX >> 20} MiB; split it")


def _corrupt(encoding: Encoding) -> BodyError:
    return BodyError(
        400, "corrupt", f"the body is not valid {encoding}, is incomplete, or is too large"
    )
