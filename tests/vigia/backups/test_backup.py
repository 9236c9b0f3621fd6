"""Backups as commands make them: a copy that is restored begins with notifications paused."""

from pathlib import Path

from db.backup.progress import Silent
from db.engine import Engine, open_engine
from db.pool import DatabasePool, open_pool
from notifications.outbox import pause
from runtime.settings import Settings
from vigia.backups import backup


async def test_a_restored_copy_begins_with_notifications_paused(
    pool: DatabasePool, engine: Engine, source: Settings, fresh: Settings, tmp_path: Path
) -> None:
    async with pool.connection() as connection:
        assert not (await pause.read(connection)).paused
    made = await backup.back_up(source, tmp_path / "backups", "a test", Silent())
    await backup.restore(fresh, Path(made.path), Silent(), replace=False)

    async with (
        open_engine(fresh) as copy,
        open_pool(copy.dsn, embedded=engine.embedded) as copied,
        copied.connection() as connection,
    ):
        found = await pause.read(connection)
    assert (found.paused, found.paused_by) == (True, "vigia restore")
