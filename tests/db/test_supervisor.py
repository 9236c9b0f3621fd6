"""The supervision of a child process. The children are small Python programs."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from db import supervisor
from db.supervisor import Child, ChildError, supervise

WAIT_S = 20.0
READY = "import sys, time, os; os.write(1, b'.');"


def child_of(program: str, deadline_s: float = WAIT_S) -> Child:
    return Child(command=(sys.executable, "-c", program), deadline_s=deadline_s)


@asynccontextmanager
async def supervised(child: Child) -> AsyncIterator[None]:
    task = asyncio.create_task(supervise(child))
    try:
        await asyncio.wait_for(child.ready.wait(), WAIT_S)
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def restarted(child: Child, times: int) -> None:
    async with asyncio.timeout(WAIT_S):
        while child.restarts < times:
            await asyncio.sleep(0.01)


async def test_child_without_heartbeats_is_replaced() -> None:
    child = child_of(READY + "sys.stdin.read()", deadline_s=0.2)

    with capture_logs() as logs:
        async with supervised(child):
            await restarted(child, 1)

    assert logs[0]["reason"] == "no heartbeat for 0.2 s"


async def test_child_that_beats_is_left_alone() -> None:
    beats = "[(os.write(1, b'.'), time.sleep(0.05)) for _ in range(30)]; sys.exit(7)"
    child = child_of(READY + beats, deadline_s=0.4)

    with capture_logs() as logs:
        async with supervised(child):
            await restarted(child, 1)

    assert logs[0]["reason"] == "exit status 7"


async def test_pauses_grow_while_the_child_keeps_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "PAUSE_S_MIN", 0.01)
    monkeypatch.setattr(supervisor, "PAUSE_S_MAX", 0.03)
    child = child_of(READY)

    with capture_logs() as logs:
        async with supervised(child):
            await restarted(child, 4)

    assert [log["restart_in_s"] for log in logs][:4] == [0.01, 0.02, 0.03, 0.03]


async def test_child_that_was_well_is_started_again_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervisor, "PAUSE_S_MIN", 0.01)
    monkeypatch.setattr(supervisor, "WELL_AFTER_S", 0.0)
    child = child_of(READY)

    with capture_logs() as logs:
        async with supervised(child):
            await restarted(child, 3)

    assert [log["restart_in_s"] for log in logs][:3] == [0.01, 0.01, 0.01]


async def test_child_that_never_was_ready_ends_the_supervision_with_its_complaint() -> None:
    with pytest.raises(ChildError, match=r"^no disk$"):
        await supervise(child_of("import sys; sys.exit('no disk\\nand so on')"))


async def test_program_that_cannot_be_run_ends_the_supervision() -> None:
    with pytest.raises(ChildError, match="No such file"):
        await supervise(Child(command=("/no/such/program",), deadline_s=1.0))


async def test_child_is_asked_to_close_before_it_is_left(tmp_path: Path) -> None:
    note = tmp_path / "closed"
    child = child_of(READY + f"sys.stdin.read(); time.sleep(0.1); open({str(note)!r}, 'w')")

    async with supervised(child):
        assert not note.exists()

    assert note.exists()


async def test_child_that_does_not_close_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "CLOSE_S_MAX", 0.1)

    with capture_logs() as logs:
        async with supervised(child_of(READY + "time.sleep(3600)")):
            pass

    assert [log["event"] for log in logs] == ["engine_killed"]


async def test_child_does_not_see_the_service_s_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VIGIA_ADMIN_KEY", "secret")

    with pytest.raises(ChildError, match=r"^\[\]$"):
        await supervise(
            child_of("import os, sys; sys.exit(str([n for n in os.environ if 'VIGIA' in n]))")
        )


async def test_endless_line_of_the_child_is_dropped() -> None:
    child = child_of(READY + "sys.stderr.write('x' * 300000 + '\\n'); sys.exit('the end')")

    async with supervised(child):
        await restarted(child, 1)
