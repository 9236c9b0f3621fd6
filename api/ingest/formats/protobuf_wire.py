"""Reads the wire format of protobuf in place, without creating message objects."""

import mmap
from collections.abc import Iterator

from model.errors import InvalidError

VARINT, I64, LEN, I32 = 0, 1, 2, 5
VARINT_BYTES_MAX = 10
CONTINUED = 0x80
"""The bit of a varint byte that announces another byte."""

Body = bytes | mmap.mmap
"""A decompressed body; slices of either type are bytes."""


class Wire:
    """A message. Reading it raises InvalidError if it is malformed or has too many fields.

    The number of fields is limited, because an empty field takes two bytes in a body, but about a
    hundred in memory.
    """

    def __init__(self, data: Body, fields_max: int) -> None:
        self.data = data
        self._fields_left = fields_max

    def fields(self, at: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Yield the tag of each field, and the start and end of its content.

        For a varint, the number itself takes the place of the start.
        """
        data = self.data
        while at < end:
            self._fields_left -= 1
            if self._fields_left < 0:
                raise InvalidError("the body has too many fields; split it")
            tag = data[at]
            at += 1
            if tag >= CONTINUED:
                tag, at = varint(data, at - 1, end)
            kind = tag & 7
            start = at
            if kind == LEN:
                size, start = varint(data, at, end)
                at = start + size
            elif kind == VARINT:
                start, at = varint(data, at, end)
            elif kind == I64:
                at += 8
            elif kind == I32:
                at += 4
            else:
                raise malformed()
            if at > end:
                raise malformed()
            yield tag, start, at


def varint(data: Body, at: int, end: int) -> tuple[int, int]:
    """Return a varint and the position after it. Raises InvalidError."""
    value = 0
    for shift in range(0, 7 * VARINT_BYTES_MAX, 7):
        if at >= end:
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < CONTINUED:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
    raise malformed()


def malformed() -> InvalidError:
    return InvalidError("the body is not the protobuf message that this address accepts")
