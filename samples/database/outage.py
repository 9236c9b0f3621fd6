"""Logs the cause of an outage once: thousands of operations can fail during it."""

from typing import Any

import structlog

log = structlog.get_logger()


class Outage:
    """The present cause of failures, for an operator; "" while nothing fails."""

    def __init__(self, event: str, over: str = "") -> None:
        """`event` is logged for each new cause, and `over` when the outage ends."""
        self._event, self._over = event, over
        self.cause = ""

    def note(self, cause: str, **details: Any) -> None:
        """Note a cause, or with "" the end of the outage."""
        if cause and cause != self.cause:
            log.warning(self._event, error=cause, **details)
        elif self.cause and not cause and self._over:
            log.info(self._over, was=self.cause)
        self.cause = cause
