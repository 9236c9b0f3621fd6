"""Mail goes encrypted and signed in to a real server, and its every reply is understood."""

import asyncio
import socket
from collections.abc import AsyncIterator

import msgspec
import psutil
import pytest

from model.errors import InvalidError
from notifications.channels import email
from notifications.delivery import (
    Channel,
    DeliveryError,
    PermanentError,
    Receipt,
    TemporaryError,
)
from notifications.message import Message
from runtime.network.egress import Egress, open_egress
from tests.collectors.fake_targets import (
    Act,
    close_at_once,
    loopback_egress,
    outside,
    showing,
    silence,
)
from tests.notifications.hostile import HOSTILE
from tests.notifications.mail_server import (
    PASSWORD,
    USER,
    MailServer,
    open_mail_server,
    saying_in_turn,
)
from tests.notifications.messages import NOW, message
from tests.notifications.reference import examples_in

TO = ["ana@example.org", "ops@example.org"]
SETTINGS = {"to": TO, "from": "vigia@example.org"}
SHORT_S = 0.3
GREETING = b"220 mail.example.org ESMTP\r\n"
EHLO = b"250-mail.example.org\r\n250 SIZE 1000\r\n"


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    """A way to loopback that trusts the certificates of the tests."""
    async with loopback_egress() as opened:
        yield opened


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    async with open_mail_server() as opened:
        yield opened


def channel(port: int, url: str = "", **settings: object) -> Channel:
    """Return a channel to a server with STARTTLS and AUTH, or to the one at `url`."""
    return Channel(
        id=1,
        name="ops",
        type="email",
        url=(url or "smtp://vigia%40example.org@127.0.0.1:{port}").format(port=port),
        secret=PASSWORD if "@" in (url or "@") else "",
        settings=SETTINGS | settings,
    )


async def send(
    egress: Egress, port: int, url: str = "", sent: Message | None = None, **settings: object
) -> Receipt:
    return await email.send(egress, channel(port, url, **settings), sent or message(), NOW)


async def failure(egress: Egress, port: int, url: str = "", **settings: object) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await send(egress, port, url, **settings)
    shown = repr(caught.value)
    assert PASSWORD not in shown
    assert "127.0.0.1" not in shown.replace("127.0.0.1 is not a public address", "")
    return caught.value


async def test_mail_is_encrypted_and_signed_in(egress: Egress, server: MailServer) -> None:
    receipt = await send(egress, server.port)

    (received,) = server.received
    assert (receipt.status, receipt.answer) == (250, "queued as 1")
    assert receipt.reference == received.mail["Message-ID"] == "<alert-41-opened-1@example.org>"
    assert (received.is_encrypted, received.user) == (True, USER)
    assert (received.sender, received.to) == ("vigia@example.org", TO)


async def test_the_mail_is_the_documented_example(egress: Egress, server: MailServer) -> None:
    await send(egress, server.port)
    (example,) = [text for language, text in examples_in("email") if language == "text"]
    assert server.received[0].data.decode().replace("\r\n", "\n").startswith(example)


async def test_tls_may_begin_with_the_connection(egress: Egress) -> None:
    async with open_mail_server(tls="at once") as server:
        url = "smtps://vigia%40example.org@localhost:{port}"
        await send(egress, server.port, url)
        assert [one.user for one in server.received] == [USER]


@pytest.mark.parametrize("plain", [True, False])
async def test_this_machine_needs_no_tls(egress: Egress, plain: bool) -> None:
    async with open_mail_server(tls="none") as server:
        await send(egress, server.port, "smtp://127.0.0.1:{port}", plain=plain)
        assert (server.received[0].is_encrypted, server.received[0].user) == (False, None)


def own_address() -> str:
    """Return an address of this machine that is not loopback: TLS is required there."""
    found = [
        one.address
        for some in psutil.net_if_addrs().values()
        for one in some
        if one.family is socket.AF_INET and not one.address.startswith("127.")
    ]
    if not found:
        pytest.skip("this machine has no network but loopback")
    return found[0]


async def test_elsewhere_a_server_without_starttls_gets_no_mail() -> None:
    address = own_address()
    url = f"smtp://{address}:{{port}}"
    async with (
        open_egress([f"{address}/32"]) as egress,
        open_mail_server(tls="none", host=address) as server,
    ):
        with pytest.raises(TemporaryError, match="TLS: the mail server offers no STARTTLS"):
            await send(egress, server.port, url)
        assert server.received == []

        await send(egress, server.port, url, plain=True)
        assert len(server.received) == 1


