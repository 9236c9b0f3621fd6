"""Separate threads for each kind of blocking work, so that one kind never delays another."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """A fixed number of threads. Each starts when it is first needed.

    A single thread runs its work one piece at a time, in the order of the calls.
    """

    def __init__(self, name: str, count: int = 1) -> None:
        self.executor = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def run(self, work: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        """Run a function in one of the threads, to its end even if the caller is cancelled."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.executor, partial(work, *args, **options))

    def close(self) -> None:
        """Return when all work is done and the threads have ended."""
        self.executor.shutdown()


class DaemonThreads:
    """At most `count` threads at a time for work that may never end, such as a library's requests.

    The process can exit while they run. If a caller is cancelled, its work still counts toward
    `count` until it ends.
    """

    def __init__(self, name: str, count: int) -> None:
        self._name = name
        self._places = asyncio.Semaphore(count)

    async def run(self, work: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        """Run a function in a new thread, after waiting for a free place. Raises ThreadDiedError.

        The function must catch its expected errors and return them. Any other error is a defect.
        """
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[T] = loop.create_future()

        def done(result: list[T]) -> None:
            self._places.release()
            if outcome.done():
                return
            if result:
                outcome.set_result(result[0])
            else:
                outcome.set_exception(ThreadDiedError(f"a thread of {self._name} died"))

        def run() -> None:
            result: list[T] = []
            try:
                result.append(work(*args, **options))
            finally:
                # RuntimeError: the loop is closed, and no caller waits any more.
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(done, result)

        await self._places.acquire()
        Thread(target=run, name=self._name, daemon=True).start()
        return await outcome


class ThreadDiedError(Exception):
    """The function in a thread raised an error. `threading.excepthook` has logged it."""


FINISHING = Threads("finish", 2)
"""Encodes answers with many values. This holds the GIL, so that more threads would not help."""
COMPRESSING = Threads("compress", 2)
"""Compresses large answers. Only clients with large answers wait for it."""
DRAWING = Threads("draw")
"""Draws the pictures in messages. Each takes several milliseconds."""
