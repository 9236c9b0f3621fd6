"""Some requests run, some wait in turn, and the others are refused."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.http import limiter as limiters
from api.http.limiter import Limiter
from model.errors import UnavailableError


class Crowd:
    """Those who hold a slot, until all of them release it."""

    def __init__(self, limiter: Limiter) -> None:
        self.limiter = limiter
        self.inside: list[int] = []
        self.most_inside = 0
        self.came: list[int] = []
        self.leave = asyncio.Event()

    async def visit(self, number: int, key: str = "") -> None:
        async with self.limiter.slot(key):
            self.came.append(number)
            self.inside.append(number)
            self.most_inside = max(self.most_inside, len(self.inside))
            await self.leave.wait()
            self.inside.remove(number)


async def run_pending() -> None:
    """Let everybody go as far as they can without time passing."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_no_more_pass_at_once_and_those_who_wait_come_in_their_order() -> None:
    crowd = Crowd(Limiter(at_once=2, waiting_max=8))
    async with asyncio.TaskGroup() as group:
        for number in range(10):
            group.create_task(crowd.visit(number))
        await run_pending()
        assert crowd.inside == [0, 1]
        crowd.leave.set()

    assert crowd.came == list(range(10))
    assert crowd.most_inside <= 2
    assert crowd.limiter.refused == 0


async def test_one_more_than_may_wait_is_refused_at_once_and_counted() -> None:
    crowd = Crowd(Limiter(at_once=2, waiting_max=3))
    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(crowd.visit(number))
        await run_pending()

        with pytest.raises(UnavailableError, match=r"2 of this kind .* and 3 may wait"):
            await crowd.visit(5)

        assert crowd.limiter.refused == 1
        crowd.leave.set()
    assert crowd.came == [0, 1, 2, 3, 4]


async def test_a_burst_on_a_free_limiter_is_let_in_before_anybody_has_to_wait() -> None:
    crowd = Crowd(Limiter(at_once=4, waiting_max=0))
    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(crowd.visit(number))
        await run_pending()

        assert crowd.inside == [0, 1, 2, 3]
        with pytest.raises(UnavailableError):
            await crowd.visit(4)
        crowd.leave.set()


async def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiters, "WAIT_S", 0.01)
    crowd = Crowd(Limiter(at_once=1, waiting_max=1))
    async with asyncio.TaskGroup() as group:
        group.create_task(crowd.visit(0))
        await run_pending()

        with pytest.raises(UnavailableError, match="try again soon"):
            await crowd.visit(1)

        assert crowd.limiter.refused == 1
        crowd.leave.set()
    await crowd.visit(2)


async def test_a_request_that_gives_up_or_fails_frees_its_slot() -> None:
    limiter = Limiter(at_once=1, waiting_max=2)
    crowd = Crowd(limiter)
    inside = asyncio.create_task(crowd.visit(0))
    waiting = asyncio.create_task(crowd.visit(1))
    await run_pending()
    waiting.cancel()
    inside.cancel()
    await asyncio.gather(inside, waiting, return_exceptions=True)

    async def fail() -> None:
        async with limiter.slot():
            raise ZeroDivisionError

    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(fail(), 1)


async def test_a_key_with_many_requests_delays_another_by_one_of_them() -> None:
    crowd = Crowd(Limiter(at_once=1, waiting_max=100))
    async with asyncio.TaskGroup() as group:
        for number in range(50):
            group.create_task(crowd.visit(number, "many"))
        await run_pending()
        for number in (100, 101):
            group.create_task(crowd.visit(number, "few"))
        await run_pending()
        crowd.leave.set()

    assert crowd.came[:5] == [0, 1, 100, 2, 101]
    assert len(crowd.came) == 52


async def test_one_key_takes_only_its_share_of_the_places_to_wait() -> None:
    crowd = Crowd(Limiter(at_once=1, waiting_max=8, waiting_per_key_max=2))
    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(crowd.visit(number, "many"))
        await run_pending()
        with pytest.raises(UnavailableError, match="2 of one key"):
            await crowd.visit(3, "many")
        other = group.create_task(crowd.visit(4, "few"))
        await run_pending()
        assert not other.done()
        usage = crowd.limiter.usage()
        assert (usage.running, usage.waiting, usage.waited, usage.refused) == (1, 3, 3, 1)
        crowd.leave.set()
    assert crowd.limiter.usage().running == 0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["end", "cancel"])), max_size=30))
def test_no_slot_is_lost_or_granted_twice(
    requests: list[tuple[str, str]],
) -> None:
    async def run() -> None:
        limiter, running = Limiter(at_once=2, waiting_max=100), 0

        async def request(key: str) -> None:
            nonlocal running
            async with limiter.slot(key):
                running += 1
                assert running <= 2
                try:
                    await asyncio.sleep(0)
                finally:
                    running -= 1

        tasks = [asyncio.create_task(request(key)) for key, _ in requests]
        for task, (_, end) in zip(tasks, requests, strict=True):
            await asyncio.sleep(0)
            if end == "cancel":
                task.cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert not [one for one in found if isinstance(one, AssertionError)]
        assert (limiter.usage().running, limiter.usage().waiting) == (0, 0)

    asyncio.run(run())


