"""The newest value of every series in memory: from commits here, and from the database."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from model.limits import FUTURE_MAX
from model.series import Labels, Sample, labels_of
from model.times import utc_now
from samples import current
from samples.current import Current

Identity = tuple[str, str, Labels]
"""Component, metric and labels. Responses list series in this order."""
SLICE_SERIES = 500
"""How many series are examined, read or removed at a time: at most a few milliseconds."""


class NewestEntry(Struct, gc=False):
    """The newest value of one series, and the version in which it is released.

    `is_announced` is False if the value was only read from the database. The replica that committed
    the sample announces it, which may be this one, a moment later.
    """

    version: int
    value: Current
    is_announced: bool
    identity: Identity
    """The same object as long as the series is known, because waiting messages refer to it."""


class Newest:
    """The newest values by series, and by component in the order of their last change.

    Values are released to live clients in versions. `changes` counts each change at once. The
    number of entries is bounded by the limit of series in the database.
    """

    def __init__(self, clock: Callable[[], datetime] = utc_now) -> None:
        self._clock = clock
        self.version = 0
        self.changes = 0
        self._entries: dict[Identity, NewestEntry] = {}
        self._components: dict[str, dict[Identity, Current]] = {}
        self._changed: dict[str, int] = {}
        self._versions: dict[str, int] = {}
        self._identities: dict[int, Identity] = {}
        self._names: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, samples: Iterable[Sample]) -> list[Sample]:
        """Add committed samples to the next version; return those that are newer.

        Repeated and late samples change nothing. But a known value in the future, from a wrong
        clock, is replaced by any sample that is not.
        """
        newer, latest = [], self._clock() + FUTURE_MAX
        for sample in samples:
            series = sample.series
            identity = series.component, series.metric, series.labels
            known = self._entries.get(identity)
            if known is None or _gives_way(known.value.time, sample.time, latest):
                self._set(identity, current.of_sample(sample), is_announced=True)
            elif sample.time == known.value.time and not known.is_announced:
                known.is_announced = True
            else:
                continue
            newer.append(sample)
        return newer

    def merge(self, values: Iterable[Current], *, is_announced: bool) -> None:
        """Merge values read from the database. Commits of this process may be newer than these."""
        latest = self._clock() + FUTURE_MAX
        for value in values:
            identity = value.component, value.metric, labels_of(value.labels)
            known = self._entries.get(identity)
            self._identities[value.id] = identity if known is None else known.identity
            if known is None:
                self._set(identity, value, is_announced=is_announced)
                continue
            ours = known.value
            is_older = value.time < ours.time and not _gives_way(ours.time, value.time, latest)
            merged = replace(value, time=ours.time, value=ours.value) if is_older else value
            if _shown(merged) != _shown(ours):
                is_same = merged.time == ours.time
                self._set(identity, merged, is_announced=is_announced or is_same)

    def count_read(self) -> int:
        """Return the number of series that were read from the database."""
        return len(self._identities)

    def numbers(self) -> list[int]:
        """Return the ids of all series that were read from the database."""
        return list(self._identities)

    def remove(self, numbers: Iterable[int]) -> None:
        """Remove series by id."""
        for number in numbers:
            identity = self._identities.pop(number, None)
            if identity is None:
                continue
            component = identity[0]
            self._entries.pop(identity, None)
            self._components.get(component, {}).pop(identity, None)
            self._note_change(component)
            if not self._components.get(component):
                self._components.pop(component, None)
                self._names = None
                self._changed.pop(component, None)
                self._versions.pop(component, None)

    def forget(self) -> None:
        """Remove everything. Versions and counts continue: positions of clients stay valid."""
        self._entries, self._identities = {}, {}
        self._components, self._changed, self._versions = {}, {}, {}
        self._names = None
        self.changes += 1

    def release(self) -> None:
        self.version += 1

    def find(self, series: Iterable[Identity]) -> list[Current]:
        """Return the values of some series; unknown ones are left out."""
        found = (self._entries.get(identity) for identity in series)
        return [entry.value for entry in found if entry is not None]

    def released_after(self, version: int, series: Iterable[Identity]) -> list[Identity]:
        """Return which of some series were released after a version."""
        known = ((identity, self._entries.get(identity)) for identity in series)
        return [name for name, one in known if one and version < one.version <= self.version]

    def released_of(self, component: str, version: int) -> Iterator[list[Identity]]:
        """Yield the series of a component released after a version, newest first.

        Each list has those among the next SLICE_SERIES series, and may be empty.
        """
        series = self.series(component)
        for end in range(len(series), 0, -SLICE_SERIES):
            found: list[Identity] = []
            for identity in reversed(series[max(0, end - SLICE_SERIES) : end]):
                entry = self._entries.get(identity)
                # The series may be removed or change again while this generator is suspended.
                if entry is not None and entry.version <= version:
                    yield found
                    return
                if entry is not None and entry.version <= self.version:
                    found.append(identity)
            yield found

    def components_after(self, version: int) -> Iterator[str]:
        """Yield the components that changed after a version, newest first.

        Includes components of which nothing is released yet. There may be 100,000, and the caller
        yields to the event loop in between.
        """
        # A copy, which takes a millisecond: changes in between would reorder the dictionary.
        for name in reversed(list(self._versions)):
            changed_in = self._versions.get(name)
            if changed_in is not None and changed_in <= version:
                return
            if changed_in is not None:
                yield name

    def components(self) -> Sequence[str]:
        """Return the names of all components, in any order; the same object until they change."""
        if self._names is None:
            self._names = tuple(self._components)
        return self._names

    def changed(self, component: str) -> int:
        """Return `changes` as of a component's last change; 0 for an unknown component."""
        return self._changed.get(component, 0)

    def of(self, component: str) -> dict[Identity, Current]:
        """Return a copy of a component's values, for a thread to read."""
        return dict(self._components.get(component, {}))

    def series(self, component: str) -> list[Identity]:
        """Return a component's series in the order of their last change."""
        return list(self._components.get(component, {}))

    def size(self, component: str) -> int:
        """Return the number of a component's series."""
        return len(self._components.get(component, {}))

    def _set(self, identity: Identity, value: Current, *, is_announced: bool) -> None:
        name, version = identity[0], self.version + 1
        known = self._entries.get(identity)
        identity = identity if known is None else known.identity
        self._entries[identity] = NewestEntry(version, value, is_announced, identity)
        # Move the series to the end, so that changes since a version are found from the end.
        component = self._components.get(name)
        if component is None:
            component = self._components[name] = {}
            self._names = None
        component.pop(identity, None)
        component[identity] = value
        self._versions.pop(name, None)
        self._versions[name] = version
        self._note_change(name)

    def _note_change(self, component: str) -> None:
        self.changes += 1
        self._changed[component] = self.changes


def _gives_way(known: datetime, time: datetime, latest: datetime) -> bool:
    """Return whether a sample replaces the newest one; a known one after `latest` is wrong."""
    return time > known or time <= latest < known


def _shown(value: Current) -> Sequence[object]:
    return value.time, value.value, value.unit, value.category
