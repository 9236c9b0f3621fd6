"""Threads of their own for work of one kind: however much of it there is, no other waits."""

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
    """A few threads, which begin when they are first needed.

    With a single one, work is done in the order in which it was given, one piece at a time.
    """

    def __init__(self, name: str, count: int = 1) -> None:
        self.executor = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def run(self, work: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        """Do work in one of the threads; it goes on to its end when the caller is cancelled."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.executor, partial(work, *args, **options))

    def close(self) -> None:
        """Return when all work is done and the threads have ended."""
        self.executor.shutdown()


class DaemonThreads:
    """At most `count` threads at a time for work that may never end, such as a library's requests.

    The end of the process waits for none of them. Whoever waits may give up; the work then keeps
    its place until it ends.
    """

    def __init__(self, name: str, count: int) -> None:
        self._name = name
        self._places = asyncio.Semaphore(count)

    async def run(self, work: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        """Do work in a thread of its own, once there is a place. Raises ThreadDiedError.

        What the work is expected to raise it has to catch and return: anything else is a defect.
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
                # The loop may have been closed meanwhile, and then nobody waits any more.
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(done, result)

        await self._places.acquire()
        Thread(target=run, name=self._name, daemon=True).start()
        return await outcome


class ThreadDiedError(Exception):
    """Work in a thread raised what it should not have; `threading.excepthook` has said what."""


FINISHING = Threads("finish", 2)
"""Answers with many values are finished and encoded here: work of the interpreter alone."""
COMPRESSING = Threads("compress", 2)
"""Whoever asks for many or large answers waits for their compression, and nobody else does."""
DRAWING = Threads("draw")
"""Pictures in messages: each takes several milliseconds."""
