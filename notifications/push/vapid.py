"""Identifies the sender to push services (VAPID, RFC 8292).

A browser subscribes to one key pair.
"""

from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    derive_private_key,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from notifications.push.base64url import decoded, encoded
from notifications.push.encryption import point_of
from runtime.encryption.secret_keys import SecretKeys

GOOD_FOR = timedelta(hours=12)
"""The life of a token. RFC 8292 allows 24 hours; half of that tolerates clocks that differ."""
NUMBER_BYTES = 32
PURPOSES = ("web push 1", "web push 2")
"""The purposes from which the service's own key pair is derived.

One purpose alone gives too few bytes.
"""


class KeyPair(NamedTuple):
    """A key pair in base64url. Browsers get the public key as `applicationServerKey`."""

    private: str
    public: str


def make_key_pair() -> KeyPair:
    """Create a random key pair."""
    return _pair_of(generate_private_key(SECP256R1()))


def service_key_pair(keys: SecretKeys) -> KeyPair:
    """Return the key pair that browsers subscribe to.

    It is derived from the first secret key, so all replicas have the same one. A new secret key
    leads to a new pair. Existing subscriptions stay valid, because each channel stores the private
    key that its browser subscribed to.
    """
    # FIPS 186-5, A.2.1: take more bits than the order has, so that all numbers are equally likely.
    seed = b"".join(keys.derive(purpose)[0] for purpose in PURPOSES)
    curve = SECP256R1()
    number = int.from_bytes(seed, "big") % (curve.group_order - 1) + 1
    return _pair_of(derive_private_key(number, curve))


def _pair_of(key: EllipticCurvePrivateKey) -> KeyPair:
    number = key.private_numbers().private_value
    return KeyPair(encoded(number.to_bytes(NUMBER_BYTES, "big")), public_key_of(key))


def private_key_of(text: str) -> EllipticCurvePrivateKey:
    """Decode a private key: 32 bytes in base64url. Raises ValueError."""
    raw = decoded(text)
    if len(raw) != NUMBER_BYTES:
        raise ValueError(f"a private key must have {NUMBER_BYTES} bytes")
    return derive_private_key(int.from_bytes(raw, "big"), SECP256R1())


def public_key_of(key: EllipticCurvePrivateKey) -> str:
    """Return the public key of a private key, in base64url."""
    return encoded(point_of(key.public_key()))


def authorization(key: EllipticCurvePrivateKey, endpoint: str, subject: str, now: datetime) -> str:
    """Return the header `Authorization` for an endpoint: a signed token and the public key.

    `subject` is a `mailto:` or `https:` address where a push service can report problems.
    """
    parts = urlsplit(endpoint)
    claims = {
        "aud": f"{parts.scheme}://{parts.netloc}",
        "exp": int((now + GOOD_FOR).timestamp()),
        "sub": subject,
    }
    head = encoded(msgspec.json.encode({"typ": "JWT", "alg": "ES256"}))
    signed = f"{head}.{encoded(msgspec.json.encode(claims))}"
    # A token contains the two numbers of the signature side by side (RFC 7518, section 3.4), while
    # the library returns them in DER.
    numbers = decode_dss_signature(key.sign(signed.encode(), ECDSA(SHA256())))
    signature = b"".join(number.to_bytes(NUMBER_BYTES, "big") for number in numbers)
    return f"vapid t={signed}.{encoded(signature)}, k={public_key_of(key)}"
