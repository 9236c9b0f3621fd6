"""E-mail: sends through one SMTP server, which forwards the mail to the recipients.

Docs: docs/reference/notifications/email.md.
"""

import re
import ssl
from datetime import datetime
from typing import Annotated
from urllib.parse import SplitResult, unquote, urlsplit

import aiosmtplib
from aiosmtplib import SMTPException, SMTPRecipientsRefused, SMTPResponseException
from msgspec import Meta, Struct, field, structs

from model.errors import InvalidError
from notifications.delivery import (
    ANSWER_CHARS_MAX,
    Channel,
    ChannelType,
    DeliveryError,
    PermanentError,
    Receipt,
    TemporaryError,
    settings_of,
)
from notifications.message import Message
from notifications.posting import FIXED_FAILURES, note_sent
from notifications.rendering.mail import bytes_of, mail_of, one_line
from runtime.network.egress import Egress, EgressError
from runtime.network.smtp import Server, hand_over

TIMEOUT_S = 30.0
"""The deadline of one try. Some servers delay their answers to detect spam."""
RECIPIENTS_MAX = 10
ADDRESS_CHARS_MAX = 254
PORTS = {"smtp": 587, "smtps": 465}
ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
ADDRESS = re.compile(rf"(?=[^@]{{1,64}}@){ATOM}(?:\.{ATOM})*@{LABEL}(?:\.{LABEL})*")
PERMANENT_CODES = range(500, 600)
REFUSED = (
    (aiosmtplib.SMTPAuthenticationError, "the user or the password"),
    (aiosmtplib.SMTPSenderRefused, "the sender"),
    (aiosmtplib.SMTPDataError, "the mail"),
    (SMTPResponseException, "the session"),
)
"""What the server refused, by exception class. The first match counts, so subclasses come first."""


class EmailSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The sender and the recipients."""

    to: Annotated[
        tuple[str, ...],
        Meta(title="To", description="Mail addresses, one per line.", examples=["ops@example.org"]),
    ]
    sender: Annotated[
        str,
        Meta(title="From", description="The sender's address.", examples=["vigia@example.org"]),
    ] = field(name="from")
    plain: Annotated[
        bool,
        Meta(
            title="Without TLS",
            description="Connect without TLS. Only for a network where nobody can listen.",
        ),
    ] = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.to) <= RECIPIENTS_MAX:
            raise ValueError(f"`to` takes 1 to {RECIPIENTS_MAX} addresses, not {len(self.to)}")
        for address in (*self.to, self.sender):
            check_address(address)


def check_address(text: str) -> None:
    """Raise ValueError if a text is not a mail address."""
    if len(text) > ADDRESS_CHARS_MAX or not ADDRESS.fullmatch(text):
        raise ValueError(
            f"{text!r:.99} is not a mail address; write it like ops@example.org, without a name"
        )


async def send(egress: Egress, channel: Channel, message: Message, now: datetime) -> Receipt:
    """Send the mail. The receipt has its Message-ID and names refused recipients."""
    settings = settings_of(channel, EmailSettings)
    try:
        server = server_of(channel, may_be_plain=settings.plain)
    except InvalidError as error:
        raise PermanentError(str(error)) from error
    mail = mail_of(message, sender=settings.sender, to=settings.to, now=now)
    data = bytes_of(mail)
    note_sent(data)
    try:
        done = await hand_over(
            egress,
            server,
            sender=settings.sender,
            to=settings.to,
            mail=data,
            timeout_s=TIMEOUT_S,
        )
    except (EgressError, SMTPException, OSError) as error:
        raise _explained(error) from error
    refused = [_reply_text(name, *reply) for name, reply in done.refused.items()]
    answer = f"refused: {', '.join(refused)}; {done.answer}" if refused else done.answer
    answer = one_line(answer)[:ANSWER_CHARS_MAX]
    return Receipt(status=250, answer=answer, reference=str(mail["Message-ID"]))


def check(channel: Channel) -> None:
    """Check the URL and the secret. Raises InvalidError."""
    server_of(channel)


def readdress(channel: Channel, address: str) -> Channel:
    """Return the channel with one recipient. Raises InvalidError if it is not a mail address."""
    try:
        check_address(address)
    except ValueError as error:
        raise InvalidError(str(error)) from None
    return structs.replace(channel, settings={**channel.settings, "to": [address]})


def server_of(channel: Channel, *, may_be_plain: bool = False) -> Server:
    """Return the server of a channel's url and secret. Raises InvalidError."""
    parts = _parts(channel.url)
    user = unquote(parts.username or "")
    if user and not channel.secret:
        raise InvalidError("the url names a user: set secret to the user's password")
    if channel.secret and not user:
        raise InvalidError(
            "secret is a password, but the url names no user; write it like "
            f"{TYPE.url_example}, with %40 for an @ in the user's name"
        )
    return Server(
        host=parts.hostname or "",
        port=parts.port or PORTS[parts.scheme],
        user=user,
        password=channel.secret,
        is_tls=parts.scheme == "smtps",
        may_be_plain=may_be_plain,
    )


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url.strip())
        is_whole = bool(parts.hostname) and parts.port != 0 and parts.scheme in PORTS
        has_more = parts.path not in {"", "/"} or bool(parts.query or parts.fragment)
    except ValueError:
        is_whole = has_more = False
    if not is_whole or has_more:
        raise InvalidError(
            "the url must be smtp:// or smtps://, the user if the server needs one, the host and "
            f"the port, and nothing else; for example {TYPE.url_example}"
        )
    if parts.password is not None:
        raise InvalidError("the url must not hold a password; put it into secret instead")
    return parts


