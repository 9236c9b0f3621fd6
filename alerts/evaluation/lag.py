"""Measures the lag of the evaluation, and the offset of this machine's clock to the database's."""

import time
from datetime import datetime, timedelta

import structlog
from msgspec import Struct

log = structlog.get_logger()

OFFSET_MAX = timedelta(minutes=2)
"""A larger offset is logged: this machine would evaluate other minutes than its replicas."""


class EvaluationLag(Struct):
    """The lag and the clock offset of the last measurement, in seconds."""

    lag_s: float | None = None
    clock_offset_s: float | None = None
    measured_at: float = 0.0

    def note(self, evaluated_at: datetime | None, database: datetime, own: datetime) -> None:
        """Record the newest evaluated minute, the database's time and this machine's time."""
        offset = own - database
        was_off = self.clock_offset_s is not None and abs(self.clock_offset_s) > _s(OFFSET_MAX)
        if (is_off := abs(offset) > OFFSET_MAX) != was_off:
            log.warning("clock_differs" if is_off else "clock_agrees", ahead_s=_s(offset))
        self.clock_offset_s = _s(offset)
        self.lag_s = None if evaluated_at is None else _s(database - evaluated_at)
        self.measured_at = time.monotonic()

    def status(self) -> dict[str, float | None]:
        """Return the present lag, which grows while nothing is evaluated, and the clock offset."""
        since = time.monotonic() - self.measured_at
        lag_s = None if self.lag_s is None else round(self.lag_s + since, 3)
        return {"lag_s": lag_s, "clock_offset_s": self.clock_offset_s}


def _s(span: timedelta) -> float:
    return span.total_seconds()
