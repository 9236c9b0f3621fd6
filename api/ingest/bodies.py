"""Bodies of requests: received and decoded under limits that hold before memory is taken."""

import asyncio
import mmap
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, TypeVar

import cramjam
from litestar import Request
from litestar.exceptions import HTTPException

from api.line import Line
from vigia.model import UnavailableError

WIRE_BYTES_MAX = 4 * 2**20
DECODED_BYTES_MAX = 32 * 2**20
RATIO_MAX = 100
RATIO_FREE_BYTES = 2**20
"""What decodes to less than this may be of any ratio."""
WINDOW_BYTES_MAX = 8 * 2**20
"""RFC 9659: of a zstd frame in HTTP."""
SNAPPY_RATIO_MAX = 22
"""Its densest element makes 64 bytes of 3."""
HELD_BYTES_MAX = 128 * 2**20
"""Of all bodies that are being received, or wait for their turn."""
WAITING_MAX = 1000
READ_TIMEOUT_S = 30.0

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

    `refused` counts those that broke a limit.
    """

    def __init__(self) -> None:
        self._turns = Line(1, WAITING_MAX)
        self._free_bytes = HELD_BYTES_MAX
        self.refused: Counter[str] = Counter()

    async def read(
        self,
        request: Request[Any, Any, Any],
        encodings: tuple[Encoding, ...],
        parse: Callable[[bytes], T],
    ) -> T:
        """Return what `parse`, which runs in a thread, makes of the decoded body."""
        try:
            encoding = encoding_of(request.headers.get("content-encoding", ""), encodings)
            with self._hold(request.content_length):
                body = await _receive(request)
                async with self._turns.turn():
                    return await asyncio.to_thread(lambda: parse(decode(body, encoding)))
        except BodyError as error:
            self.refused[error.limit] += 1
            raise

    @contextmanager
    def _hold(self, declared: int | None) -> Iterator[None]:
        """Keep room for a body; one that does not declare its length may be the longest."""
        size = WIRE_BYTES_MAX if declared is None else declared
        if size > WIRE_BYTES_MAX:
            raise _too_long()
        if size > self._free_bytes:
            self.refused["held"] += 1
            raise UnavailableError("too many bodies are being received; send it again soon")
        self._free_bytes -= size
        try:
            yield
        finally:
            self._free_bytes += size


async def _receive(request: Request[Any, Any, Any]) -> bytes:
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            async for chunk in request.stream():
                size += len(chunk)
                if size > WIRE_BYTES_MAX:
                    raise _too_long()
                chunks.append(chunk)
    except TimeoutError:
        detail = f"the body did not arrive within {READ_TIMEOUT_S:g} s"
        raise BodyError(408, "slow", detail) from None
    return b"".join(chunks)


def encoding_of(header: str, encodings: tuple[Encoding, ...]) -> Encoding:
    """Return the one encoding that a Content-Encoding names; none is identity."""
    name = header.strip().lower() or Encoding.IDENTITY
    if name not in encodings:
        detail = f"send the body with Content-Encoding {' or '.join(encodings)}"
        raise BodyError(415, "encoding", detail)
    return Encoding(name)


def decode(body: bytes, encoding: Encoding) -> bytes:
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


def _unzstd(body: bytes) -> bytes:
    declared = _zstd_size(body)
    allowed = min(DECODED_BYTES_MAX, max(RATIO_FREE_BYTES, RATIO_MAX * len(body)))
    if declared is not None:
        _check_size(declared, len(body))
        allowed = declared
    # Untouched pages take no memory, and those that were touched are given back at once.
    with mmap.mmap(-1, max(allowed, 1)) as decoded:
        size = cramjam.zstd.decompress_into(body, decoded)
        return decoded[:size]


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


def _unsnappy(body: bytes) -> bytes:
    declared = cramjam.snappy.decompress_raw_len(body)
    _check_size(declared, len(body))
    if declared > SNAPPY_RATIO_MAX * len(body):
        raise _corrupt(Encoding.SNAPPY)
    return bytes(cramjam.snappy.decompress_raw(body))


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
