"""Listens for replies to the bots of all enabled Telegram channels."""

import asyncio
from collections.abc import Callable
from datetime import datetime

import structlog
from msgspec import Struct

from db.failures import FAILURES
from notifications import channel_store
from notifications.channel_store import Stored
from notifications.outbox.pool_share import PoolShare
from notifications.replies.reply import OnReply
from notifications.replies.telegram import listen
from runtime.encryption.secret_keys import SecretKeys
from runtime.network.egress import Egress

log = structlog.get_logger()

LOOK_EVERY_S = 10.0


class Listeners(Struct, frozen=True, kw_only=True):
    """One task for each bot. Telegram allows one polling process per bot; the others wait."""

    pool: PoolShare
    egress: Egress
    keys: SecretKeys
    on_reply_of: Callable[[int], OnReply]
    now: Callable[[], datetime]

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as group:
            tasks: dict[tuple[int, datetime], asyncio.Task[None]] = {}
            while True:
                try:
                    wanted = {(one.id, one.updated_at): one for one in await self._channels()}
                except FAILURES as error:
                    # Running tasks continue. Only changes of channels wait for the database.
                    log.warning("channels_not_read", reason=str(error))
                else:
                    for key in tasks.keys() - wanted.keys():
                        tasks.pop(key).cancel()
                    for key in wanted.keys() - tasks.keys():
                        tasks[key] = group.create_task(self._listen(wanted[key]))
                await asyncio.sleep(LOOK_EVERY_S)

    async def _channels(self) -> list[Stored]:
        async with self.pool.connection() as connection:
            found = await channel_store.read_all(connection)
        return [one for one in found if one.type == "telegram" and one.enabled]

    async def _listen(self, stored: Stored) -> None:
        try:
            channel = channel_store.opened_by(self.keys, stored)
        except FAILURES as error:
            log.warning("channel_unusable", channel=stored.name, reason=str(error))
            return
        await listen(
            self.egress,
            channel,
            self.on_reply_of(stored.id),
            self.now,
            language=stored.language,
        )
