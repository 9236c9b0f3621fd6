"""Converts names and labels of other protocols to series, and caches the results."""

import re
from collections.abc import Hashable, Mapping
from typing import Generic, NamedTuple, TypeVar

from api.ingest.admission.parsed_write import Fault, FaultError
from model.limits import (
    IDENTITY_BYTES_MAX,
    LABEL_NAME_BYTES_MAX,
    LABEL_VALUE_BYTES_MAX,
    LABELS_MAX,
    NAME_CHARS_MAX,
    UNIT_CHARS_MAX,
)
from model.series import Kind, Series, identity_bytes, labels_of
from model.text import NAME_CHARACTERS, UNSAFE_WORDS, clean, is_safe

REMEMBERED_BYTES_MAX = 32 * 2**20
LARGE_BYTES = 2**18
ENTRY_BYTES = 600
"""The approximate size of an entry without its text."""

FOREIGN = re.compile(f"[^{NAME_CHARACTERS}]")

NO_NAME = Fault("name", "a name is empty")
LONG_NAME = Fault("name", f"a name has more than {NAME_CHARS_MAX} characters")
UNSAFE_NAME = Fault("name", f"a name contains {UNSAFE_WORDS}")
UNIT = Fault(
    "unit", f"a unit has more than {UNIT_CHARS_MAX} characters, or contains {UNSAFE_WORDS}"
)
LABELS = Fault("labels", f"a series has more than {LABELS_MAX} labels")
NO_LABEL_NAME = Fault("label_name", "a label name is empty")
LABEL_NAME = Fault(
    "label_name",
    f"a label name has more than {LABEL_NAME_BYTES_MAX} bytes, or contains {UNSAFE_WORDS}",
)
LABEL_VALUE = Fault(
    "label_value",
    f"a label value has more than {LABEL_VALUE_BYTES_MAX} bytes, or contains {UNSAFE_WORDS}",
)
LONG_LABELS = Fault(
    "labels",
    f"the component and the labels of a series have more than {IDENTITY_BYTES_MAX} bytes together; "
    "leave out long labels",
)
UNSTORABLE = (LONG_NAME, UNSAFE_NAME, LABELS, LABEL_NAME, LABEL_VALUE, LONG_LABELS)
"""Faults of series that other protocols allow and Vigia does not."""

V = TypeVar("V")


class Component(NamedTuple):
    """The sender's name of the component, and the label or attribute that contains it."""

    name: str
    label: str


def name_of(text: str) -> str:
    """Return a name with `_` for each character that Vigia does not allow. Raises FaultError."""
    if not text:
        raise FaultError(NO_NAME)
    if not is_safe(text):
        raise FaultError(UNSAFE_NAME)
    name = FOREIGN.sub("_", text)
    if name[0] in "0123456789.:-":
        name = "_" + name
    if len(name) > NAME_CHARS_MAX:
        raise FaultError(LONG_NAME)
    return name


def series_of(
    metric: str, component: Component, labels: Mapping[str, str], unit: str, kind: Kind
) -> Series:
    """Return the series for a sender's names; drops labels with empty values. Raises FaultError."""
    given = {name: value for name, value in labels.items() if value}
    try:
        own = name_of(component.name)
        if own != component.name:
            # Keep the original name as a label: several names may map to the same component.
            given[component.label] = component.name
        _check(own, given, unit)
        return Series(
            metric=name_of(metric), component=own, labels=labels_of(given), unit=unit, kind=kind
        )
    except FaultError as error:
        raise FaultError(error.fault, clean(metric)) from None


def is_unit(text: str) -> bool:
    """Return whether a series may have this unit."""
    return len(text) <= UNIT_CHARS_MAX and is_safe(text)


def _check(component: str, labels: Mapping[str, str], unit: str) -> None:
    if not is_unit(unit):
        raise FaultError(UNIT)
    if len(labels) > LABELS_MAX:
        raise FaultError(LABELS)
    for name, value in labels.items():
        if not name:
            raise FaultError(NO_LABEL_NAME)
        if len(name.encode()) > LABEL_NAME_BYTES_MAX or not is_safe(name):
            raise FaultError(LABEL_NAME)
        if len(value.encode()) > LABEL_VALUE_BYTES_MAX or not is_safe(value):
            raise FaultError(LABEL_VALUE)
    if identity_bytes(component, labels.items()) > IDENTITY_BYTES_MAX:
        raise FaultError(LONG_LABELS)


class Memory(Generic[V]):
    """A cache with a limit in bytes.

    It keeps two generations. A value that is used moves to the younger one. When that is full, the
    older one is dropped and the younger takes its place. So values in use stay, and a look-up costs
    at most two dictionary accesses.
    """

    def __init__(self, bytes_max: int = REMEMBERED_BYTES_MAX) -> None:
        self._bytes_max = bytes_max // 2
        self.forget()

    def forget(self) -> None:
        """Empty the cache."""
        self._young: dict[Hashable, tuple[V, int]] = {}
        self._old: dict[Hashable, tuple[V, int]] = {}
        self._young_bytes = 0

    def get(self, key: Hashable) -> V | None:
        """Return the value of a key; None if there is none."""
        found = self._young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is None:
                return None
            self.put(key, *found)
        return found[0]

    def put(self, key: Hashable, value: V, size: int) -> None:
        """Store a value unless it is large; `size` is the bytes of its texts and its key."""
        if size > LARGE_BYTES:
            return
        if self._young_bytes > self._bytes_max:
            self._old, self._young, self._young_bytes = self._young, {}, 0
        self._young[key] = (value, size)
        self._young_bytes += size + ENTRY_BYTES
