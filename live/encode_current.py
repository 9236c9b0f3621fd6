"""Encodes newest values as JSON in pieces, so that other threads can run between pieces.

One call that encodes 100,000 values holds the interpreter lock for about 60 ms, even in a thread.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from heapq import merge
from itertools import groupby
from typing import TypeVar

import msgspec
from msgspec import Struct

from live.newest import Identity
from samples.current import Current, LabelledValue

Name = TypeVar("Name", str, Identity)

PIECE_VALUES = 500
"""How many values are encoded, or names sorted, in one call: about 1 ms."""


class Fragment(Struct, frozen=True):
    """The JSON of one component, and the time of its newest value."""

    body: bytes
    time: datetime | None


def encode_component(name: str, values: Mapping[Identity, Current]) -> Fragment:
    """Return `"name":{...}` in the format of GET /metrics/current."""
    category, times, metrics = "", [], []
    for metric, group in groupby(in_order(list(values)), key=lambda identity: identity[1]):
        found = [values[identity] for identity in group]
        times.append(max(value.time for value in found))
        metrics.append(_json(metric) + b":" + _metric(found))
        category = category or found[0].category
    head = _json(name) + b':{"category":' + _json(category) + b',"metrics":{'
    return Fragment(head + b",".join(metrics) + b"}}", max(times, default=None))


def encode_document(fragments: Iterable[Fragment]) -> bytes:
    """Return the document of all fragments."""
    found = list(fragments)
    newest = max((one.time for one in found if one.time is not None), default=None)
    components = b",".join(one.body for one in found)
    return b'{"time":' + _json(newest) + b',"components":{' + components + b"}}"


def _metric(values: list[Current]) -> bytes:
    parts = [b'{"unit":' + _json(values[0].unit)]
    parts += [
        b',"value":' + _json(value.value) + b',"time":' + _json(value.time)
        for value in values
        if not value.labels
    ]
    labelled = [value for value in values if value.labels]
    if labelled:
        pieces = (
            _list(labelled[start : start + PIECE_VALUES])
            for start in range(0, len(labelled), PIECE_VALUES)
        )
        parts.append(b',"series":[' + b",".join(pieces) + b"]")
    return b"".join([*parts, b"}"])


def _list(values: list[Current]) -> bytes:
    return _json([LabelledValue(one.labels, one.value, one.time) for one in values])[1:-1]


def in_order(names: Sequence[Name]) -> Iterable[Name]:
    """Return sorted names; sorting 100,000 in one call holds the interpreter lock for 20 ms."""
    pieces = [
        sorted(names[start : start + PIECE_VALUES]) for start in range(0, len(names), PIECE_VALUES)
    ]
    return merge(*pieces)


def _json(value: object) -> bytes:
    return msgspec.json.encode(value)
