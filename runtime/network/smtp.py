"""Sends mail through an SMTP server, on an encrypted connection to an allowed address."""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import NamedTuple

from aiosmtplib import SMTP, SMTPException, SMTPNotSupported
from msgspec import Struct

from runtime.network.connection import connect
from runtime.network.egress import Egress, EgressError, Failure

QUIT_S = 1.0


class Server(Struct, frozen=True, kw_only=True):
    """An SMTP server, and the user to sign in with (empty: no sign-in)."""

    host: str
    port: int
    user: str = ""
    password: str = ""
    is_tls: bool = False
    """Whether the connection begins with TLS (port 465). Otherwise STARTTLS encrypts it."""
    may_be_plain: bool = False
    """Whether the connection stays unencrypted, because no one else can listen on it."""

    def __repr__(self) -> str:
        return f"Server(host={self.host!r}, port={self.port})"


class Reply(NamedTuple):
    """The reply of a server to one command."""

    code: int
    message: str


class HandedOver(Struct, frozen=True):
    """The server took the mail for at least one recipient."""

    answer: str
    refused: Mapping[str, Reply]
    """The server's reply for each recipient that it refused."""


async def hand_over(
    egress: Egress,
    server: Server,
    *,
    sender: str,
    to: Sequence[str],
    mail: bytes,
    timeout_s: float,
) -> HandedOver:
    """Send a mail.

    Raises EgressError, SMTPException, or OSError for a TLS failure or after `timeout_s` seconds. A
    failure after the server accepted the mail, for example in QUIT, is ignored.
    """
    async with asyncio.timeout(timeout_s):
        smtp = await _open(egress, server, timeout_s)
        try:
            if server.user:
                await _sign_in(smtp, server)
            refused, answer = await smtp.sendmail(sender, to, mail)
        except BaseException:
            smtp.close()
            raise
    with suppress(SMTPException, OSError):
        await smtp.quit(timeout=QUIT_S)
    smtp.close()
    return HandedOver(answer, {name: Reply(*reply) for name, reply in refused.items()})


async def _open(egress: Egress, server: Server, timeout_s: float) -> SMTP:
    """Return a session with the server, encrypted unless it may be plain."""
    opened = await connect(egress, server.host, server.port, timeout_s=timeout_s)
    peer, own = opened.getpeername()[0], opened.getsockname()[0]
    smtp = SMTP(
        hostname=server.host,
        sock=opened,
        local_hostname=own_name(socket.gethostname(), own),
        use_tls=server.is_tls,
        start_tls=False,
        tls_context=egress.tls,
        timeout=timeout_s,
    )
    try:
        await smtp.connect()
        await smtp.ehlo()
        if not server.is_tls and not server.may_be_plain:
            await _start_tls(smtp, peer)
    except BaseException:
        smtp.close()
        # If TLS failed at once, no transport owns the socket, and `smtp.close` does not close it.
        opened.close()
        raise
    return smtp


async def _start_tls(smtp: SMTP, peer: str) -> None:
    """Encrypt the connection. Raises EgressError when the server offers no STARTTLS.

    An attacker in the middle can remove the offer, so Vigia never falls back to plain text. The
    only exception is a server on this machine.
    """
    if smtp.supports_extension("starttls"):
        await smtp.starttls()
        await smtp.ehlo()
    elif not ip_address(peer).is_loopback:
        raise EgressError(Failure.TLS, "TLS: the mail server offers no STARTTLS")


async def _sign_in(smtp: SMTP, server: Server) -> None:
    if not smtp.supports_extension("auth"):
        raise SMTPNotSupported("the mail server accepts no password: it offers no AUTH")
    await smtp.login(server.user, server.password)


def own_name(name: str, address: str) -> str:
    """Return the name for EHLO: the host's full name, or else its address (RFC 5321, 4.1.3)."""
    if "." in name:
        return name
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"
