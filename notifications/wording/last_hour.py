"""The last hour of a series, and its chart as one line of text."""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import TypeGuard

from msgspec import Struct

BLOCKS = "▁▂▃▄▅▆▇█"
GAP = " "
BLOCKS_MAX = 30
"""As many as fit on one line of a phone."""


class LastHour(Struct, frozen=True, kw_only=True):
    """The newest values of a series, one for each step. None: the step has no samples."""

    start: datetime
    step_s: float
    values: Sequence[float | None]

    @property
    def known(self) -> list[float]:
        """The values without gaps."""
        return [value for value in self.values if is_known(value)]


def is_known(value: float | None) -> TypeGuard[float]:
    """Return whether a value exists and is finite."""
    return value is not None and math.isfinite(value)


def text_chart(hour: LastHour) -> str:
    """Return the values as blocks of different heights, without unknown values at both ends.

    A block shows the largest of its values, so that a short peak stays visible.
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
    # Halve first, because the difference of two very large numbers may be infinite.
    height = (max(known) / 2 - lowest / 2) / ((highest / 2 - lowest / 2) or 1)
    return BLOCKS[round(height * (len(BLOCKS) - 1))]
