"""The newest value of every series, in memory: fed by commits, corrected by the database."""

from collections.abc import Collection, Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from db import current
from db.current import Current
from vigia.model import Labels, Sample, labels_of

Identity = tuple[str, str, Labels]
"""Component, metric and labels: in this order answers list the series."""


class Entry(Struct):
    """The newest value of one series, and the version in which it is released.

    `is_announced` is False while only the database has said so: the replica that committed the
    sample announces it, and that may be this one, a moment later.
    """

    version: int
    value: Current
    is_announced: bool


class Newest:
    """The newest values in the order of their change, and by component.

    Values are released in versions, for live clients; `changes` counts every change at once. There
    are as many as the database has series, which are limited.
    """

    def __init__(self) -> None:
        self.version = 0
        self.changes = 0
        self._entries: dict[Identity, Entry] = {}
        self._components: dict[str, dict[Identity, Current]] = {}
        self._changed: dict[str, int] = {}
        self._identities: dict[int, Identity] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, samples: Iterable[Sample]) -> list[Sample]:
        """Take committed samples, and return those that are newer than what was known.

        A sample that was stored before, or comes late, is no change.
        """
        news = []
        for sample in samples:
            series = sample.series
            identity = series.component, series.metric, series.labels
            known = self._entries.get(identity)
            if known is None or sample.time > known.value.time:
                self._set(identity, current.of_sample(sample), is_announced=True)
            elif sample.time == known.value.time and not known.is_announced:
                known.is_announced = True
            else:
                continue
            news.append(sample)
        return news

    def merge(self, values: Iterable[Current], *, is_announced: bool) -> None:
        """Take what the database has; a commit of ours may be newer than this reading."""
        for value in values:
            identity = value.component, value.metric, labels_of(value.labels)
            self._identities[value.id] = identity
            known = self._entries.get(identity)
            if known is None:
                self._set(identity, value, is_announced=is_announced)
                continue
            ours = known.value
            is_older = value.time < ours.time
            merged = replace(value, time=ours.time, value=ours.value) if is_older else value
            if _shown(merged) != _shown(ours):
                is_same = merged.time == ours.time
                self._set(identity, merged, is_announced=is_announced or is_same)

    def count_read(self) -> int:
        """Return how many series were read from the database."""
        return len(self._identities)

    def keep(self, numbers: Collection[int]) -> None:
        """Remove the series that were read from the database once, and are in it no longer."""
        for number in [one for one in self._identities if one not in numbers]:
            identity = self._identities.pop(number)
            component = identity[0]
            self._entries.pop(identity, None)
            self._components.get(component, {}).pop(identity, None)
            self._note_change(component)
            if not self._components.get(component):
                self._components.pop(component, None)
                self._changed.pop(component, None)

    def forget(self) -> None:
        """Remove everything; versions and counts go on, so that clients keep their places."""
        self._entries, self._identities = {}, {}
        self._components, self._changed = {}, {}
        self.changes += 1

    def release(self) -> None:
        self.version += 1

    def released_after(self, version: int) -> list[Current]:
        """Return what was released after a version, in the order of change."""
        found: list[Current] = []
        for entry in reversed(self._entries.values()):
            if entry.version <= version:
                break
            if entry.version <= self.version:
                found.append(entry.value)
        found.reverse()
        return found

    def components(self) -> list[str]:
        """Return the names of the components, sorted."""
        return sorted(self._components)

    def changed(self, component: str) -> int:
        """Return the count of changes at a component's last one, 0 for an unknown component."""
        return self._changed.get(component, 0)

    def of(self, component: str) -> dict[Identity, Current]:
        """Return a copy of a component's values, for a thread to read."""
        return dict(self._components.get(component, {}))

    def values(self, component: str) -> list[Current]:
        """Return a component's values, in no order."""
        return list(self._components.get(component, {}).values())

    def _set(self, identity: Identity, value: Current, *, is_announced: bool) -> None:
        # What changed last stands last, so that a client's changes are found from the end.
        self._entries.pop(identity, None)
        self._entries[identity] = Entry(self.version + 1, value, is_announced)
        self._components.setdefault(identity[0], {})[identity] = value
        self._note_change(identity[0])

    def _note_change(self, component: str) -> None:
        self.changes += 1
        self._changed[component] = self.changes


def _shown(value: Current) -> Sequence[object]:
    return value.time, value.value, value.unit, value.category
