"""Ingest keys that are accepted without a look-up while the database is unavailable."""

from collections.abc import Collection, Mapping

from msgspec import Struct

from accounts import tokens as keys
from model.principal import Principal

BELIEVED_S = 3600.0
"""How long an ingest key is accepted after its last own look-up."""
CONFIRMED_S = 10.0
"""A key not confirmed within this time before the outage is refused: it may be revoked."""
BELIEVED_MAX = 1000


class Sender(Struct):
    """The principal of a key, and when the database found and confirmed it (monotonic, s)."""

    principal: Principal
    found_at: float
    confirmed_at: float


class Believed:
    """The ingest keys in use, by hash; if it is full, it drops the one found first.

    Another process may revoke a key in the database, so all keys have to be confirmed there
    regularly. Otherwise a key that was revoked while it was not in use would still be accepted.
    """

    def __init__(self) -> None:
        self._senders: dict[bytes, Sender] = {}

    def put(self, token: str, principal: Principal, asked_at: float) -> None:
        """Remember a key that the database found to be valid at `asked_at`."""
        digest = keys.hash_of(token)
        self._senders.pop(digest, None)
        if len(self._senders) >= BELIEVED_MAX:
            del self._senders[next(iter(self._senders))]
        self._senders[digest] = Sender(principal, asked_at, asked_at)

    def get(self, token: str, now: float, away_since: float) -> Principal | None:
        """Return the principal of a key if it is accepted.

        `away_since` is the time at which the database last answered.
        """
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
        """Return the keys to confirm, for `confirm`."""
        return dict(self._senders)

    def confirm(
        self, asked: Mapping[bytes, Sender], valid: Collection[bytes], asked_at: float
    ) -> None:
        """Confirm the valid keys among `asked`, and drop the others.

        Leaves keys alone that were found again since, perhaps in another database.
        """
        for digest, sender in asked.items():
            if self._senders.get(digest) is not sender:
                continue
            if digest in valid:
                sender.confirmed_at = asked_at
            else:
                del self._senders[digest]
