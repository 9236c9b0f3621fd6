"""A sender of Prometheus remote write: it writes the protobuf messages by hand."""

import struct
from collections.abc import Mapping, Sequence

import cramjam

HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}


def varint(number: int) -> bytes:
    digits = bytearray()
    number &= 2**64 - 1
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*digits, number])


def part(number: int, content: bytes | str) -> bytes:
    data = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(data)) + data


def sample(value: float, time_ms: int, *, swapped: bool = False) -> bytes:
    """A sample as Prometheus writes it; `swapped`: as nobody does, though it may."""
    parts = [b"\x09" + struct.pack("<d", value) if value else b"", b"\x10" + varint(time_ms)]
    return part(2, b"".join(reversed(parts) if swapped else parts))


def series(labels: Mapping[str, str], samples: Sequence[tuple[float, int]]) -> bytes:
    reported = [part(1, part(1, name) + part(2, value)) for name, value in labels.items()]
    return part(1, b"".join(reported) + b"".join(sample(*each) for each in samples))


def metadata(name: str, kind: int, unit: str = "") -> bytes:
    return part(3, b"\x08" + varint(kind) + part(2, name) + part(4, "Help." * 100) + part(5, unit))


def snappy(body: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(body))
