"""Counts live clients in all and by key, and refuses clients beyond the limits."""

from collections import Counter

from live.client import Client, Limits
from model.principal import Role, holder_of


class ClientCounts:
    """Counts live clients. Each key has a limit, and some places are reserved for admins."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._by_holder: Counter[str] = Counter()
        self.total = 0

    def refusal(self, client: Client) -> str:
        """Return why a client is refused; an empty text if it is accepted."""
        is_admin = client.holder is not None and client.holder.role is Role.ADMIN
        if self.total >= self._limits.clients - (0 if is_admin else self._limits.kept):
            return "too many clients; try again later"
        if self._by_holder[_name_of(client)] >= self._limits.holder_clients:
            return (
                f"this key has {self._limits.holder_clients} live clients, the most allowed for "
                "one key; close some, or try again later"
            )
        return ""

    def add(self, client: Client) -> None:
        self.total += 1
        self._by_holder[_name_of(client)] += 1

    def remove(self, client: Client) -> None:
        name = _name_of(client)
        self.total -= 1
        self._by_holder[name] -= 1
        if not self._by_holder[name]:
            del self._by_holder[name]


def _name_of(client: Client) -> str:
    return "" if client.holder is None else holder_of(client.holder)
