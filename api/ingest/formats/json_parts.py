"""JSON that is decoded without holding up other threads.

One call makes all objects of a text while every other thread waits. A body of 30 MiB could hold
15 million, so they are counted before any of them is made, and many are made a few at a time.
"""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np
from msgspec import Raw

from api.ingest.formats.protobuf_wire import Body
from model.errors import InvalidError

BYTES_AT_ONCE = 512 * 2**10
COMMAS_AT_ONCE = 100_000
"""A body with no more of either is decoded in one call, which takes up to 20 ms."""
PIECE_ITEMS = 200
PIECE_BYTES = 256 * 2**10
QUOTE, COMMA = b'",'
BACKSLASH = b"\\"
ESCAPED_BACKSLASH = BACKSLASH * 2
ESCAPED_QUOTE = b'\\"'

T = TypeVar("T")


def is_small(body: Body, commas_max: int) -> bool:
    """Whether a body may be decoded in one call.

    Every value but the first of a list or object follows a comma. Raises InvalidError when there
    are more than `commas_max`. Those in strings count as long as the sum is within that limit: to
    tell them apart takes longer.
    """
    if len(body) <= BYTES_AT_ONCE:
        return True
    commas = _count(body)
    if commas > commas_max:
        commas = _count_outside_strings(body)
    if commas > commas_max:
        raise InvalidError("the body has too many parts; split it")
    return commas <= COMMAS_AT_ONCE


def in_pieces(
    items: Sequence[Any], decoder: msgspec.json.Decoder[list[T]], name: str
) -> Iterator[T]:
    """Yield the items of a list, decoding those that are not yet. Raises InvalidError.

    `name` is that of the list, for errors.
    """
    for start in range(0, len(items), PIECE_ITEMS):
        piece = [each for each in items[start : start + PIECE_ITEMS] if isinstance(each, Raw)]
        if piece:
            yield from _decoded(piece, decoder, name, start)
        else:
            yield from items[start : start + PIECE_ITEMS]


def _decoded(
    raws: Sequence[Raw], decoder: msgspec.json.Decoder[list[T]], name: str, start: int
) -> list[T]:
    try:
        return decoder.decode(b"[" + b",".join(raws) + b"]")
    except (msgspec.DecodeError, UnicodeDecodeError):
        for index, raw in enumerate(raws, start):
            try:
                decoder.decode(b"[" + bytes(raw) + b"]")
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise unreadable(error, f"in {name}, item {index}: ") from None
        raise


def unreadable(error: Exception, where: str = "") -> InvalidError:
    """Return what is said of a body that is no JSON, or of another shape."""
    return InvalidError(f"the body cannot be read: {where}{error}")


def _count(body: Body) -> int:
    starts = range(0, len(body), PIECE_BYTES)
    pieces = (np.frombuffer(body[start : start + PIECE_BYTES], np.uint8) for start in starts)
    return sum(int(np.count_nonzero(piece == COMMA)) for piece in pieces)


def _count_outside_strings(body: Body) -> int:
    commas, is_in_string, rest = 0, 0, b""
    for start in range(0, len(body), PIECE_BYTES):
        text = rest + body[start : start + PIECE_BYTES]
        # A backslash at the end belongs to what comes next, unless another one escapes it.
        is_cut = (len(text) - len(text.rstrip(BACKSLASH))) % 2 == 1
        text, rest = (text[:-1], BACKSLASH) if is_cut else (text, b"")
        if BACKSLASH in text:
            text = text.replace(ESCAPED_BACKSLASH, b"").replace(ESCAPED_QUOTE, b"")
        piece = np.frombuffer(text, np.uint8)
        # Its lowest bit is right, whatever overflows: it says whether the quotes before are odd.
        quotes = np.cumsum(piece == QUOTE, dtype=np.uint8) + np.uint8(is_in_string)
        commas += int(np.count_nonzero((piece == COMMA) & (quotes & 1 == 0)))
        is_in_string = int(quotes[-1]) & 1 if len(quotes) else is_in_string
    return commas
