"""Decodes JSON without blocking other threads.

One call of the decoder creates all objects while every other thread waits. A body of 30 MiB could
contain 15 million objects. So the parts are counted first, and a large body is decoded in pieces.
"""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np
from msgspec import Raw

from api.ingest.formats.protobuf_wire import Body
from model.errors import InvalidError
from model.validation.words import explain

BYTES_AT_ONCE = 512 * 2**10
COMMAS_AT_ONCE = 100_000
"""A body within both limits is decoded in one call, which takes at most 20 ms."""
PIECE_ITEMS = 200
PIECE_BYTES = 256 * 2**10
QUOTE, COMMA = b'",'
BACKSLASH = b"\\"
ESCAPED_BACKSLASH = BACKSLASH * 2
ESCAPED_QUOTE = b'\\"'

T = TypeVar("T")


def is_small(body: Body, commas_max: int) -> bool:
    """Return whether a body may be decoded in one call.

    Counts commas, because every value but the first of a list or object follows one. Commas in
    strings are only excluded if the limit would be exceeded otherwise, because that takes longer.
    Raises InvalidError for more than `commas_max`.
    """
    if len(body) <= BYTES_AT_ONCE:
        return True
    commas = _count(body)
    if commas > commas_max:
        commas = _count_outside_strings(body)
    if commas > commas_max:
        raise InvalidError("the body has too many values; split it")
    return commas <= COMMAS_AT_ONCE


def in_pieces(
    items: Sequence[Any], decoder: msgspec.json.Decoder[list[T]], name: str
) -> Iterator[T]:
    """Yield the items of a list, and decode those that are still raw, some at a time.

    `name` is the name of the list in errors. Raises InvalidError.
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
    """Return the error for a body that is not valid JSON, or has another structure."""
    return InvalidError(f"the body cannot be read: {where}{explain(error)}")


def _count(body: Body) -> int:
    starts = range(0, len(body), PIECE_BYTES)
    pieces = (np.frombuffer(body[start : start + PIECE_BYTES], np.uint8) for start in starts)
    return sum(int(np.count_nonzero(piece == COMMA)) for piece in pieces)


def _count_outside_strings(body: Body) -> int:
    commas, is_in_string, rest = 0, 0, b""
    for start in range(0, len(body), PIECE_BYTES):
        text = rest + body[start : start + PIECE_BYTES]
        # An unescaped backslash at the end escapes the first byte of the next piece.
        is_cut = (len(text) - len(text.rstrip(BACKSLASH))) % 2 == 1
        text, rest = (text[:-1], BACKSLASH) if is_cut else (text, b"")
        if BACKSLASH in text:
            text = text.replace(ESCAPED_BACKSLASH, b"").replace(ESCAPED_QUOTE, b"")
        piece = np.frombuffer(text, np.uint8)
        # Only the lowest bit matters, so overflow does no harm: it is 1 inside a string.
        quotes = np.cumsum(piece == QUOTE, dtype=np.uint8) + np.uint8(is_in_string)
        commas += int(np.count_nonzero((piece == COMMA) & (quotes & 1 == 0)))
        is_in_string = int(quotes[-1]) & 1 if len(quotes) else is_in_string
    return commas
