"""Makes and restores backups of the database in the settings."""

from pathlib import Path

from db.backup import making, restoring
from db.backup.making import Made, Wanted
from db.backup.manifest import Manifest
from db.backup.progress import Progress
from db.backup.restoring import Target
from db.engine import FILES, open_engine
from db.queries import Connection
from model.errors import ConflictError
from model.times import utc_now
from notifications.outbox.pause import PAUSE_RESTORED, pause_restored
from runtime.settings import Settings

FOLDER = "backups"
ON_ALERT = "on-alert"
"""In the folder of backups: apart from those that people made, which no policy deletes."""
SPOOL = "spool"


async def back_up(settings: Settings, to: Path | None, reason: str, progress: Progress) -> Made:
    """Back up the database; start its engine if the service does not run.

    Raises ConflictError if there is no database, and whatever `making.make` raises.
    """
    if settings.database_url is None and not (settings.data_dir / FILES).exists():
        raise ConflictError(
            f"there is no database in {settings.data_dir.resolve()}; run this with the "
            "VIGIA_DATA_DIR or the VIGIA_DATABASE_URL of the service"
        )
    wanted = Wanted(
        folder=to or folder_of(settings),
        reason=reason,
        spool=settings.data_dir / SPOOL,
        closing=(PAUSE_RESTORED,),
    )
    async with open_engine(settings, share=True) as engine:
        return await making.make(engine, settings, wanted, progress)


def folder_of(settings: Settings) -> Path:
    """Return the folder of backups."""
    return settings.data_dir / FOLDER


def on_alert_folder(settings: Settings) -> Path:
    """Return the folder of the backups that alerts have started."""
    return settings.data_dir / FOLDER / ON_ALERT


async def restore(settings: Settings, path: Path, progress: Progress, *, replace: bool) -> Manifest:
    """Restore a backup, with notifications paused. Raises whatever `restoring.restore` raises."""

    async def finish(connection: Connection) -> None:
        await pause_restored(connection, utc_now())

    target = Target(
        settings=settings, spool=settings.data_dir / SPOOL, replace=replace, finish=finish
    )
    return await restoring.restore(path, target, progress)
