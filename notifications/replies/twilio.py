"""Receives replies by SMS: Twilio posts them to Vigia, signed, and gets TwiML as the answer.

`41a` acknowledges alert 41, `41r` resolves it, and `41aa` acknowledges all firing alerts of the
channel. STOP and START end and resume messages; Twilio itself answers them.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from msgspec import Struct, field

from model.errors import DomainError
from notifications.message import Language
from notifications.rendering.sms import fitting
from notifications.replies.reply import ID_DIGITS_MAX, Action, OnReply, Reply
from notifications.replies.words import WORDS

FIELDS_MAX = 200
HELP_PERIOD = timedelta(hours=1)
HELP_SENDERS_MAX = 1000
COMMAND = re.compile(rf"#?([0-9]{{1,{ID_DIGITS_MAX}}})\s*(aa|a|r)", re.IGNORECASE)
ACTIONS = {"a": Action.ACKNOWLEDGE, "aa": Action.ACKNOWLEDGE_ALL, "r": Action.RESOLVE}
KEYWORDS = {
    **dict.fromkeys(
        ("stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout"),
        Action.STOP,
    ),
    **dict.fromkeys(("start", "unstop", "yes"), Action.START),
}
ANSWERED_BY_TWILIO = {"help", "info"}
SILENCE = '<?xml version="1.0" encoding="UTF-8"?><Response/>'

Fields = Sequence[tuple[str, str]]


class UnsignedError(Exception):
    """The signature is wrong: the request is not from Twilio, or VIGIA_PUBLIC_URL is wrong."""


class HelpLimit(Struct):
    """Sends help to each sender at most once an hour.

    Otherwise two programs could answer each other endlessly.
    """

    helped_at: dict[str, datetime] = field(default_factory=dict)

    def allows(self, sender: str, now: datetime) -> bool:
        """Return whether to send help now. If so, remember the time."""
        self.helped_at = {one: at for one, at in self.helped_at.items() if now - at < HELP_PERIOD}
        if sender in self.helped_at or len(self.helped_at) >= HELP_SENDERS_MAX:
            return False
        self.helped_at[sender] = now
        return True


class Inbox(Struct, frozen=True, kw_only=True):
    """Handles the requests that Twilio posts for one channel."""

    token: str
    """The account's auth token, which is the key of the signatures."""
    url: str
    """The public URL that was configured at Twilio, with its query."""
    numbers: Collection[str]
    """The phone numbers that may act, such as +5511912345678.

    A sender number can be forged, so do not publish the receiving number.
    """
    on_reply: OnReply
    help_limit: HelpLimit
    language: Language = Language.ENGLISH

    async def receive(self, body: bytes, signature: str, now: datetime) -> str:
        """Act on one message and return the answer as TwiML. Raises UnsignedError."""
        fields = _fields_of(body)
        if not hmac.compare_digest(signature_of(self.token, self.url, fields), signature.encode()):
            raise UnsignedError
        by_name = dict(fields)
        sender, text = by_name.get("From", ""), by_name.get("Body", "")
        return twiml(await self._answer(sender, text.strip(), now))

    async def _answer(self, sender: str, text: str, now: datetime) -> str:
        if sender not in self.numbers:
            return ""
        if action := KEYWORDS.get(text.lower()):
            await self._do(Reply(action=action, sender=sender))
            return ""
        if command := COMMAND.fullmatch(text):
            action = ACTIONS[command[2].lower()]
            return await self._do(Reply(action=action, sender=sender, alert_id=int(command[1])))
        if text.lower() in ANSWERED_BY_TWILIO or not self.help_limit.allows(sender, now):
            return ""
        return WORDS[self.language].sms_help

    async def _do(self, reply: Reply) -> str:
        try:
            return await self.on_reply(reply)
        except DomainError as error:
            return str(error)


def _fields_of(body: bytes) -> Fields:
    text = body.decode("utf-8", "replace")
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError as error:
        raise UnsignedError from error


def signature_of(token: str, url: str, fields: Fields) -> bytes:
    """Return the header `X-Twilio-Signature` of a request.

    Twilio signs the full URL followed by all names and values, sorted by name.
    """
    signed = url + "".join(name + value for name, value in sorted(set(fields)))
    digest = hmac.new(token.encode(), signed.encode(), hashlib.sha1)
    return base64.b64encode(digest.digest())


def twiml(text: str) -> str:
    """Return TwiML with one message, or without a message if the text is empty."""
    if not text:
        return SILENCE
    words = escape(fitting(text, ""))
    return f'<?xml version="1.0" encoding="UTF-8"?><Response><Message>{words}</Message></Response>'
