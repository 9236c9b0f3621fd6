"""A browser that subscribed, and its push service: what both do by RFC 8030, 8188, 8291, 8292."""

import base64
import json
import os
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

POINT = (Encoding.X962, PublicFormat.UncompressedPoint)
URGENCIES = {"very-low", "low", "normal", "high"}
BODY_BYTES_MAX = 4096


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Browser:
    """Keeps the private key of a subscription."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._auth = os.urandom(16)
        self.point = self._key.public_key().public_bytes(*POINT)

    @property
    def keys(self) -> dict[str, str]:
        return {"p256dh": b64(self.point), "auth": b64(self._auth)}

    def read(self, body: bytes) -> bytes:
        """Decrypt a message of one record. Raises InvalidTag."""
        salt, size, length = body[:16], int.from_bytes(body[16:20], "big"), body[20]
        sender, record = body[21 : 21 + length], body[21 + length :]
        assert 17 <= len(record) <= size
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender)
        agreed = self._key.exchange(ec.ECDH(), public)
        secret = hkdf(self._auth, agreed, b"WebPush: info\x00" + self.point + sender, 32)
        key = hkdf(salt, secret, b"Content-Encoding: aes128gcm\x00", 16)
        nonce = hkdf(salt, secret, b"Content-Encoding: nonce\x00", 12)
        padded = AESGCM(key).decrypt(nonce, record, None).rstrip(b"\x00")
        assert padded.endswith(b"\x02"), "the last record ends with 2 and padding"
        return padded[:-1]


def hkdf(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    """Derive a key in the two steps of RFC 5869."""
    extract = HMAC(salt, SHA256())
    extract.update(secret)
    return HKDFExpand(SHA256(), length, info).derive(extract.finalize())


class PushService:
    """Takes messages for one browser, which subscribed with the public key of a service."""

    def __init__(self, server_key: str, now: datetime) -> None:
        self.browser = Browser()
        self.origin = ""
        self.messages: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.gone_status = 0
        self._server_key, self._now = server_key, now

    async def __call__(self, request: web.Request) -> web.Response:
        body = await request.read()
        if refusal := self._refusal(request, body):
            return refusal
        self.messages.append(json.loads(self.browser.read(body)))
        self.headers.append(dict(request.headers))
        return web.Response(status=201, headers={"Location": f"{self.origin}/m/1"})

    def _refusal(self, request: web.Request, body: bytes) -> web.Response | None:
        if self.gone_status:
            return web.Response(status=self.gone_status, text="push subscription has unsubscribed")
        if request.path != "/wpush/v2/abc":
            return web.Response(status=404, text="no such subscription")
        if wrong := self._wrong_sender(request.headers.get("Authorization", "")):
            return web.Response(status=403, text=wrong)
        if len(body) > BODY_BYTES_MAX:
            return web.Response(status=413)
        wrong = wrong_header(request)
        return web.Response(status=400, text=wrong) if wrong else None

    def _wrong_sender(self, header: str) -> str:
        """Check the token as RFC 8292 says; return what is wrong."""
        scheme, _, parameters = header.partition(" ")
        given = dict(part.strip().split("=", 1) for part in parameters.split(","))
        if scheme != "vapid" or given.get("k") != self._server_key:
            return "another key than that of the subscription"
        signed, _, signature = given["t"].rpartition(".")
        head, claims = (json.loads(unb64(part)) for part in signed.split("."))
        raw = unb64(signature)
        numbers = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
        public = ec.EllipticCurvePublicKey.from_encoded_point(
            ec.SECP256R1(), unb64(self._server_key)
        )
        try:
            public.verify(encode_dss_signature(*numbers), signed.encode(), ec.ECDSA(SHA256()))
        except InvalidSignature:
            return "wrong signature"
        left = claims["exp"] - self._now.timestamp()
        is_right = head == {"typ": "JWT", "alg": "ES256"} and claims["aud"] == self.origin
        is_right = is_right and 0 < left <= timedelta(hours=24).total_seconds() and len(raw) == 64
        return "" if is_right and claims["sub"].startswith(("mailto:", "https:")) else "claims"


def wrong_header(request: web.Request) -> str:
    headers = request.headers
    topic = headers.get("Topic", "")
    rules = {
        "TTL": headers.get("TTL", "").isdigit(),
        "Urgency": headers.get("Urgency", "normal") in URGENCIES,
        "Topic": len(topic) <= 32
        and all(c.isascii() and (c.isalnum() or c in "-_") for c in topic),
        "Content-Encoding": headers.get("Content-Encoding") == "aes128gcm",
    }
    return ", ".join(name for name, is_right in rules.items() if not is_right)
