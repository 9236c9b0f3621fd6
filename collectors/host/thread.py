"""Blocking work in a thread of its own, never in two."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

Answer = TypeVar("Answer")


class BusyError(Exception):
    """The thread still hangs in earlier work."""


class OneThread:
    """Runs one piece of blocking work at a time and refuses more while that hangs.

    The thread is a daemon, unlike those of an executor: one that hangs in the kernel cannot be
    ended, and must not hold up the end of the process.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._work: Future[object] | None = None

    @property
    def is_busy(self) -> bool:
        return self._work is not None and not self._work.done()

    async def run(self, work: Callable[[], Answer]) -> Answer:
        """Return what `work` returns. Cancelling gives up waiting; the thread stays busy."""
        if self.is_busy:
            raise BusyError("the previous run still hangs")
        future: Future[Answer] = Future()
        # A future that runs cannot be cancelled: it is done when its thread is, and not before.
        future.set_running_or_notify_cancel()
        self._work = future  # type: ignore[assignment] # only its state is asked for
        Thread(target=_complete, args=(future, work), name=self._name, daemon=True).start()
        return await asyncio.wrap_future(future)


def _complete(future: Future[Answer], work: Callable[[], Answer]) -> None:
    try:
        answer = work()
    except BaseException as error:  # noqa: BLE001 (raised again where the work is awaited)
        future.set_exception(error)
    else:
        future.set_result(answer)
