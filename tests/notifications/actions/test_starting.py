"""Which alerts start which actions, and how often."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from alerts import store as alerts
from alerts.announcing import announce
from alerts.clock import lock
from config import store as config
from config.actions import Action
from db.queries import Connection, Pool
from model.series import Category
from model.severity import Level
from model.times import utc_now
from notifications.actions import run_store
from notifications.actions.run_store import ID_MAX, ActionRun, OpenedAlert
from notifications.actions.starting import is_started, start

ALERT = OpenedAlert(
    transition_id=1, alert_id=1, level=Level.CRITICAL, category=Category.SYSTEM, component="web",
    rule="hot", labels={"host": "a", "zone": "b"},
)  # fmt: skip


@asynccontextmanager
async def announcing(pool: Pool, now: datetime) -> AsyncIterator[Connection]:
    async with pool.connection() as connection, connection.transaction():
        await lock(connection)
        yield connection
        await announce(connection, now, [start])


async def open_alert(pool: Pool, level: Level, now: datetime) -> int:
    async with announcing(pool, now) as connection:
        alert_id = await alerts.open_test(
            connection, now, level, Category.SYSTEM, "web", "hot", "very"
        )
        await alerts.log_transition(connection, alert_id, now, "opened", "auto")
    return alert_id


async def runs(pool: Pool) -> list[ActionRun]:
    async with pool.connection() as connection:
        return (await run_store.read_all(connection, ID_MAX, 100))[::-1]


async def set_actions(pool: Pool, *actions: dict[str, Any]) -> None:
    async with pool.connection() as connection:
        await config.write(connection, "actions", list(actions), utc_now(), "test")


async def test_a_critical_alert_starts_a_backup_without_any_setting(pool: Pool) -> None:
    now = utc_now()
    await open_alert(pool, Level.WARNING, now)
    alert = await open_alert(pool, Level.CRITICAL, now)

    [run] = await runs(pool)
    assert (run.kind, run.alert_id, run.alert, run.state) == ("backup", alert, "hot", "waiting")
    assert run.run_at == now + timedelta(seconds=30)


async def test_at_most_one_backup_is_started_within_an_hour(pool: Pool) -> None:
    now = utc_now()
    first = await open_alert(pool, Level.CRITICAL, now)
    await open_alert(pool, Level.EMERGENCY, now + timedelta(minutes=59))
    second = await open_alert(pool, Level.CRITICAL, now + timedelta(minutes=61))

    assert [run.alert_id for run in await runs(pool)] == [first, second]


async def test_without_a_spacing_each_alert_starts_the_action(pool: Pool) -> None:
    hook = {"name": "hook", "kind": "webhook", "channel": "hook", "at_most_every_s": 0}
    await set_actions(pool, hook)
    now = utc_now()
    ids = [await open_alert(pool, Level.CRITICAL, now) for _ in range(3)]

    assert [run.alert_id for run in await runs(pool)] == ids


class CrashError(Exception):
    """The transaction of an alert ends with it."""


async def open_and_crash(pool: Pool) -> None:
    async with announcing(pool, utc_now()) as connection:
        alert_id = await alerts.open_test(
            connection, utc_now(), Level.CRITICAL, Category.SYSTEM, "web", "hot", "very"
        )
        await alerts.log_transition(connection, alert_id, utc_now(), "opened", "auto")
        await announce(connection, utc_now(), [start])
        raise CrashError


async def test_no_action_is_started_by_an_alert_whose_transaction_failed(pool: Pool) -> None:
    with pytest.raises(CrashError):
        await open_and_crash(pool)

    assert await runs(pool) == []


async def test_an_action_that_is_off_is_not_started(pool: Pool) -> None:
    await set_actions(pool, {"name": "b", "kind": "backup", "enabled": False})
    await open_alert(pool, Level.CRITICAL, utc_now())

    assert await runs(pool) == []


def test_an_alert_starts_an_action_when_it_has_everything_that_is_given() -> None:
    action = Action(name="b", kind="backup")
    given = {
        "category": Category.SYSTEM, "component": "web", "rule": "hot", "labels": {"host": "a"},
    }  # fmt: skip
    others = {
        "category": Category.TRADING, "component": "db", "rule": "cold", "labels": {"host": "b"},
        "min_level": Level.EMERGENCY,
    }  # fmt: skip

    assert is_started(replace(action, **given), ALERT)
    for name, other in others.items():
        assert not is_started(replace(action, **{name: other}), ALERT)
