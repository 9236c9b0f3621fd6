"""What is wrong for a while, and is logged when it changes: an outage fails thousands of times."""

from typing import Any

import structlog

log = structlog.get_logger()


class Outage:
    """The cause of what fails now, in words for an operator; empty while nothing does."""

    def __init__(self, event: str, over: str = "") -> None:
        """`event` is logged with each new cause, `over` once when there is none any more."""
        self._event, self._over = event, over
        self.cause = ""

    def note(self, cause: str, **details: Any) -> None:
        """Take note of a cause, or that there is none."""
        if cause and cause != self.cause:
            log.warning(self._event, error=cause, **details)
        elif self.cause and not cause and self._over:
            log.info(self._over, was=self.cause)
        self.cause = cause
