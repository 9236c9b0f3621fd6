"""Ingest keys that are believed while the database, which would know them, is away."""

from collections.abc import Collection, Mapping

from msgspec import Struct

from accounts import tokens as keys
from model.principal import Principal

BELIEVED_S = 3600.0
"""How long an ingest key is believed after the database was last asked for it alone."""
CONFIRMED_S = 10.0
"""A key that was not confirmed within this time before the outage may have been revoked before."""
BELIEVED_MAX = 1000


class Sender(Struct):
    """Whose key it is, and when the database knew it; times are on the monotonic clock."""

    principal: Principal
    found_at: float
    confirmed_at: float


class Believed:
    """The ingest keys in use, by hash; the one that was found first leaves when it is full.

    A key is revoked in the database, perhaps by another process, so all of them have to be
    confirmed there again and again. Otherwise one that is not shown meanwhile would be believed.
    """

    def __init__(self) -> None:
        self._senders: dict[bytes, Sender] = {}

    def put(self, token: str, principal: Principal, asked_at: float) -> None:
        """Take note of a key that the database knew when it was asked."""
        digest = keys.hash_of(token)
        self._senders.pop(digest, None)
        if len(self._senders) >= BELIEVED_MAX:
            del self._senders[next(iter(self._senders))]
        self._senders[digest] = Sender(principal, asked_at, asked_at)

    def get(self, token: str, now: float, away_since: float) -> Principal | None:
        """Return who holds a key, if it is believed of a database that last answered then."""
        sender = self._senders.get(keys.hash_of(token))
        if sender is None or now >= sender.found_at + BELIEVED_S:
            return None
        is_confirmed = away_since <= sender.confirmed_at + CONFIRMED_S
        return sender.principal if is_confirmed else None

    def forget(self, token: str) -> None:
        self._senders.pop(keys.hash_of(token), None)

    def clear(self) -> None:
        self._senders.clear()

    def all(self) -> dict[bytes, Sender]:
        """Return what is to be confirmed; `confirm` takes it back."""
        return dict(self._senders)

    def confirm(
        self, asked: Mapping[bytes, Sender], valid: Collection[bytes], asked_at: float
    ) -> None:
        """Keep which of those that were asked for are valid, and forget the others.

        What was found anew meanwhile, perhaps in another database, is left as it is.
        """
        for digest, sender in asked.items():
            if self._senders.get(digest) is not sender:
                continue
            if digest in valid:
                sender.confirmed_at = asked_at
            else:
                del self._senders[digest]
