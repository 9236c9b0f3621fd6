"""The buckets that a question about the past asks for."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property

from msgspec import Struct


class Grid(Struct, frozen=True, dict=True):
    """Buckets, one from each edge to the next, in epoch seconds; the last edge ends the last one.

    They are all `step_s` wide, but for days of a calendar: those have 23 to 25 hours, and then
    `is_calendar`. `before` is where the bucket before the first begins.
    """

    edges: Sequence[int]
    step_s: int
    before: int
    is_calendar: bool = False

    @property
    def start(self) -> datetime:
        return datetime.fromtimestamp(self.edges[0], UTC)

    @property
    def end(self) -> datetime:
        return datetime.fromtimestamp(self.edges[-1], UTC)

    @property
    def times(self) -> Sequence[int]:
        """The start of each bucket."""
        return self.edges[:-1]

    @property
    def points(self) -> int:
        return len(self.edges) - 1

    @property
    def seconds(self) -> int:
        return self.edges[-1] - self.edges[0]

    @cached_property
    def unit_s(self) -> int:
        """The widest buckets of a tier that can be put together to these."""
        if self.is_calendar:
            return math.gcd(self.before, *self.edges)
        return math.gcd(self.edges[0], self.step_s)

    def partial_from(self, now: datetime) -> datetime | None:
        """Return the start of the first bucket that is not over yet."""
        first = max(0, bisect_right(self.edges, now.timestamp()) - 1)
        return datetime.fromtimestamp(self.edges[first], UTC) if first < self.points else None
