"""A critical alert makes a backup that holds what was acknowledged before its time."""

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest
from msgspec.structs import replace

from config.actions import BACKUP, Action
from db.backup.folder import Keep, read_all
from db.backup.making import verify
from db.backup.progress import Silent
from db.backup.restoring import restore
from db.engine import Engine
from db.pool import DatabasePool
from model.severity import Level
from model.times import utc_now
from notifications.actions.runner import Runner
from runtime.settings import Secret, Settings
from tests.db.backup.conftest import target_of
from tests.db.backup.test_restoring import SERIES, sending, started, turns_of
from tests.notifications.actions.test_starting import open_alert, runs, set_actions
from vigia.backups.backup import on_alert_folder
from vigia.backups.on_alert import BackupAction

ACTION = Action(name="b", kind="backup", wait_s=0, at_most_every_s=0, keep=Keep(1, 0, 0))


@pytest.fixture
def served(source: Settings, engine: Engine, database_url: str) -> Settings:
    """The settings of a service, whose commands are given them in the environment."""
    return source if engine.embedded else replace(source, database_url=Secret(database_url))


def runner_of(pool: DatabasePool, source: Settings) -> Runner:
    return Runner(
        kind=BACKUP,
        do=BackupAction(settings=source).do,
        pool=pool,
        actions=lambda: (ACTION,),
        lease=uuid4(),
        now=utc_now,
    )


async def request(pool: DatabasePool) -> int:
    wanted = {"name": "b", "kind": "backup", "wait_s": 0, "at_most_every_s": 0}
    await set_actions(pool, wanted)
    return await open_alert(pool, Level.CRITICAL, utc_now())


async def test_a_critical_alert_makes_a_backup_with_everything_acknowledged_before_it(
    pool: DatabasePool, engine: Engine, served: Settings, fresh: Settings
) -> None:
    async with sending(pool, engine, served.data_dir / "spool") as sender:
        await asyncio.sleep(0.5)
        alert = await request(pool)
        await runner_of(pool, served).run(utc_now())
    [run] = await runs(pool)
    assert (run.state, run.alert_id) == ("done", alert), run.result
    [made] = read_all(on_alert_folder(served))
    assert made.manifest is not None
    assert made.manifest.reason == f"alert {alert}: hot"
    before = [turn for at, turn in sender.acknowledged if at < made.manifest.time]
    during = [turn for at, turn in sender.acknowledged if at >= made.manifest.time]
    assert before
    assert during

    assert verify(Path(made.path), Silent()) == made.manifest
    # It compares the rows and checksums of every table with those of the backup's moment.
    assert await restore(Path(made.path), target_of(fresh), Silent()) == made.manifest
    async with started(fresh) as copy:
        found = await turns_of(copy)
    assert {turn: found.get(turn) for turn in before} == dict.fromkeys(before, len(SERIES))
    for kept in on_alert_folder(served).glob("*.backup"):
        kept.unlink()


async def test_a_backup_that_cannot_be_written_says_why_and_is_tried_again(
    pool: DatabasePool, served: Settings, tmp_path: Path
) -> None:
    await request(pool)
    runner = runner_of(pool, served)
    blocked = tmp_path / "data"
    (blocked / "backups").mkdir(parents=True)
    (blocked / "backups" / "on-alert").write_text("no folder")
    runner.do = BackupAction(
        settings=Settings(data_dir=blocked, database_url=served.database_url)
    ).do
    await runner.run(utc_now())

    [run] = await runs(pool)
    assert run.state == "waiting"
    assert run.result
