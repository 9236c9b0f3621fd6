"""Encrypts what has to be read again, such as the token of a channel, by `VIGIA_SECRET_KEY`.

A ciphertext is one line of text: `v1.`, the id of its key, and the nonce, the ciphertext and the
tag of AES-256-GCM in base64. It belongs to an owner, such as `channel:7`, and nowhere else: moved
to another row, it cannot be decrypted.
"""

import base64
import secrets
from collections.abc import Iterable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from model.errors import DomainError
from runtime.settings import Secret

VERSION = "v1"
KEY_BYTES = 32
NONCE_BYTES = 12
"""Drawn anew each time: NIST SP 800-38D allows 2³² encryptions by one key, and there are few."""
KEY_ID_BYTES = 6


class DecryptionError(DomainError):
    """A secret cannot be read any more; the message says what to do."""


class SecretKeys:
    """One key or several: the first encrypts and signs, each decrypts and verifies."""

    __slots__ = ("_ciphers", "_secrets")

    def __init__(self, texts: Iterable[str]) -> None:
        """Take the keys as they are written in the setting; at least one."""
        self._secrets = tuple(Secret(text) for text in dict.fromkeys(texts))
        self._ciphers = {
            _derive(secret, "key id", KEY_ID_BYTES).hex(): AESGCM(
                _derive(secret, "encryption", KEY_BYTES)
            )
            for secret in self._secrets
        }

    @property
    def current_id(self) -> str:
        """The id of the key that encrypts; it tells nothing about the key."""
        return next(iter(self._ciphers))

    def derive(self, purpose: str) -> tuple[bytes, ...]:
        """Return 32 bytes of each key for one purpose, which tell nothing about another's."""
        return tuple(_derive(secret, purpose, KEY_BYTES) for secret in self._secrets)

    def encrypt(self, text: str, owner: str) -> str:
        """Return the ciphertext of a text, different each time, that only its owner decrypts."""
        key_id = self.current_id
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = self._ciphers[key_id].encrypt(nonce, text.encode(), _associated(key_id, owner))
        return f"{VERSION}.{key_id}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def decrypt(self, ciphertext: str, owner: str) -> str:
        """Return the text. Raises DecryptionError: no key, another owner, or a changed text."""
        version, _, rest = ciphertext.partition(".")
        key_id, _, sealed = rest.partition(".")
        if version != VERSION or not sealed:
            raise DecryptionError(f"the secret of {owner} is stored in an unknown form; {ANEW}")
        if key_id not in self._ciphers:
            raise DecryptionError(
                f"the secret of {owner} was encrypted by the key {key_id}, which is none of those "
                f"in VIGIA_SECRET_KEY; write that key behind the first one, or {ANEW}"
            )
        try:
            nonce, body = _unpack(sealed)
            opened = self._ciphers[key_id].decrypt(nonce, body, _associated(key_id, owner))
            return opened.decode()
        except (InvalidTag, ValueError):
            raise DecryptionError(
                f"the secret of {owner} was changed, or belongs to something else; {ANEW}"
            ) from None

    def is_current(self, ciphertext: str) -> bool:
        """Whether the first key encrypted it; encrypt it anew where not, and retire the old key."""
        return ciphertext.startswith(f"{VERSION}.{self.current_id}.")

    def __repr__(self) -> str:
        return f"SecretKeys({', '.join(self._ciphers)})"


ANEW = "give the secret anew"


def _derive(secret: Secret, purpose: str, length: int) -> bytes:
    """Return bytes by HKDF (RFC 5869), which is for long random keys and not for passwords."""
    info = f"vigia {VERSION} {purpose}".encode()
    return HKDF(SHA256(), length, salt=None, info=info).derive(secret.reveal().encode())


def _unpack(sealed: str) -> tuple[bytes, bytes]:
    """Return the nonce and what follows it. Raises ValueError."""
    raw = base64.urlsafe_b64decode(sealed)
    if base64.urlsafe_b64encode(raw).decode() != sealed:
        # The decoder passes over what it does not know: one ciphertext is one text.
        raise ValueError("not base64 as it was written")
    return raw[:NONCE_BYTES], raw[NONCE_BYTES:]


def _associated(key_id: str, owner: str) -> bytes:
    return f"{VERSION}.{key_id}.{owner}".encode()
