"""Mail servers on loopback: a real one, and ones that say what a test wants."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from msgspec import Struct, field

from tests.collectors.fake_targets import Act, showing

USER, PASSWORD = "vigia@example.org", "p%ss wörd"


class Received(Struct):
    """One mail as it was taken."""

    sender: str
    to: list[str]
    data: bytes
    is_encrypted: bool
    user: str | None

    @property
    def mail(self) -> EmailMessage:
        parsed = message_from_bytes(self.data, policy=policy.default)
        assert isinstance(parsed, EmailMessage)
        return parsed


class MailServer(Struct):
    """Takes mail, unless it is told to refuse a step with a reply."""

    host: str = "127.0.0.1"
    port: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    """Replies to recipients; those to steps are under `MAIL` and `DATA`."""
    received: list[Received] = field(default_factory=list)

    async def handle_MAIL(  # noqa: N802 (aiosmtpd names its hooks after the commands)
        self, _: SMTP, __: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if "MAIL" in self.refused:
            return self.refused["MAIL"]
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, _: SMTP, __: Session, envelope: Envelope, address: str, ___: list[str]
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if "DATA" in self.refused:
            return self.refused["DATA"]
        user = session.auth_data.login.decode() if session.auth_data else None
        kept = Received(
            sender=envelope.mail_from or "",
            to=list(envelope.rcpt_tos),
            data=bytes(envelope.original_content or b""),
            is_encrypted=session.ssl is not None,
            user=user,
        )
        self.received.append(kept)
        return f"250 queued as {len(self.received)}"

    def authenticate(
        self, _: SMTP, __: Session, ___: Envelope, ____: str, given: LoginPassword
    ) -> AuthResult:
        is_right = (given.login.decode(), given.password.decode()) == (USER, PASSWORD)
        return AuthResult(success=is_right, handled=False, auth_data=given if is_right else None)


@asynccontextmanager
async def open_mail_server(
    *, tls: str = "starttls", host: str = "127.0.0.1", certificate: str = "valid", **options: Any
) -> AsyncIterator[MailServer]:
    """Serve on a free port; `tls` is `starttls`, `at once` or `none`."""
    server, loop = MailServer(host=host), asyncio.get_running_loop()
    context = showing(certificate)
    # Where TLS begins with the connection, aiosmtpd does not know of it.
    by_command = tls == "starttls"
    options = {"auth_require_tls": by_command, "auth_required": by_command} | options
    listening = await loop.create_server(
        lambda: SMTP(
            server,
            hostname="mail.example.org",
            tls_context=context if by_command else None,
            require_starttls=by_command,
            authenticator=server.authenticate,
            loop=loop,
            **options,
        ),
        host,
        0,
        ssl=context if tls == "at once" else None,
    )
    try:
        server.port = listening.sockets[0].getsockname()[1]
        yield server
    finally:
        listening.close()
        await listening.wait_closed()


def saying_in_turn(*replies: bytes) -> Act:
    """Greet with the first reply, answer each command with the next, and then hang up."""

    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in replies:
            writer.write(reply)
            await writer.drain()
            await reader.readline()

    return act
