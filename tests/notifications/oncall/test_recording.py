"""Who was on call is recorded as it happens, and each hand-over is announced once."""

import asyncio
import random
from datetime import datetime, timedelta

import pytest

from notifications.oncall import recording, schedule_store
from notifications.oncall.schedule import Override, shifts
from tests.notifications.oncall.staff import BEGIN, Staff, utc

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
POINTS = ("before_commit", "after_commit", "before_send", "after_send", "after_mark")


class CrashError(Exception):
    """The process ends here."""


async def on_paper(staff: Staff, until: datetime) -> list[tuple[datetime, datetime, list[str]]]:
    """Return the shifts as they are computed at once, before anything is recorded."""
    async with staff.pool.connection() as connection:
        schedule = await schedule_store.load(connection, "ops", BEGIN, BEGIN)
    assert schedule is not None
    found = shifts(schedule, BEGIN, until)
    return [(one.starts_at, one.ends_at, list(one.people)) for one in found if one.people]


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_what_is_recorded_at_any_times_is_what_the_rotations_say(
    staff: Staff, seed: int
) -> None:
    chance = random.Random(seed)
    await staff.hire("ana", "bo", "cy")
    await staff.schedule("ana", "bo", "cy")
    gap = Override(starts_at=BEGIN + 5 * HOUR, ends_at=BEGIN + 9 * HOUR, out="ana")
    await staff.override(gap, BEGIN)
    until = BEGIN + 9 * DAY
    expected = await on_paper(staff, until)
    moments = sorted(BEGIN + chance.random() * 9 * DAY for _ in range(25))
    for moment in [*moments, until]:
        await staff.record(moment)

    recorded = await staff.recorded()
    assert [(one.starts_at, one.ends_at, list(one.people)) for one in recorded] == expected
    assert len(expected) == 11


async def test_those_who_come_and_those_who_leave_are_told_at_the_minute_of_the_hand_over(
    staff: Staff,
) -> None:
    await staff.hire("ana", tz="Europe/Lisbon")
    await staff.hire("bo", tz="America/Sao_Paulo", language="pt-BR")
    await staff.schedule("ana", "bo")
    change = utc("2024-03-26 09:00")
    await staff.record(change - MINUTE)
    assert await staff.telling.deliveries() == []
    for moment in (change, change + MINUTE, change + MINUTE):
        await staff.record(moment)

    heard = {one.person: one for one in await staff.send(2)}
    assert (heard["ana"].event, heard["bo"].event) == ("shift_ended", "shift_started")
    assert heard["ana"].title == "You are no longer on call: ops"
    assert heard["ana"].text == "From 09:00 WET on\nNow on call: bo"
    assert heard["bo"].title == "Você está de plantão: ops"
    assert heard["bo"].text == "De 06:00 até 27 mar 06:00 UTC-3\nVocê assume o lugar de ana"
    kinds = {one.kind for one in await staff.telling.deliveries()}
    assert kinds == {"on_call"}


async def test_every_hand_over_of_a_fortnight_is_announced_once(staff: Staff) -> None:
    await staff.hire("ana", "bo", "cy")
    await staff.schedule("ana", "bo", "cy")
    for hour in range(1, 14 * 24):
        await staff.record(BEGIN + hour * HOUR)
    written = await staff.telling.deliveries()

    started = [one.person for one in written if one.event == "shift_started"]
    ended = [one.person for one in written if one.event == "shift_ended"]
    assert started == ["bo", "cy", "ana"] * 4 + ["bo", "cy"]
    assert ended == ["ana", "bo", "cy"] * 4 + ["ana", "bo"]
    assert len({one.key for one in written}) == len(written)


async def test_after_a_long_pause_each_person_hears_only_what_holds_now(staff: Staff) -> None:
    await staff.hire("ana", "bo", "cy")
    await staff.schedule("ana", "bo", "cy")
    await staff.record(BEGIN + 100 * DAY + HOUR)

    last = {one.person: one.event for one in await staff.telling.deliveries()}
    assert last == {"ana": "shift_ended", "bo": "shift_started", "cy": "shift_ended"}
    assert len(await staff.telling.deliveries()) == 3
    assert len(await staff.recorded()) == 101


async def test_whoever_comes_on_call_by_a_change_is_told_at_once(staff: Staff) -> None:
    await staff.hire("ana", "bo")
    await staff.schedule("ana")
    now = BEGIN + HOUR
    async with staff.pool.connection() as connection, connection.transaction():
        await recording.catch_up(connection, "ops", now)
        taken = Override(starts_at=now, ends_at=now + HOUR, in_="bo", everyone=True)
        await schedule_store.add_override(connection, "ops", taken, now, "test")
        await recording.notify_changes(connection, "ops", now)
    await staff.record(now + MINUTE)

    written = {one.person: one.event for one in await staff.telling.deliveries()}
    assert written == {"ana": "shift_ended", "bo": "shift_started"}
    await staff.record(now + 2 * HOUR)
    assert [(one.person, one.event) for one in (await staff.telling.deliveries())[2:]] == [
        ("bo", "shift_ended"),
        ("ana", "shift_started"),
    ]


async def test_a_clock_that_was_set_back_changes_nothing(staff: Staff) -> None:
    await staff.hire("ana", "bo")
    await staff.schedule("ana", "bo")
    await staff.record(BEGIN + 2 * DAY)
    before = (await staff.recorded(), await staff.telling.deliveries())
    await staff.record(BEGIN + DAY)

    assert (await staff.recorded(), await staff.telling.deliveries()) == before


async def test_replicas_that_record_at_the_same_time_announce_once(staff: Staff) -> None:
    await staff.hire("ana", "bo")
    await staff.schedule("ana", "bo")
    await asyncio.gather(*(staff.record(BEGIN + DAY) for _ in range(4)))

    assert len(await staff.telling.deliveries()) == 2
    assert len(await staff.recorded()) == 2


async def crash_at(staff: Staff, point: str, now: datetime) -> None:
    """Record, and send what waits, until the process ends at a point."""

    def reach(name: str) -> None:
        if name == point:
            raise CrashError

    try:
        await staff.recorder(reach).run(now)
    except CrashError:
        return
    ended = asyncio.Event()

    def stop(name: str) -> None:
        if name == point:
            ended.set()
            raise asyncio.CancelledError

    dispatcher = staff.telling.dispatcher(reach=stop)
    task = asyncio.create_task(dispatcher.run())
    waiting = asyncio.create_task(ended.wait())
    await asyncio.wait([task, waiting], timeout=0.2, return_when=asyncio.FIRST_COMPLETED)
    for one in (task, waiting):
        one.cancel()
    await asyncio.wait([task, waiting])


@pytest.mark.parametrize("seed", [1, 2])
async def test_no_crash_in_a_hand_over_loses_a_message_or_changes_a_key(
    staff: Staff, seed: int
) -> None:
    chance = random.Random(seed)
    await staff.hire("ana", "bo", "cy")
    await staff.schedule("ana", "bo", "cy")
    first, hand_overs = utc("2024-03-26 09:00"), 6
    for number in range(hand_overs):
        change = first + number * DAY if number < 5 else utc("2024-03-31 08:00")
        for minute in range(3):
            await crash_at(staff, chance.choice(POINTS), change + minute * MINUTE)
        await staff.record(change + 3 * MINUTE)
    heard = await staff.send(2 * hand_overs)

    logged = {one.key for one in await staff.telling.deliveries()}
    assert len(logged) == 2 * hand_overs
    assert {one.key for one in heard} == logged
    said = {(one.key, one.person, one.event, one.title) for one in heard}
    assert len(said) == len(logged)
