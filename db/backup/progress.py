"""Reports the progress of a long operation."""

from typing import Protocol


class Progress(Protocol):
    """Receives the stages of an operation and their progress."""

    def begin(self, what: str, total: int) -> None:
        """Begin a stage with `total` units. `what` names the unit."""

    def advance(self, more: int) -> None:
        """Note that `more` units are done."""


class Silent:
    """Ignores the progress."""

    def begin(self, what: str, total: int) -> None:
        pass

    def advance(self, more: int) -> None:
        pass
