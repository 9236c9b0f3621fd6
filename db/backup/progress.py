"""How far a long work is, for whoever waits for it."""

from typing import Protocol


class Progress(Protocol):
    """Is told of each stage of a work, and how much of it is done."""

    def begin(self, what: str, total: int) -> None:
        """Begin a stage; `what` is counted in it, and there are `total`."""

    def advance(self, more: int) -> None:
        """Note that so many more are done."""


class Silent:
    """Tells nobody."""

    def begin(self, what: str, total: int) -> None:
        pass

    def advance(self, more: int) -> None:
        pass
