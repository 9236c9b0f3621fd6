"""Bodies of requests: received and decoded under limits that hold before memory is taken."""

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
"""What decodes to less than this may be of any ratio."""
WINDOW_BYTES_MAX = 8 * 2**20
"""RFC 9659: of a zstd frame in HTTP."""
SNAPPY_RATIO_MAX = 22
"""Its densest element makes 64 bytes of 3."""
MAPPED_BYTES_MIN = 2**20
"""A decoded body of more is read where it was decoded."""
HELD_BYTES_MAX = 128 * 2**20
"""Of what has arrived of all bodies that are being received, or wait for their turn."""
SMALL_BYTES_MAX = 128 * 2**10
"""A body of no more is received at once; most senders never send more."""
ROOM_BYTES = WIRE_BYTES_MAX
"""Of all larger bodies together: one is read while others arrive."""
SLOW_S = 0.5
"""How long a body that does not come may keep others out of the room."""
WAITING_MAX = 1000
KEY_SHARE = 2
"""Of these places, one key takes at most one in so many."""

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ZSTD_SIZE_BYTES = (0, 2, 4, 8)

T = TypeVar("T")


class Encoding(StrEnum):
    """How a body is compressed, as in Content-Encoding."""

    IDENTITY = "identity"
    GZIP = "gzip"
    ZSTD = "zstd"
    SNAPPY = "snappy"


class BodyError(HTTPException):
    """A body that is not read; `limit` is what it broke, in one word."""

    def __init__(self, status: int, limit: str, detail: str) -> None:
        super().__init__(detail, status_code=status)
        self.limit = limit


class Bodies:
    """Receives bodies side by side, and reads one at a time: Python would not do two any faster.

    A large one is not received before there is room for it: until then it waits at its sender, and
    not in memory. A single thread reads them all, because the allocator keeps free memory for each
    thread: twenty threads would keep what twenty large bodies took. `refused` counts the bodies
    that broke a limit.
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
        """Return what `parse`, which runs in a thread, makes of the decoded body.

        On the event loop itself it reads an uncompressed body of at most `inline_bytes_max`: to
        hand a few samples to a thread and back takes longer than to read them.
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
        """Yield a body, and keep the room that it takes meanwhile."""
        declared = request.content_length
        # One that does not declare its length may be the longest.
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
    """Return what a stream yields until it is more than enough, or ends; `take` counts it."""
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
    """Return the one encoding that a Content-Encoding names; without one, the first offered."""
    name = header.strip().lower() or encodings[0]
    if name not in encodings:
        detail = f"send the body with Content-Encoding {' or '.join(encodings)}"
        raise BodyError(415, "encoding", detail)
    return Encoding(name)


def _read(body: bytes, encoding: Encoding, parse: Callable[[Body], T]) -> T:
    content = decode(body, encoding)
    try:
        with uncollected() if len(content) > SMALL_BYTES_MAX else nullcontext():
            return parse(content)
    finally:
        if isinstance(content, mmap.mmap):
            # An error's traceback may hold it longer than the request lasts.
            with suppress(BufferError):
                content.close()


def decode(body: bytes, encoding: Encoding) -> Body:
    """Return the decoded body. Raises BodyError: 413 when it is too large, 400 when it is bad."""
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
    # The last four bytes say how long the content is; where they lie, it is not gone on with.
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
    """Return the content's length by the frame's header (RFC 8878), which need not tell it."""
    if body[:4] != ZSTD_MAGIC or len(body) < 6:  # noqa: PLR2004 (magic, descriptor, and one more)
        raise _corrupt(Encoding.ZSTD)
    descriptor = body[4]
    is_single = bool(descriptor & 0x20)
    at = 5 + (not is_single) + (0, 1, 2, 4)[descriptor & 3]
    if not is_single:
        base = 1 << (10 + (body[5] >> 3))
        if base + (base >> 3) * (body[5] & 7) > WINDOW_BYTES_MAX:
            raise BodyError(413, "decoded", "a zstd window in HTTP has at most 8 MiB (RFC 9659)")
    length = ZSTD_SIZE_BYTES[descriptor >> 6] or int(is_single)
    if not length:
        return None
    return int.from_bytes(body[at : at + length], "little") + (256 if length == 2 else 0)  # noqa: PLR2004 (two bytes count from 256)


def _unsnappy(body: bytes) -> Body:
    declared = cramjam.snappy.decompress_raw_len(body)
    if declared > SNAPPY_RATIO_MAX * len(body):
        # No element makes so much of so little: it is the length that is damaged.
        raise _corrupt(Encoding.SNAPPY)
    _check_size(declared, len(body))
    return _mapped(declared, lambda place: cramjam.snappy.decompress_raw_into(body, place))


def _mapped(size: int, fill: Callable[[mmap.mmap], int]) -> Body:
    """Return what `fill` writes, in memory that goes back to the system as soon as it is unused.

    The allocator would keep it for the next body. Pages that were never touched take none.
    Reading bytes is quicker, so a small body is copied into some.
    """
    place = mmap.mmap(-1, max(size, 1))
    filled = fill(place)
    if filled == len(place) and filled > MAPPED_BYTES_MIN:
        return place
    with place:
        return place[:filled]


def _check_size(declared: int, wire: int) -> None:
    if declared > DECODED_BYTES_MAX:
        detail = f"the body decodes to more than {DECODED_BYTES_MAX >> 20} MiB; split it"
        raise BodyError(413, "decoded", detail)
    if declared > max(RATIO_FREE_BYTES, RATIO_MAX * wire):
        detail = f"the body decodes to more than {RATIO_MAX} times its length; send smaller ones"
        raise BodyError(413, "ratio", detail)


def _too_long() -> BodyError:
    return BodyError(413, "wire", f"a body has at most {WIRE_BYTES_MAX >> 20} MiB; split it")


def _corrupt(encoding: Encoding) -> BodyError:
    return BodyError(400, "corrupt", f"the body is not {encoding}, is cut off, or is too large")
