"""Base64 for URLs without padding, as web push encodes keys and tokens (RFC 7515, section 2)."""

import base64


def encoded(raw: bytes) -> str:
    """Encode bytes."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    """Decode a text with or without padding. Raises ValueError."""
    bare = text.rstrip("=")
    return base64.b64decode(bare + "=" * (-len(bare) % 4), altchars=b"-_", validate=True)