@pytest.mark.parametrize("tls", ["starttls", "at once"])
@pytest.mark.parametrize(
    ("certificate", "trusts"), [("valid", False), ("expired", True), ("foreign", True)]
)
async def test_a_certificate_that_is_not_the_servers_ends_it(
    tls: str, certificate: str, trusts: bool
) -> None:
    scheme = "smtps" if tls == "at once" else "smtp"
    url = f"{scheme}://vigia%40example.org@localhost:{{port}}"
    async with (
        loopback_egress() if trusts else open_egress(["127.0.0.0/8"]) as egress,
        open_mail_server(tls=tls, certificate=certificate) as server,
    ):
        error = await failure(egress, server.port, url)

    assert type(error) is TemporaryError
    assert str(error).startswith("TLS: ")
    assert server.received == []


async def test_a_wrong_password_needs_someone_to_mend_it(
    egress: Egress, server: MailServer
) -> None:
    wrong = channel(server.port, "smtp://else@127.0.0.1:{port}")
    with pytest.raises(PermanentError) as caught:
        await email.send(egress, wrong, message(), NOW)
    assert str(caught.value) == "the mail server refused the user or the password: 535"
    assert caught.value.status == 535


async def test_a_server_that_takes_no_password_is_said(egress: Egress) -> None:
    async with outside(saying_in_turn(GREETING, EHLO, b"221 bye\r\n")) as server:
        error = await failure(egress, server.port)
    assert type(error) is PermanentError
    assert str(error) == "the mail server accepts no password: it offers no AUTH"


@pytest.mark.parametrize(
    ("step", "reply", "kind", "reason"),
    [
        ("MAIL", "451 4.7.1 later", TemporaryError, "refused the sender: 451"),
        ("MAIL", "550 5.7.1 not yours", PermanentError, "refused the sender: 550"),
        ("DATA", "452 4.3.1 disk full", TemporaryError, "refused the mail: 452"),
        ("DATA", "554 5.6.0 spam", PermanentError, "refused the mail: 554"),
        ("DATA", "421 4.3.2 going down", TemporaryError, "refused the mail: 421"),
    ],
)
async def test_a_reply_says_whether_another_try_can_succeed(
    egress: Egress,
    server: MailServer,
    step: str,
    reply: str,
    kind: type[DeliveryError],
    reason: str,
) -> None:
    server.refused[step] = reply
    error = await failure(egress, server.port)

    assert (type(error), str(error)) == (kind, f"the mail server {reason}")
    assert (error.status, error.answer) == (int(reply[:3]), reply[4:])
    assert server.received == []


async def test_one_refused_recipient_keeps_no_other_from_the_mail(
    egress: Egress, server: MailServer
) -> None:
    server.refused[TO[0]] = "550 5.1.1 no such user"
    receipt = await send(egress, server.port)

    assert receipt.answer == "refused: ana@example.org (550 5.1.1 no such user); queued as 1"
    assert server.received[0].to == [TO[1]]


@pytest.mark.parametrize(
    ("replies", "kind", "status"),
    [
        (("550 no", "551 no"), PermanentError, 550),
        (("550 no", "450 greylisted"), TemporaryError, 450),
    ],
)
async def test_when_all_are_refused_nobody_got_it(
    egress: Egress,
    server: MailServer,
    replies: tuple[str, str],
    kind: type[DeliveryError],
    status: int,
) -> None:
    server.refused = dict(zip(TO, replies, strict=True))
    error = await failure(egress, server.port)

    assert (type(error), error.status) == (kind, status)
    assert str(error) == f"the mail server refused every recipient: {status}"
    assert error.answer == f"ana@example.org ({replies[0]}), ops@example.org ({replies[1]})"


