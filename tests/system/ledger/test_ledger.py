"""Whatever dies meanwhile: what a sender was told is safe is in the database, once."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from msgspec import Struct

from tests.system.conftest import Program, run
from tests.system.ledger.account import Ledger, Verdict, identity_of
from tests.system.ledger.databases import Database, database_of, stored
from tests.system.ledger.recorder import Recorder, recording
from tests.system.ledger.senders import BINARY, application, client, prometheus

LENGTH_S = float(os.environ.get("VIGIA_TEST_LEDGER_S", "40"))
"""600: with a cut of a minute, three restarts and five kills."""
IS_LONG = LENGTH_S >= 300
CUT_S = 60.0 if IS_LONG else 8.0
KILLED_AT = 0.75
"""The part of the cut after which the service is killed, with what waits for the database; not
before each sender was acknowledged something, for which a silent database is given ten seconds."""
HEARD_TIMEOUT_S = 60.0
DRAIN_TIMEOUT_S = 120.0
DRAIN_POLL_S = 1.0
TIMEOUT_S = LENGTH_S + CUT_S + 10 * HEARD_TIMEOUT_S + DRAIN_TIMEOUT_S


class Stage(Struct):
    """The service, its database, and the books of what it acknowledges."""

    program: Program
    database: Database
    recorder: Recorder
    acknowledged_in_cut: dict[str, int] = {}

    async def kill(self) -> None:
        await self.program.end(signal.SIGKILL)
        await self.program.start()

    async def restart_database(self) -> None:
        await self.database.restart()

    async def cut(self) -> None:
        """Cut the database off, and kill the service before it is back."""
        await self.database.cut()
        # What was stored before, and is answered only now, was not acknowledged in the cut.
        await asyncio.sleep(1)
        before, since = dict(self.recorder.ledger.by_sender), time.monotonic()
        await asyncio.sleep(KILLED_AT * CUT_S)
        await self.recorder.hear_everyone(since, HEARD_TIMEOUT_S)
        after = self.recorder.ledger.by_sender
        self.acknowledged_in_cut = {each: after[each] - before[each] for each in before}
        await self.program.end(signal.SIGKILL)
        await asyncio.sleep((1 - KILLED_AT) * CUT_S)
        await self.database.mend()
        await self.program.start()

    @property
    def acts(self) -> list[Callable[[], Coroutine[None, None, None]]]:
        first = [self.kill, self.cut, self.restart_database]
        return (
            [*first, self.kill, self.restart_database, self.kill, self.kill] if IS_LONG else first
        )


@asynccontextmanager
async def stage(program: Program, folder: Path) -> AsyncIterator[Stage]:
    async with database_of(program) as database, recording(program.url) as (recorder, url):
        with (folder / "service.log").open("wb") as log:
            program.output = log
            await program.start()
            key, made = await new_key(program), Stage(program, database, recorder)
            async with AsyncExitStack() as senders:
                for sender in (
                    prometheus(url, key, folder),
                    application(url, key),
                    client(url, key),
                ):
                    await senders.enter_async_context(sender)
                await play(made)
            yield made


async def new_key(program: Program) -> str:
    """Make a key that may only write, as a sender has it."""
    code, out, err = await run(
        program.environment, "keys", "create", "ledger", "--role", "ingest", "--json"
    )
    assert code == 0, err
    return str(json.loads(out)["key"])


async def play(on: Stage) -> None:
    """Let everything happen, spread over the length of the test."""
    part_s = (LENGTH_S - CUT_S) / (len(on.acts) + 1)
    for act in (*on.acts, None):
        began = time.monotonic()
        await on.recorder.hear_everyone(began, HEARD_TIMEOUT_S)
        # This is for how long the senders are to be left alone, nothing is awaited.
        await asyncio.sleep(max(0.0, began + part_s - time.monotonic()))
        if act is not None:
            await act()


async def drained(program: Program, ledger: Ledger) -> Verdict:
    """Return what is wrong when all that waits has had the time to be stored."""
    deadline = time.monotonic() + DRAIN_TIMEOUT_S
    while True:
        verdict = ledger.judge(await stored(program.environment, ledger))
        if not verdict.missing or time.monotonic() > deadline:
            return verdict
        await asyncio.sleep(DRAIN_POLL_S)


@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT_S)
@pytest.mark.skipif(BINARY is None, reason="there is no prometheus on this machine")
async def test_every_acknowledged_sample_is_stored_once_whatever_dies(
    program: Program, tmp_path: Path
) -> None:
    async with stage(program, tmp_path) as on:
        recorder = on.recorder
        began = time.monotonic()
        verdict = await drained(program, recorder.ledger)
        figures = (
            f"{recorder.figures()}\nacknowledged in the cut: {on.acknowledged_in_cut}\n"
            f"drained within {time.monotonic() - began:.1f} s: {verdict}"
        )
        print(figures)  # noqa: T201 (pytest shows it with -s, and when the test fails)
        assert verdict.is_clean, figures
        assert recorder.complaints == [], figures
        assert all(recorder.ledger.by_sender[each] > 100 for each in recorder.statuses), figures
        assert recorder.statuses["native"][202], figures
        assert all(on.acknowledged_in_cut.values()), figures


def test_the_ledger_finds_what_is_missing_double_changed_and_of_nobody() -> None:
    ledger = Ledger()
    one, other = identity_of("m", "c", {"a": "b", "empty": ""}), identity_of("n", "c", {})
    ledger.note_sent([(one, time, float(time)) for time in range(10)])
    ledger.note_acknowledged("native", [(one, time, float(time)) for time in range(5)])
    ledger.note_acknowledged("native", [(one, 4, 4.0)])

    assert one == ("m", "c", (("a", "b"),))
    assert ledger.by_sender == {"native": 5}
    # What was not acknowledged may be there or not.
    assert ledger.judge({one: [(time, float(time)) for time in range(7)]}).is_clean
    assert ledger.judge({}).missing == 5
    verdict = ledger.judge({one: [(1, 1.0), (1, 1.0), (2, 9.0), (99, 1.0)], other: [(1, 1.0)]})
    assert (verdict.missing, verdict.double, verdict.changed, verdict.foreign) == (3, 1, 1, 2)
    assert any("missing" in example for example in verdict.examples)