async def test_a_refusal_takes_its_time_and_delays_nobody_else() -> None:
    limiter = Limiter(at_once=1, waiting_max=1, waiting_per_key_max=0, refusal_delay_s=0.2)
    async with limiter.slot("other"):
        refused = asyncio.create_task(limiter.acquire("greedy"))
        began = asyncio.get_running_loop().time()
        await run_pending()
        assert not refused.done()

    await asyncio.wait_for(limiter.acquire("other"), 0.1)
    with pytest.raises(UnavailableError):
        await refused
    assert asyncio.get_running_loop().time() - began >= 0.19


async def test_a_key_that_runs_as_many_as_it_may_is_passed_by_the_others() -> None:
    limiter = Limiter(at_once=3, waiting_max=8, at_once_per_key=2)
    many, few = Crowd(limiter), Crowd(limiter)
    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(many.visit(number, "many"))
        await run_pending()
        assert many.inside == [0, 1]
        for number in range(2):
            group.create_task(few.visit(number, "few"))
        await run_pending()
        assert (many.inside, few.inside) == ([0, 1], [0])

        few.leave.set()
        await run_pending()
        assert (many.inside, few.came) == ([0, 1], [0, 1])
        many.leave.set()
    assert many.came == [0, 1, 2, 3]
    assert many.most_inside == 2
    assert (limiter.usage().running, limiter.usage().waiting) == (0, 0)


async def test_a_longer_wait_can_be_requested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiters, "WAIT_S", 0.01)
    limiter = Limiter(at_once=1, waiting_max=2)
    await limiter.acquire()
    patient = asyncio.create_task(limiter.acquire(wait_s=10))
    with pytest.raises(UnavailableError):
        await limiter.acquire()

    limiter.release()
    await patient


async def test_two_keys_that_take_every_place_keep_no_third_one_out() -> None:
    crowd = Crowd(Limiter(at_once=3, waiting_max=128, waiting_per_key_max=64))
    many = [
        asyncio.create_task(crowd.visit(number, key)) for number in range(70) for key in ("a", "b")
    ]
    await run_pending()
    assert crowd.limiter.usage().waiting == 128
    third = [asyncio.create_task(crowd.visit(100 + number, "c")) for number in range(3)]
    await run_pending()
    assert crowd.limiter.usage().waiting == 128
    crowd.leave.set()

    await asyncio.gather(*third)
    ended = await asyncio.gather(*many, return_exceptions=True)
    # Of 140, 131 had a place; three newest gave theirs to the third key.
    assert sum(isinstance(one, UnavailableError) for one in ended) == 140 - 131 + 3
    assert crowd.limiter.refused == 140 - 131 + 3
    assert max(crowd.came.index(100 + number) for number in range(3)) < 3 + 3 * 3
    assert set(range(64)) <= set(crowd.came)
    assert (crowd.limiter.usage().running, crowd.limiter.usage().waiting) == (0, 0)


@given(st.lists(st.sampled_from("abcd"), max_size=40))
def test_a_key_without_waiting_requests_gets_a_place_however_many_others_wait(
    keys: list[str],
) -> None:
    async def run() -> None:
        limiter = Limiter(at_once=1, waiting_max=6, waiting_per_key_max=4)
        await limiter.acquire()
        waiting = [asyncio.create_task(limiter.acquire(key)) for key in keys]
        await run_pending()
        for key in ("new", "newer"):
            waiting.append(asyncio.create_task(limiter.acquire(key)))
            await run_pending()
            assert not waiting[-1].done()
            assert limiter.usage().waiting <= 6
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        limiter.release()
        assert (limiter.usage().running, limiter.usage().waiting) == (0, 0)

    asyncio.run(run())


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["come", "cancel", "release"])),
        max_size=60,
    )
)
def test_a_displaced_request_takes_no_slot(steps: list[tuple[str, str]]) -> None:
    async def run() -> None:
        limiter = Limiter(at_once=2, waiting_max=4, at_once_per_key=1)
        tasks: list[asyncio.Task[None]] = []
        leave = asyncio.Event()

        async def visit(key: str) -> None:
            async with limiter.slot(key):
                await leave.wait()

        for key, step in steps:
            if step == "come":
                tasks.append(asyncio.create_task(visit(key)))
            elif step == "cancel" and tasks:
                tasks[len(tasks) // 2].cancel()
            else:
                leave.set()
                leave = asyncio.Event()
            await asyncio.sleep(0)
            assert limiter.usage().waiting == sum(map(len, limiter._queues.values())) <= 4
        await run_pending()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (limiter.usage().running, limiter.usage().waiting) == (0, 0)

    asyncio.run(run())
