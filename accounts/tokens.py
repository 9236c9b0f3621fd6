"""The form of tokens: a prefix, random base-62 characters and a CRC-32 checksum; their hash."""

import hashlib
import secrets
import string
import zlib

from runtime.settings import Secret

BASE62 = string.digits + string.ascii_letters
RANDOM_CHARS = 30
CHECKSUM_CHARS = 6


def hash_of(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _new(prefix: str) -> Secret:
    body = "".join(secrets.choice(BASE62) for _ in range(RANDOM_CHARS))
    return Secret(prefix + body + _checksum(body))


def _fits(text: str, prefix: str) -> bool:
    body = text.removeprefix(prefix)
    fits = text.startswith(prefix) and len(body) == RANDOM_CHARS + CHECKSUM_CHARS
    return fits and body.isascii() and _checksum(body[:RANDOM_CHARS]) == body[RANDOM_CHARS:]


def _checksum(body: str) -> str:
    rest, digits = zlib.crc32(body.encode()), ""
    for _ in range(CHECKSUM_CHARS):
        rest, digit = divmod(rest, len(BASE62))
        digits = BASE62[digit] + digits
    return digits
