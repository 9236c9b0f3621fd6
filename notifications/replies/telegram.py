"""Receives replies from Telegram: pressed buttons, and texts such as `/ack 41`.

Vigia polls with long requests, so that it needs no public address. Telegram allows one polling
process per bot.
"""

import asyncio
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

import msgspec
import structlog
from msgspec import Raw, Struct, field

from model.errors import DomainError
from notifications.channels.telegram import TelegramSettings, call
from notifications.cutting import cut
from notifications.delivery import Channel, DeliveryError, TemporaryError, settings_of
from notifications.message import Language
from notifications.replies.reply import ID_DIGITS_MAX, Action, OnReply, Reply, pressed
from notifications.replies.words import WORDS, ReplyWords
from runtime.network.egress import Egress

log = structlog.get_logger()

POLL_S = 25
"""How long Telegram keeps a request open if there are no updates."""
ANSWER_S = 10.0
"""How much longer an answer may take than the open request."""
UPDATES_MAX = 10
UPDATES_BYTES_MAX = 2 * 1024 * 1024
"""Far more than ten updates can have, each with the message that it replies to."""
TOAST_LENGTH_MAX = 200
SENDER_LENGTH_MAX = 100
PAUSE_S_MAX = 60.0

COMMAND = re.compile(r"/(ack|acknowledge|resolve)(?:@\w+)?(?:\s+(.*))?", re.DOTALL)
ALERT_ID = re.compile(rf"#?([0-9]{{1,{ID_DIGITS_MAX}}})\s*")
ACTIONS = {
    "ack": Action.ACKNOWLEDGE,
    "acknowledge": Action.ACKNOWLEDGE,
    "resolve": Action.RESOLVE,
}


class User(Struct):
    id: int
    first_name: str = ""
    last_name: str = ""
    username: str = ""


class Chat(Struct):
    id: int
    username: str = ""


class ChatMessage(Struct):
    chat: Chat
    message_id: int
    sender: User | None = field(default=None, name="from")
    text: str = ""


class CallbackQuery(Struct):
    id: str
    sender: User = field(name="from")
    message: ChatMessage | None = None
    data: str = ""


class Update(Struct):
    update_id: int
    message: ChatMessage | None = None
    callback_query: CallbackQuery | None = None


class Numbered(Struct):
    update_id: int


class Updates(Struct):
    ok: Literal[True]
    result: list[Raw]


async def listen(
    egress: Egress,
    channel: Channel,
    on_reply: OnReply,
    clock: Callable[[], datetime],
    *,
    language: Language = Language.ENGLISH,
) -> None:
    """Poll until cancelled.

    After a restart, Telegram repeats the updates that were not confirmed by a later poll.
    """
    offset, failures = 0, 0
    while True:
        try:
            offset = await poll(
                egress, channel, on_reply, clock(), offset=offset, language=language
            )
            failures = 0
        except DeliveryError as error:
            failures += 1
            asked_s = error.retry_after_s if isinstance(error, TemporaryError) else None
            log.warning("replies_wait", channel=channel.name, reason=str(error))
            await asyncio.sleep(max(asked_s or 0.0, min(2.0 ** min(failures, 10), PAUSE_S_MAX)))


async def poll(
    egress: Egress,
    channel: Channel,
    on_reply: OnReply,
    now: datetime,
    *,
    offset: int,
    poll_s: int = POLL_S,
    language: Language = Language.ENGLISH,
) -> int:
    """Wait for updates, act on those of the configured chat, and return the next offset.

    A poll with that offset confirms all earlier updates, and Telegram deletes them. With offset 0,
    Telegram returns all updates that it still has. So an update is confirmed only after Vigia has
    acted on it. Raises DeliveryError.
    """
    question = {
        "offset": offset,
        "timeout": poll_s,
        "limit": UPDATES_MAX,
        "allowed_updates": ["message", "callback_query"],
    }
    updates: list[tuple[int, Raw]] = []

    def read(answer: bytes) -> str:
        found = msgspec.json.decode(answer, type=Updates).result
        updates.extend((msgspec.json.decode(raw, type=Numbered).update_id, raw) for raw in found)
        return ""

    limits: dict[str, Any] = {
        "timeout_s": poll_s + ANSWER_S,
        "answer_bytes_max": UPDATES_BYTES_MAX,
    }
    await call(egress, channel, "getUpdates", _json(question), now, read=read, **limits)
    answers = Replies(egress, channel, on_reply, now, WORDS[language])
    for number, raw in updates:
        await answers.to(raw)
        offset = max(offset, number + 1)
    return offset


class Replies(Struct, frozen=True):
    """Acts on updates and sends the result to each sender."""

    egress: Egress
    channel: Channel
    on_reply: OnReply
    now: datetime
    words: ReplyWords

    async def to(self, raw: Raw) -> None:
        """Act on one update. Ignore it if it is malformed or from another chat."""
        try:
            update = msgspec.json.decode(raw, type=Update)
        except (msgspec.MsgspecError, ValueError):
            return
        if update.callback_query:
            await self._to_button(update.callback_query)
        elif update.message:
            await self._to_text(update.message)

    async def _to_button(self, query: CallbackQuery) -> None:
        if query.message is None or not self._is_ours(query.message.chat):
            return
        reply = pressed(query.data, _name(query.sender))
        words = await self._act(reply) if reply else self.words.old_button
        toast = {"callback_query_id": query.id, "text": cut(words, TOAST_LENGTH_MAX)}
        await self._reply("answerCallbackQuery", toast)

    async def _to_text(self, message: ChatMessage) -> None:
        command = COMMAND.fullmatch(message.text.strip())
        if command is None or message.sender is None or not self._is_ours(message.chat):
            return
        alert = ALERT_ID.fullmatch(command[2] or "")
        words = self.words.chat_help
        if alert:
            sender, action = _name(message.sender), ACTIONS[command[1]]
            words = await self._act(Reply(action=action, sender=sender, alert_id=int(alert[1])))
        answered = {"message_id": message.message_id, "allow_sending_without_reply": True}
        answer = {"chat_id": message.chat.id, "text": words, "reply_parameters": answered}
        await self._reply("sendMessage", answer)

    async def _act(self, reply: Reply) -> str:
        try:
            return await self.on_reply(reply)
        except DomainError as error:
            return str(error)

    async def _reply(self, method: str, fields: dict[str, Any]) -> None:
        """Send an answer. A failure is only logged, because the action itself has succeeded."""
        try:
            await call(self.egress, self.channel, method, _json(fields), self.now)
        except DeliveryError as error:
            log.info("reply_unanswered", channel=self.channel.name, reason=str(error))

    def _is_ours(self, chat: Chat) -> bool:
        """Return whether a chat may act.

        Anybody can write to a bot, so all other chats are ignored.
        """
        ours = str(settings_of(self.channel, TelegramSettings).chat_id)
        if ours.startswith("@"):
            return ours.lower() == f"@{chat.username}".lower()
        return ours == str(chat.id)


def _name(user: User) -> str:
    """Return a user's name with the id, because users choose their names freely."""
    chosen = user.username or f"{user.first_name} {user.last_name}"
    printable = "".join(letter for letter in chosen if letter.isprintable()).strip()
    return f"{cut(printable, SENDER_LENGTH_MAX)} (Telegram {user.id})".strip()


def _json(fields: dict[str, Any]) -> tuple[str, bytes]:
    return "application/json", msgspec.json.encode(fields)
