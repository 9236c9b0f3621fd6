"""Signed links in messages, `/l/{token}`, which act once and without signing in.

A token is 36 bytes in URL-safe base64: a random id, an expiry time and a signature of both. A
forged or expired token is therefore refused without a database query. The database stores only the
hash of the id, so that nobody who reads the database can construct a valid link. The page of a link
acts on POST only, because programs that scan mail open every link with GET.
"""

import base64
import hashlib
import hmac
import re
import secrets
import struct
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct

from model.errors import NotFoundError
from model.times import of_epoch

PURPOSE = "links"
"""The purpose from which the signing keys are derived: `SecretKeys.derive(PURPOSE)`."""
GOOD_FOR = timedelta(hours=24)
ID_BYTES = 16
SIGNATURE_BYTES = 16
EXPIRY = struct.Struct(">I")
TOKEN = re.compile(r"[A-Za-z0-9_-]{48}")
"""36 bytes are a multiple of three, so a token has no padding and only one spelling."""
PATH = "/l/"


class LinkAction(StrEnum):
    """The action of a link."""

    ACKNOWLEDGE = "acknowledge"
    RESOLVE = "resolve"


class Link(Struct, frozen=True, kw_only=True):
    """The stored part of a link."""

    id_hash: bytes
    """SHA-256 of the id: 32 bytes."""
    action: LinkAction
    alert_id: int
    person: str
    """The person who is recorded as having acted."""
    expires_at: datetime


class Token(Struct, frozen=True):
    """A token with a valid signature that has not expired.

    Only the database knows whether it was used.
    """

    id_hash: bytes
    expires_at: datetime


def make(
    keys: Sequence[bytes], action: LinkAction, alert_id: int, person: str, now: datetime
) -> tuple[str, Link]:
    """Return a token for a message and the link to store. The first key signs."""
    expires_at = of_epoch(int((now + GOOD_FOR).timestamp()))
    link_id = secrets.token_bytes(ID_BYTES)
    signed = link_id + EXPIRY.pack(int(expires_at.timestamp()))
    token = base64.urlsafe_b64encode(signed + _signature(keys[0], signed)).decode()
    link = Link(
        id_hash=_hash(link_id),
        action=action,
        alert_id=alert_id,
        person=person,
        expires_at=expires_at,
    )
    return token, link


def address(url: str, token: str) -> str:
    """Return the URL of a token. `url` is the public address of Vigia, without a trailing slash."""
    return f"{url}{PATH}{token}"


def read(keys: Sequence[bytes], token: str, now: datetime) -> Token:
    """Verify a token and return its content.

    Every key is tried, so that tokens remain valid after a new key was added. Raises NotFoundError
    if the token is forged or has expired.
    """
    raw = _unpack(token)
    signed, signature = raw[:-SIGNATURE_BYTES], raw[-SIGNATURE_BYTES:]
    if not any(hmac.compare_digest(_signature(key, signed), signature) for key in keys):
        raise NotFoundError(UNKNOWN)
    expires_at = of_epoch(EXPIRY.unpack(signed[ID_BYTES:])[0])
    if now >= expires_at:
        raise NotFoundError("this link has expired; open the alert in Vigia instead")
    return Token(_hash(signed[:ID_BYTES]), expires_at)


UNKNOWN = "there is no such link; open the alert in Vigia instead"


def _unpack(token: str) -> bytes:
    if not TOKEN.fullmatch(token):
        raise NotFoundError(UNKNOWN)
    return base64.urlsafe_b64decode(token)


def _signature(key: bytes, signed: bytes) -> bytes:
    return hmac.digest(key, signed, hashlib.sha256)[:SIGNATURE_BYTES]


def _hash(link_id: bytes) -> bytes:
    return hashlib.sha256(link_id).digest()