def _explained(error: Exception) -> DeliveryError:
    match error:
        case EgressError():
            kind = PermanentError if error.failure in FIXED_FAILURES else TemporaryError
            return kind(str(error))
        case SMTPRecipientsRefused():
            # If one recipient may be accepted later, another try makes sense.
            code = min(one.code for one in error.recipients)
            replies = (
                _reply_text(one.recipient, one.code, one.message) for one in error.recipients
            )
            return _refusal("every recipient", code, ", ".join(replies))
        case SMTPResponseException():
            what = next(what for kind, what in REFUSED if isinstance(error, kind))
            return _refusal(what, error.code, error.message)
        case aiosmtplib.SMTPNotSupported():
            return PermanentError(str(error))
    return TemporaryError(_lost(error))


def _reply_text(recipient: str, code: int, words: str) -> str:
    return f"{recipient} ({code} {words})"


def _refusal(what: str, code: int, words: str) -> DeliveryError:
    """Return the error of an SMTP reply: only 5xx is permanent (RFC 5321, section 4.2.1)."""
    kind = PermanentError if code in PERMANENT_CODES else TemporaryError
    reason = (
        f"the mail server refused {what}: {code}" if code > 0 else "the server does not speak SMTP"
    )
    return kind(reason, status=max(code, 0), answer=one_line(words))


def _lost(error: BaseException) -> str:
    """Return why the connection was lost: a TLS error, a timeout, or the server closed it."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"TLS: {cause.verify_message.rstrip('.')}"
    if cause is not None:
        return f"TLS: {(cause.reason or 'handshake failed').replace('_', ' ').lower()}"
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT_S:g} s"
    return "the mail server closed the connection"


TYPE = ChannelType(
    name="email",
    title="E-mail",
    shows_picture=True,
    send=send,
    settings=EmailSettings,
    url_example="smtp://user@mail.example.org:587",
    about="Mail through your own server, with the chart inside.",
    url_label="Mail server",
    url_hint="smtp:// uses STARTTLS, smtps:// uses TLS. Write the user before the @.",
    credential_label="Password",
    credential="the password of the user in the url",
    check=check,
    readdress=readdress,
)
