"""Blocking work runs in separate threads, and a single thread keeps the order."""

import asyncio
import threading
import time

import pytest

from runtime.threads import DaemonThreads, ThreadDiedError, Threads


async def test_one_thread_does_its_work_in_order_and_nothing_else_waits() -> None:
    thread, done, released = Threads("one"), list[int](), threading.Event()

    def work(number: int) -> int:
        released.wait(5)
        done.append(number)
        return number

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(thread.run(work, number)) for number in range(10)]
        await asyncio.sleep(0)
        assert done == []
        released.set()
    thread.close()

    assert done == [task.result() for task in tasks] == list(range(10))


async def test_what_the_work_raises_reaches_its_caller() -> None:
    thread = Threads("one")
    with pytest.raises(ZeroDivisionError):
        await thread.run(lambda: 1 // 0)
    thread.close()


async def test_work_whose_caller_is_cancelled_ends_before_the_next_begins() -> None:
    thread, began, done = Threads("one"), threading.Event(), list[str]()

    def slow() -> None:
        began.set()
        time.sleep(0.1)
        done.append("slow")

    first = asyncio.create_task(thread.run(slow))
    await asyncio.to_thread(began.wait, 5)
    first.cancel()
    await thread.run(done.append, "next")
    thread.close()

    assert first.cancelled() or first.cancelling()
    assert done == ["slow", "next"]


async def test_hanging_work_occupies_only_its_own_thread() -> None:
    threads, released = DaemonThreads("library", 2), threading.Event()
    hung = asyncio.create_task(threads.run(released.wait, 30))
    await threads.run(int)

    hung.cancel()
    assert [await threads.run(str, number) for number in range(3)] == ["0", "1", "2"]
    other = asyncio.create_task(threads.run(released.wait, 30))
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await threads.run(int)

    released.set()
    assert await other
    assert await threads.run(int) == 0


async def test_work_cancelled_before_its_start_never_starts() -> None:
    threads, released, begun = DaemonThreads("library", 1), threading.Event(), list[int]()
    first = asyncio.create_task(threads.run(released.wait, 30))
    await asyncio.sleep(0)
    second = asyncio.create_task(threads.run(begun.append, 1))
    await asyncio.sleep(0)
    second.cancel()
    released.set()
    await first
    await threads.run(int)
    assert begun == []


async def test_a_failed_thread_is_reported_and_frees_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reported, is_told = list[type[BaseException]](), threading.Event()

    def tell(args: threading.ExceptHookArgs) -> None:
        reported.append(args.exc_type)
        is_told.set()

    monkeypatch.setattr(threading, "excepthook", tell)
    threads = DaemonThreads("library", 1)
    with pytest.raises(ThreadDiedError, match="a thread of library died"):
        await threads.run(lambda: 1 // 0)
    assert await threads.run(int) == 0
    assert await asyncio.to_thread(is_told.wait, 5)
    assert reported == [ZeroDivisionError]


async def test_a_process_exits_without_waiting_for_daemon_threads() -> None:
    threads, released = DaemonThreads("library", 1), threading.Event()
    seen: list[bool] = []

    def work() -> None:
        seen.append(threading.current_thread().daemon)
        released.wait(30)

    waiting = asyncio.create_task(threads.run(work))
    released.set()
    await waiting
    assert seen == [True]
