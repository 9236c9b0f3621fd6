"""Encrypts stored secrets, for example the token of a channel, with `VIGIA_SECRET_KEY`.

A stored secret is one line: `v1.`, the id of its key, `.`, and then the nonce, the ciphertext and
the tag of AES-256-GCM in base64. It is bound to an owner, for example `channel:7`. Copied to the
row of another owner, it cannot be decrypted.
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
"""A nonce is random for each encryption. NIST SP 800-38D allows 2³² of them for one key; Vigia
encrypts far fewer secrets."""
KEY_ID_BYTES = 6


class DecryptionError(DomainError):
    """A stored secret cannot be decrypted. The message says what to do."""


class SecretKeys:
    """One or more keys. The first one encrypts and signs; each can decrypt and verify."""

    __slots__ = ("_ciphers", "_secrets")

    def __init__(self, texts: Iterable[str]) -> None:
        """Take at least one key, as written in the setting."""
        self._secrets = tuple(Secret(text) for text in dict.fromkeys(texts))
        self._ciphers = {
            _derive(secret, "key id", KEY_ID_BYTES).hex(): AESGCM(
                _derive(secret, "encryption", KEY_BYTES)
            )
            for secret in self._secrets
        }

    @property
    def current_id(self) -> str:
        """The id of the key that encrypts. The key cannot be derived from its id."""
        return next(iter(self._ciphers))

    def derive(self, purpose: str) -> tuple[bytes, ...]:
        """Return one 32-byte subkey of each key for a purpose.

        Subkeys are independent: the subkey of one purpose reveals nothing about another.
        """
        return tuple(_derive(secret, purpose, KEY_BYTES) for secret in self._secrets)

    def encrypt(self, text: str, owner: str) -> str:
        """Return the stored form of a text, bound to its owner. It differs at each call."""
        key_id = self.current_id
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = self._ciphers[key_id].encrypt(nonce, text.encode(), _associated(key_id, owner))
        return f"{VERSION}.{key_id}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def decrypt(self, ciphertext: str, owner: str) -> str:
        """Return the text of a stored secret.

        Raises DecryptionError when its key is missing, or the owner or the text is another one.
        """
        version, _, rest = ciphertext.partition(".")
        key_id, _, sealed = rest.partition(".")
        if version != VERSION or not sealed:
            raise DecryptionError(f"the secret of {owner} has an unknown format; {ANEW}")
        if key_id not in self._ciphers:
            raise DecryptionError(
                f"the secret of {owner} was encrypted with the key {key_id}, which is not in "
                f"VIGIA_SECRET_KEY; append that key after a comma, or {ANEW}"
            )
        try:
            nonce, body = _unpack(sealed)
            opened = self._ciphers[key_id].decrypt(nonce, body, _associated(key_id, owner))
            return opened.decode()
        except (InvalidTag, ValueError):
            raise DecryptionError(
                f"the secret of {owner} was changed, or copied from another owner; {ANEW}"
            ) from None

    def is_current(self, ciphertext: str) -> bool:
        """Whether the first key encrypted this secret.

        When every stored secret is current, the older keys are no longer needed.
        """
        return ciphertext.startswith(f"{VERSION}.{self.current_id}.")

    def __repr__(self) -> str:
        return f"SecretKeys({', '.join(self._ciphers)})"


ANEW = "enter the secret again"


def _derive(secret: Secret, purpose: str, length: int) -> bytes:
    """Return a subkey by HKDF (RFC 5869). HKDF suits long random keys, not passwords."""
    info = f"vigia {VERSION} {purpose}".encode()
    return HKDF(SHA256(), length, salt=None, info=info).derive(secret.reveal().encode())


def _unpack(sealed: str) -> tuple[bytes, bytes]:
    """Return the nonce, and the ciphertext with its tag. Raises ValueError."""
    raw = base64.urlsafe_b64decode(sealed)
    if base64.urlsafe_b64encode(raw).decode() != sealed:
        # The decoder ignores unknown characters, so that many texts would decode to one ciphertext.
        raise ValueError("not base64 as it was written")
    return raw[:NONCE_BYTES], raw[NONCE_BYTES:]


def _associated(key_id: str, owner: str) -> bytes:
    return f"{VERSION}.{key_id}.{owner}".encode()
