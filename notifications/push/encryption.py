"""Encrypts a push message for one subscription (RFC 8291), as one record of RFC 8188."""

import os

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec import Struct

from notifications.push.base64url import decoded

PAYLOAD_BYTES_MAX = 3993
"""What remains of the 4,096 bytes that push services accept, without header, tag and delimiter."""
RECORD_BYTES = 4096
SALT_BYTES = 16
AUTH_BYTES = 16
LAST_RECORD = b"\x02"
"""The delimiter after the plain text of the last record. There is no padding."""


class Subscription(Struct, frozen=True):
    """The keys of a browser, as `PushSubscription.toJSON()` names them."""

    public_key: EllipticCurvePublicKey
    auth: bytes


def subscription_of(p256dh: str, auth: str) -> Subscription:
    """Decode the keys, which are base64url. Raises ValueError if they are not keys of a browser."""
    secret = decoded(auth)
    if len(secret) != AUTH_BYTES:
        raise ValueError(f"auth must have {AUTH_BYTES} bytes")
    key = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), decoded(p256dh))
    return Subscription(key, secret)


def encrypt(payload: bytes, to: Subscription) -> bytes:
    """Encrypt at most `PAYLOAD_BYTES_MAX` bytes and return the body of the request.

    Each message has its own key pair and salt.
    """
    return _encrypted(payload, to, generate_private_key(SECP256R1()), os.urandom(SALT_BYTES))


def _encrypted(
    payload: bytes, to: Subscription, key: EllipticCurvePrivateKey, salt: bytes
) -> bytes:
    """Encrypt in the steps of RFC 8291, section 3.4.

    1. Agree on a secret with the browser's key.
    2. Mix in `auth`, so that the browser's key alone is not enough, and both public keys.
    3. Derive the record's key and nonce with the salt (RFC 8188, sections 2.2 and 2.3).
    4. Encrypt one record, whose head holds what the browser needs to do the same.
    """
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise ValueError(f"a push message may have at most {PAYLOAD_BYTES_MAX} bytes")
    own, theirs = point_of(key.public_key()), point_of(to.public_key)
    agreed = key.exchange(ECDH(), to.public_key)
    secret = _derive(agreed, to.auth, b"WebPush: info\0" + theirs + own, 32)
    content_key = _derive(secret, salt, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _derive(secret, salt, b"Content-Encoding: nonce\0", 12)
    head = salt + RECORD_BYTES.to_bytes(4, "big") + bytes([len(own)]) + own
    return head + AESGCM(content_key).encrypt(nonce, payload + LAST_RECORD, None)


def point_of(key: EllipticCurvePublicKey) -> bytes:
    """Return a public key as an uncompressed point of 65 bytes."""
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _derive(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(secret)
