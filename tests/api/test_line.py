"""A few pass, some wait in the order they came, and the rest is told to come again."""

import asyncio

import pytest

from api import line as lines
from api.line import Line
from vigia.model import UnavailableError


class Crowd:
    """Those who were let in, and a door by which all of them leave."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.inside: list[int] = []
        self.most_inside = 0
        self.came: list[int] = []
        self.leave = asyncio.Event()

    async def visit(self, number: int) -> None:
        async with self.line.turn():
            self.came.append(number)
            self.inside.append(number)
            self.most_inside = max(self.most_inside, len(self.inside))
            await self.leave.wait()
            self.inside.remove(number)


async def settle() -> None:
    """Let everybody go as far as they can without time passing."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_no_more_pass_at_once_and_those_who_wait_come_in_their_order() -> None:
    crowd = Crowd(Line(at_once=2, waiting_max=8))
    async with asyncio.TaskGroup() as group:
        for number in range(10):
            group.create_task(crowd.visit(number))
        await settle()
        assert crowd.inside == [0, 1]
        crowd.leave.set()

    assert crowd.came == list(range(10))
    assert crowd.most_inside <= 2
    assert crowd.line.refused == 0


async def test_one_more_than_may_wait_is_refused_at_once_and_counted() -> None:
    crowd = Crowd(Line(at_once=2, waiting_max=3))
    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(crowd.visit(number))
        await settle()

        with pytest.raises(UnavailableError, match=r"2 such questions .* and 3 may wait"):
            await crowd.visit(5)

        assert crowd.line.refused == 1
        crowd.leave.set()
    assert crowd.came == [0, 1, 2, 3, 4]


async def test_a_burst_on_a_free_line_is_let_in_before_anybody_has_to_wait() -> None:
    crowd = Crowd(Line(at_once=4, waiting_max=0))
    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(crowd.visit(number))
        await settle()

        assert crowd.inside == [0, 1, 2, 3]
        with pytest.raises(UnavailableError):
            await crowd.visit(4)
        crowd.leave.set()


async def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "WAIT_S", 0.01)
    crowd = Crowd(Line(at_once=1, waiting_max=1))
    async with asyncio.TaskGroup() as group:
        group.create_task(crowd.visit(0))
        await settle()

        with pytest.raises(UnavailableError, match="ask again soon"):
            await crowd.visit(1)

        assert crowd.line.refused == 1
        crowd.leave.set()
    await crowd.visit(2)


async def test_who_gives_up_or_fails_leaves_no_turn_taken() -> None:
    line = Line(at_once=1, waiting_max=2)
    crowd = Crowd(line)
    inside = asyncio.create_task(crowd.visit(0))
    waiting = asyncio.create_task(crowd.visit(1))
    await settle()
    waiting.cancel()
    inside.cancel()
    await asyncio.gather(inside, waiting, return_exceptions=True)

    async def fail() -> None:
        async with line.turn():
            raise ZeroDivisionError

    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(fail(), 1)
