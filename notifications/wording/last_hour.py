"""The last hour of a series, and how it looks as one line of text."""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import TypeGuard

from msgspec import Struct

BLOCKS = "▁▂▃▄▅▆▇█"
GAP = " "
BLOCKS_MAX = 30
"""So many fit into a line of a phone."""


class LastHour(Struct, frozen=True, kw_only=True):
    """The newest values of a series, one for each step; None where nothing was measured."""

    start: datetime
    step_s: float
    values: Sequence[float | None]

    @property
    def known(self) -> list[float]:
        """The values that there are."""
        return [value for value in self.values if is_known(value)]


def is_known(value: float | None) -> TypeGuard[float]:
    """Return whether there is a value that can be drawn."""
    return value is not None and math.isfinite(value)


def text_chart(hour: LastHour) -> str:
    """Return the values as blocks of different height, without ends that are not known.

    A block stands for the largest of its values, so that a short peak is seen.
    """
    values, known = hour.values, hour.known
    if not known:
        return ""
    lowest, highest = min(known), max(known)
    width = max(1, math.ceil(len(values) / BLOCKS_MAX))
    groups = (values[first : first + width] for first in range(0, len(values), width))
    return "".join(_block(group, lowest, highest) for group in groups).strip()


def _block(group: Sequence[float | None], lowest: float, highest: float) -> str:
    known = [value for value in group if is_known(value)]
    if not known:
        return GAP
    # Halves, because the difference of two large numbers may be infinite.
    height = (max(known) / 2 - lowest / 2) / ((highest / 2 - lowest / 2) or 1)
    return BLOCKS[round(height * (len(BLOCKS) - 1))]
