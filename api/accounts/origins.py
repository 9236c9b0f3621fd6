"""The origin of the public address, and the name of the session cookie."""

from urllib.parse import urlsplit


def cookie_name_of(url: str) -> str:
    """Return the name of the session cookie for a public address."""
    # Browsers accept a cookie with this prefix only over https and from the very host.
    return "__Host-vigia" if url.startswith("https:") else "vigia"


def origin_of(url: str) -> str:
    """Return the origin of a URL as browsers write it: without path and default port."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    default = {"http": 80, "https": 443}[parts.scheme]
    port = f":{parts.port}" if parts.port not in (None, default) else ""
    return f"{parts.scheme}://{host}{port}"
