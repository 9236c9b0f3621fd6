"""Runs blocking work in a separate thread, one piece at a time."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

Answer = TypeVar("Answer")


class BusyError(Exception):
    """The thread is still busy with earlier work."""


class OneThread:
    """Runs one piece of blocking work at a time, and refuses more until it ends.

    The thread is a daemon, unlike those of an executor. A thread that hangs in the kernel cannot be
    stopped, and must not keep the process from exiting.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._work: Future[object] | None = None

    @property
    def is_busy(self) -> bool:
        return self._work is not None and not self._work.done()

    async def run(self, work: Callable[[], Answer]) -> Answer:
        """Return the result of `work`. Raises BusyError while earlier work runs.

        If the caller is cancelled, the work goes on and the thread stays busy.
        """
        if self.is_busy:
            raise BusyError("the previous run has not ended")
        future: Future[Answer] = Future()
        # A future that is marked as running cannot be cancelled, so that it is done only when its
        # thread has ended.
        future.set_running_or_notify_cancel()
        self._work = future  # type: ignore[assignment] # only its state is read
        Thread(target=_complete, args=(future, work), name=self._name, daemon=True).start()
        return await asyncio.wrap_future(future)


def _complete(future: Future[Answer], work: Callable[[], Answer]) -> None:
    try:
        answer = work()
    except BaseException as error:  # noqa: BLE001 (raised again where the work is awaited)
        future.set_exception(error)
    else:
        future.set_result(answer)
