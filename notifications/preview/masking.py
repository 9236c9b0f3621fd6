"""Masks addresses, so that people recognize their own address but nobody can use it."""

SHOWN_CHARS = 2
HIDDEN = "…"


def masked(address: str) -> str:
    """Return an address without its middle: `a…@example.org`, `+5…89`.

    Short addresses become `…`.
    """
    name, at, host = address.rpartition("@")
    if at and name and not address.startswith("{"):
        return f"{name[0]}{HIDDEN}@{host}"
    if len(address) < 2 * SHOWN_CHARS + 1 or address.startswith("{"):
        return HIDDEN if address else ""
    return f"{address[:SHOWN_CHARS]}{HIDDEN}{address[-SHOWN_CHARS:]}"
