"""How many live clients there are, of each key too, and whether there may be another."""

from collections import Counter

from live.client import Client, Limits
from model.principal import Role, holder_of


class ClientCounts:
    """Counts live clients: a key has a share of them, and some places are kept for admins."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._by_holder: Counter[str] = Counter()
        self.total = 0

    def refusal(self, client: Client) -> str:
        """Return why there is no place for a client; empty when there is one."""
        is_admin = client.holder is not None and client.holder.role is Role.ADMIN
        if self.total >= self._limits.clients - (0 if is_admin else self._limits.kept):
            return "too many clients; try again later"
        if self._by_holder[_name_of(client)] >= self._limits.holder_clients:
            return "this key has the most clients of one key; close some, or try again later"
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
