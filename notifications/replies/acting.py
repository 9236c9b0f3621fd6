"""Acts on replies to messages: by a link, a button or a text."""

from collections.abc import Callable, Sequence
from datetime import datetime

import psycopg
import structlog
from msgspec import Struct

from alerts.acts import ACKNOWLEDGE, ACTS, RESOLVE, Act, take
from alerts.announcing import OnTransitions
from alerts.clock import lock
from db import queries
from db.queries import Connection
from model.errors import ConflictError, InvalidError, UnavailableError
from notifications import link_store, links
from notifications.link_store import StoredLink
from notifications.links import Token
from notifications.outbox.pool_share import PoolShare
from notifications.replies.reply import Action, Reply
from runtime.encryption.secret_keys import SecretKeys

log = structlog.get_logger()

_QUERIES = queries.load(__file__)
FIRING = _QUERIES["firing"]

COMMENT = "by an answer to a message"
ACT_OF: dict[Action, Act] = {
    Action.ACKNOWLEDGE: ACKNOWLEDGE,
    Action.ACKNOWLEDGE_ALL: ACKNOWLEDGE,
    Action.RESOLVE: RESOLVE,
}


class Acting(Struct, frozen=True, kw_only=True):
    """Acts on the replies to one channel, in the name of the sender of each."""

    pool: PoolShare
    keys: SecretKeys
    channel_id: int
    on_transitions: Sequence[OnTransitions]
    announce: Callable[[], None]
    now: Callable[[], datetime]

    async def on_reply(self, reply: Reply) -> str:
        """Do what a reply asks for and return the text to send back. Raises DomainError."""
        if reply.action not in ACT_OF:
            # STOP and START: the provider itself stores who wants no messages.
            return ""
        try:
            async with self.pool.connection() as connection, connection.transaction():
                words = await self._act(connection, reply)
        except (psycopg.Error, TimeoutError) as error:
            log.warning("reply_failed", reason=str(error))
            raise UnavailableError("Vigia cannot reach its database; reply again soon") from error
        self.announce()
        return words

    async def _act(self, connection: Connection, reply: Reply) -> str:
        if reply.action is Action.ACKNOWLEDGE_ALL:
            return await self._acknowledge_all(connection, reply.sender)
        if reply.token:
            return await self._follow(connection, reply)
        if reply.alert_id is None:
            raise InvalidError("write the number of the alert, such as 41")
        act = ACT_OF[reply.action]
        await take(
            connection, act, reply.alert_id, self.now(), reply.sender, self.on_transitions, COMMENT
        )
        return f"Alert {reply.alert_id} is {act.transition}."

    async def _follow(self, connection: Connection, reply: Reply) -> str:
        """Use the link of a button, in the name of the person who pressed it."""
        now = self.now()
        token = links.read(self.keys.derive(links.PURPOSE), reply.token, now)
        found = await link_store.find(connection, token)
        await follow(connection, token, found, now, self.on_transitions, reply.sender)
        return f"Alert {found.alert_id} is {ACTS[found.action].transition}."

    async def _acknowledge_all(self, connection: Connection, sender: str) -> str:
        await lock(connection)
        cursor = await connection.execute(FIRING, {"channel_id": self.channel_id})
        ids = [alert_id for (alert_id,) in await cursor.fetchall()]
        for alert_id in ids:
            await take(
                connection, ACKNOWLEDGE, alert_id, self.now(), sender, self.on_transitions, COMMENT
            )
        return f"{len(ids)} acknowledged." if ids else "No alert of this channel is firing."


async def follow(
    connection: Connection,
    token: Token,
    found: StoredLink,
    now: datetime,
    on_transitions: Sequence[OnTransitions],
    sender: str = "",
) -> None:
    """Use a link and act on its alert.

    The lock of the alerts comes first, in the same order as everywhere else. Raises ConflictError
    if the link was used before. The exception rolls the transaction back, so a failed action does
    not use up the link.
    """
    await lock(connection)
    if not await link_store.use(connection, token, now):
        raise ConflictError("this link was already used")
    act = ACTS[found.action]
    actor = sender or found.person
    await take(connection, act, found.alert_id, now, actor, on_transitions, COMMENT)
