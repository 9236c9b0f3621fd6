"""The action `backup`: a backup because of an alert, made by a process of its own.

It compresses, and reads everything back: the service serves meanwhile as if nothing was.
"""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from alerts.store import Alert
from config.actions import Action
from db.backup.folder import drop_old
from db.backup.making import Made
from model.errors import UnavailableError
from notifications.actions.run_store import DueRun
from runtime.settings import PREFIX, Settings
from vigia.backups.backup import on_alert_folder

DEADLINE_S = 5 * 3600.0
"""Within the lease of its run."""
STOP_WITHIN_S = 5.0
MEGABYTE = 1e6
WORDS_MAX = 500


class BackupAction(Struct, frozen=True, kw_only=True):
    """Makes backups of the database that the settings name."""

    settings: Settings

    async def do(self, action: Action, alert: Alert, run: DueRun) -> str:  # noqa: ARG002 (as every action)
        """Back up, and drop what the action does not keep. Raises UnavailableError, OSError."""
        folder = on_alert_folder(self.settings)
        made = await self._make(folder, f"alert {alert.id}: {alert.title}")
        dropped = await asyncio.to_thread(drop_old, folder, action.keep)
        gone = f"; {len(dropped)} older dropped" if dropped else ""
        return f"{made.path}: {made.bytes / MEGABYTE:.1f} MB, {made.manifest.rows} rows{gone}"

    async def _make(self, folder: Path, reason: str) -> Made:
        command = ("-m", "vigia", "backup", "--to", str(folder), "--reason", reason, "--json")
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, env=self._environment(), stdout=PIPE, stderr=PIPE
        )
        try:
            async with asyncio.timeout(DEADLINE_S):
                said, complaint = await process.communicate()
        except TimeoutError:
            raise UnavailableError(f"the backup took more than {DEADLINE_S:g} s") from None
        finally:
            await _stop(process)
        if process.returncode:
            words = complaint.decode("utf-8", "replace").strip()[-WORDS_MAX:]
            raise UnavailableError(words or f"the backup ended with {process.returncode}")
        return msgspec.json.decode(said, type=Made)

    def _environment(self) -> dict[str, str]:
        """Return the environment of a command that finds the service's database."""
        kept = {name: text for name, text in os.environ.items() if not name.startswith(PREFIX)}
        kept[f"{PREFIX}DATA_DIR"] = str(self.settings.data_dir.resolve())
        if self.settings.engine_dir is not None:
            kept[f"{PREFIX}ENGINE_DIR"] = str(self.settings.engine_dir.resolve())
        if self.settings.database_url is not None:
            kept[f"{PREFIX}DATABASE_URL"] = self.settings.database_url.reveal()
        return kept


async def _stop(process: Process) -> None:
    """End a process that still runs, because the service stops or the deadline is over."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_WITHIN_S):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
