"""Hands mail to a server by SMTP, on an encrypted connection to an allowed address."""

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
    """Where mail is handed over, and as whom."""

    host: str
    port: int
    user: str = ""
    password: str = ""
    is_tls: bool = False
    """Whether TLS begins with the connection; else it does by STARTTLS."""
    may_be_plain: bool = False
    """Whether nobody else can listen, so that there is no TLS."""

    def __repr__(self) -> str:
        return f"Server(host={self.host!r}, port={self.port})"


class Reply(NamedTuple):
    """What a server says to a command."""

    code: int
    message: str


class HandedOver(Struct, frozen=True):
    """The server took the mail for at least one recipient."""

    answer: str
    refused: Mapping[str, Reply]
    """What the server said to each recipient that it did not take."""


async def hand_over(
    egress: Egress,
    server: Server,
    *,
    sender: str,
    to: Sequence[str],
    mail: bytes,
    timeout_s: float,
) -> HandedOver:
    """Send a mail. Raises EgressError, SMTPException, or OSError for what TLS and time do.

    What fails after the server took the mail, such as taking leave, does not count.
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
        # Where TLS failed at once, no transport ever had the socket.
        opened.close()
        raise
    return smtp


async def _start_tls(smtp: SMTP, peer: str) -> None:
    """Encrypt. Somebody in the middle can take the offer away, so that nobody gets the mail then.

    Traffic to this machine itself is its own.
    """
    if smtp.supports_extension("starttls"):
        await smtp.starttls()
        await smtp.ehlo()
    elif not ip_address(peer).is_loopback:
        raise EgressError(Failure.TLS, "TLS: the mail server offers no STARTTLS")


async def _sign_in(smtp: SMTP, server: Server) -> None:
    if not smtp.supports_extension("auth"):
        raise SMTPNotSupported("the mail server takes no password: it offers no AUTH")
    await smtp.login(server.user, server.password)


def own_name(name: str, address: str) -> str:
    """Return how to greet: the host's whole name, or else its address (RFC 5321, 4.1.3)."""
    if "." in name:
        return name
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"
