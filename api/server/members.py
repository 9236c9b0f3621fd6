"""An ordered set whose members belong to groups, such as connections by address or key."""

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")


class Members(Generic[T]):
    """Members in the order of their arrival, each in one group."""

    def __init__(self) -> None:
        self._group_of: dict[T, str] = {}
        self._groups: dict[str, dict[T, None]] = {}

    def add(self, member: T, group: str) -> None:
        """Append a member, and add it to a group."""
        self._group_of[member] = group
        self._groups.setdefault(group, {})[member] = None

    def discard(self, member: T) -> None:
        """Remove a member if it is present."""
        group = self._group_of.pop(member, None)
        if group is None:
            return
        same = self._groups[group]
        del same[member]
        if not same:
            del self._groups[group]

    def of(self, group: str) -> Mapping[T, None]:
        """Return the members of a group."""
        return self._groups.get(group, {})

    def group_of(self, member: T) -> str:
        """Return the group of a member; an empty text if it is not present."""
        return self._group_of.get(member, "")

    def __iter__(self) -> Iterator[T]:
        return iter(self._group_of)

    def __len__(self) -> int:
        return len(self._group_of)

    def __contains__(self, member: object) -> bool:
        return member in self._group_of