async def dripping(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"220-still here\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)


MISBEHAVING: dict[str, tuple[Act, str]] = {
    "hangs": (silence, "no answer within 0.3 s"),
    "drips": (dripping, "no answer within 0.3 s"),
    "hangs up": (close_at_once, "the mail server closed the connection"),
    "is busy": (saying_in_turn(b"421 busy\r\n"), "the mail server refused the session: 421"),
    "speaks HTTP": (
        saying_in_turn(b"HTTP/1.1 400 Bad Request\r\n"),
        "the server does not speak SMTP",
    ),
    "says too much": (saying_in_turn(b"220 " + b"x" * 100_000), "the server does not speak SMTP"),
    "hangs up in the middle": (
        saying_in_turn(
            GREETING, EHLO, b"250 sender\r\n", b"250 to\r\n", b"250 to\r\n", b"354 go\r\n"
        ),
        "the mail server closed the connection",
    ),
}


@pytest.mark.parametrize(("act", "reason"), MISBEHAVING.values(), ids=MISBEHAVING)
async def test_a_server_that_misbehaves_is_tried_again(
    egress: Egress, monkeypatch: pytest.MonkeyPatch, act: Act, reason: str
) -> None:
    monkeypatch.setattr(email, "TIMEOUT_S", SHORT_S)
    async with outside(act) as server:
        error = await failure(egress, server.port, "smtp://127.0.0.1:{port}")
    assert (type(error), str(error)) == (TemporaryError, reason)


async def test_a_server_that_wants_nobody_is_not_tried_again(egress: Egress) -> None:
    async with outside(saying_in_turn(b"554 no service for you\r\n")) as server:
        error = await failure(egress, server.port, "smtp://127.0.0.1:{port}")
    assert (type(error), error.status) == (PermanentError, 554)


async def test_whoever_takes_no_leave_has_the_mail_all_the_same(egress: Egress) -> None:
    taken = (GREETING, EHLO, b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n")

    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in taken:
            writer.write(reply)
            await reader.readline()
        await reader.readuntil(b"\r\n.\r\n")
        writer.write(b"250 queued\r\n")

    async with outside(act) as server:
        url = "smtp://127.0.0.1:{port}"
        receipt = await send(egress, server.port, url, to=[TO[0]])
    assert receipt.answer == "queued"


async def test_a_server_inside_the_network_is_refused_for_good(server: MailServer) -> None:
    async with open_egress() as strict:
        error = await failure(strict, server.port)
    assert type(error) is PermanentError
    assert "VIGIA_EGRESS_ALLOW can allow it" in str(error)


async def test_where_nobody_listens_it_is_tried_again(egress: Egress) -> None:
    async with outside(tls=showing("valid")) as gone:
        port = gone.port
    error = await failure(egress, port)
    assert (type(error), str(error)) == (TemporaryError, "connection refused")


@pytest.mark.parametrize("text", HOSTILE)
async def test_no_text_changes_who_gets_the_mail_or_how_it_is_read(
    egress: Egress, server: MailServer, text: str
) -> None:
    sent = message(title=text, text=text, facts=((text, text),), key=text, thread=text)
    await send(egress, server.port, sent=sent)

    (received,) = server.received
    assert received.to == TO
    assert received.mail["To"] == ", ".join(TO)
    assert {"Bcc", "Cc"} & set(received.mail) == set()
    body = received.mail.get_body(("plain",))
    assert body is not None
    assert text.split() == str(body.get_content()).split()[: len(text.split())]


@pytest.mark.parametrize(
    ("url", "secret", "words"),
    [
        ("", "", "the url must be smtp:// or smtps://"),
        ("https://mail.example.org", "", "the url must be smtp:// or smtps://"),
        ("smtp://", "", "the url must be smtp:// or smtps://"),
        ("smtp://mail.example.org:99999", "", "the url must be smtp:// or smtps://"),
        ("smtp://mail.example.org:587/x", "", "the url must be smtp:// or smtps://"),
        ("smtp://mail.example.org?x=y", "", "the url must be smtp:// or smtps://"),
        ("smtp://[::1", "", "the url must be smtp:// or smtps://"),
        ("smtp://user:word@mail.example.org", "", "must not hold a password; put it into secret"),
        ("smtp://user@mail.example.org", "", "set secret to the user's password"),
        ("smtp://mail.example.org", "word", "names no user; write it like smtp://user@mail"),
    ],
)
async def test_an_address_that_cannot_work_is_refused(
    egress: Egress, url: str, secret: str, words: str
) -> None:
    wrong = Channel(id=1, name="ops", type="email", url=url, secret=secret, settings=SETTINGS)
    with pytest.raises(InvalidError, match=words):
        email.TYPE.check(wrong)
    with pytest.raises(PermanentError, match=words):
        await email.send(egress, wrong, message(), NOW)


@pytest.mark.parametrize(
    ("url", "port", "user"),
    [
        ("smtp://mail.example.org", 587, ""),
        ("smtps://a%40b@mail.example.org", 465, "a@b"),
        ("smtp://a@[2001:db8::1]:2525/", 2525, "a"),
    ],
)
def test_ports_have_defaults_and_users_may_hold_an_at(url: str, port: int, user: str) -> None:
    secret = "word" if user else ""
    server = email.server_of(Channel(id=1, name="ops", type="email", url=url, secret=secret))
    assert (server.port, server.user, server.password) == (port, user, secret)
    assert "word" not in repr(server)


@pytest.mark.parametrize(
    "settings",
    [
        {"to": []},
        {"to": [f"a{number}@example.org" for number in range(11)]},
        {"to": ["ana"]},
        {"to": ["Ana <ana@example.org>"]},
        {"to": ["ana@example.org\r\nBcc: all@example.org"]},
        {"to": ["ana@example.org, all@example.org"]},
        {"to": ["a..b@example.org"]},
        {"to": ["ana@-example.org"]},
        {"to": ["aná@example.org"]},
        {"to": ["x" * 65 + "@example.org"]},
        {"from": "vigia@example.org>"},
        {"from": ""},
        {"cc": "all@example.org"},
    ],
)
async def test_wrong_addresses_are_refused_before_anything_is_sent(
    egress: Egress, server: MailServer, settings: dict[str, object]
) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(SETTINGS | settings, email.EmailSettings)
    assert "regex" not in str(caught.value)
    assert type(await failure(egress, server.port, **settings)) is PermanentError
    assert server.received == []
