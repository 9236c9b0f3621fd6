"""The library sends what it is given, where the guard allows it, and never for ever."""

import asyncio
import importlib
import sys
import threading
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import msgspec
import pytest
from aiohttp import web

from model.errors import InvalidError
from model.severity import Level
from notifications.channels import apprise
from notifications.channels.apprise import _service_of, check, hosts_of
from notifications.delivery import Channel, GoneError, PermanentError, TemporaryError
from notifications.message import Event, Links
from runtime.network.egress import Egress, open_egress
from tests.collectors.fake_targets import dripping, outside, saying, showing, silence
from tests.notifications.hostile import HOSTILE
from tests.notifications.messages import NOW, message
from tests.notifications.provider import Provider, open_provider
from tests.notifications.reference import json_in

TOKEN = "s3cret-t0ken"


def channel(url: str) -> Channel:
    return Channel(id=1, name="ops", type="apprise", url=url)


def json_url(url: str, query: str = "") -> str:
    """Return Apprise's URL of a server that takes JSON."""
    parts = urlsplit(url)
    scheme = {"http": "json", "https": "jsons"}[parts.scheme]
    return f"{scheme}://ops:{TOKEN}@{parts.netloc}/hook{query}"


@pytest.fixture
async def idle() -> AsyncIterator[None]:
    """Wait until no thread of the library is left, so that the next test has every place."""
    yield
    async with asyncio.timeout(20):
        while any(thread.name == "apprise" for thread in threading.enumerate()):
            await asyncio.sleep(0.05)


async def test_the_service_is_given_the_documented_example(
    egress: Egress, provider: Provider
) -> None:
    receipt = await apprise.send(egress, channel(json_url(provider.url)), message(), NOW)

    (request,) = provider.requests
    assert (request.method, request.path) == ("POST", "/hook")
    assert msgspec.json.decode(request.body) == json_in("apprise")
    assert TOKEN not in receipt.answer


@pytest.mark.parametrize(
    ("event", "level", "kind"),
    [
        (Event.OPENED, Level.EMERGENCY, "failure"),
        (Event.OPENED, Level.WARNING, "warning"),
        (Event.OPENED, Level.INFO, "info"),
        (Event.RESOLVED, Level.CRITICAL, "success"),
        (Event.TEST, None, "info"),
    ],
)
async def test_the_level_has_the_librarys_name(
    egress: Egress, provider: Provider, event: Event, level: Level | None, kind: str
) -> None:
    news = message(event, level=level)
    await apprise.send(egress, channel(json_url(provider.url)), news, NOW)
    assert msgspec.json.decode(provider.requests[0].body)["type"] == kind


@pytest.mark.parametrize("text", HOSTILE)
async def test_texts_arrive_as_they_are(egress: Egress, provider: Provider, text: str) -> None:
    hostile = message(title=text, text=text, links=Links())
    await apprise.send(egress, channel(json_url(provider.url)), hostile, NOW)

    sent = msgspec.json.decode(provider.requests[0].body)
    assert (sent["title"].split(), sent["message"].split()) == (text.split(), text.split())
    assert sent["type"] == "failure"


async def test_a_long_text_is_cut_to_what_the_service_takes(
    egress: Egress, provider: Provider
) -> None:
    await apprise.send(egress, channel(json_url(provider.url)), message(text="x" * 99_999), NOW)

    (request,) = provider.requests
    assert len(msgspec.json.decode(request.body)["message"]) <= 32_768


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, PermanentError),
        (404, PermanentError),
        (410, GoneError),
        (429, TemporaryError),
        (500, TemporaryError),
        (503, TemporaryError),
    ],
)
async def test_a_status_says_whether_another_try_makes_sense(
    egress: Egress, provider: Provider, status: int, kind: type[Exception]
) -> None:
    provider.status = status
    with pytest.raises(kind) as caught:
        await apprise.send(egress, channel(json_url(provider.url)), message(), NOW)

    assert isinstance(caught.value, PermanentError | TemporaryError)
    assert caught.value.status == status
    assert TOKEN not in str(caught.value) + caught.value.answer
    assert caught.value.answer


@pytest.mark.usefixtures("idle")
async def test_a_service_that_hangs_is_left(
    egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apprise, "DEADLINE_S", 0.5)
    async with outside(silence) as hanging:
        with pytest.raises(TemporaryError, match=r"no answer within 0\.5 s"):
            await apprise.send(egress, channel(json_url(hanging.url)), message(), NOW)


@pytest.mark.usefixtures("idle")
async def test_a_service_that_drips_is_left(
    egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apprise, "DEADLINE_S", 0.5)
    partial = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    async with outside(dripping(partial)) as drip:
        with pytest.raises(TemporaryError, match=r"no answer within 0\.5 s"):
            await apprise.send(egress, channel(json_url(drip.url)), message(), NOW)


@pytest.mark.usefixtures("idle")
async def test_while_two_hang_a_third_waits_no_longer_than_its_deadline(
    egress: Egress, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def one(url: str) -> None:
        await apprise.send(egress, channel(json_url(url)), message(), NOW)

    async with outside(silence) as hanging:
        hung = [asyncio.create_task(one(hanging.url)) for _ in range(2)]
        while hanging.connections < 2:
            await asyncio.sleep(0.01)
        monkeypatch.setattr(apprise, "DEADLINE_S", 0.3)
        with pytest.raises(TemporaryError, match=r"no answer within 0\.3 s"):
            await one(provider.url)
        assert not any(task.done() for task in hung)
    failures = await asyncio.gather(*hung, return_exceptions=True)
    assert [type(failure) for failure in failures] == [TemporaryError] * 2
    assert provider.requests == []


@pytest.mark.parametrize("said", [b"220 mail.example ESMTP\r\n", b""])
async def test_what_is_no_http_is_tried_again(egress: Egress, said: bytes) -> None:
    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()

    async with outside(break_off) as broken:
        with pytest.raises(TemporaryError):
            await apprise.send(egress, channel(json_url(broken.url)), message(), NOW)


async def test_a_certificate_that_nobody_vouches_for_is_not_spoken_to(egress: Egress) -> None:
    async with outside(saying(b""), tls=showing("valid")) as server:
        with pytest.raises(TemporaryError):
            await apprise.send(egress, channel(json_url(server.url)), message(), NOW)
        assert server.heads == []


async def test_a_host_inside_the_network_is_never_connected_to() -> None:
    async with open_egress() as strict, outside() as canary:
        with pytest.raises(PermanentError, match="VIGIA_EGRESS_ALLOW"):
            await apprise.send(strict, channel(json_url(canary.url)), message(), NOW)
        assert canary.connections == 0


async def test_a_redirect_is_no_way_round(egress: Egress, provider: Provider) -> None:
    async with open_provider() as elsewhere:

        async def redirect(_: web.Request) -> web.StreamResponse:
            return web.Response(status=307, headers={"Location": f"{elsewhere.url}/secret"})

        provider.handler = redirect
        with pytest.raises((PermanentError, TemporaryError)):
            await apprise.send(egress, channel(json_url(provider.url)), message(), NOW)
        assert elsewhere.requests == []


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("json://10.0.0.1:99/x", [("10.0.0.1", 99)]),
        ("jsons://example.org/x", [("example.org", 443)]),
        ("json://[::1]/x", [("::1", 80)]),
        ("gotify://gotify.internal/AbCdEfGhIjKlMnO", [("gotify.internal", 80)]),
        ("mailto://u:p@example.org?smtp=mail.internal", [("mail.internal", 25)]),
        ("ntfys://10.0.0.1/topic", [("10.0.0.1", 443)]),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#x", []),
    ],
)
def test_the_hosts_of_a_url_are_those_it_names(url: str, hosts: list[tuple[str, int]]) -> None:
    service = _service_of(url)
    assert not isinstance(service, str)
    assert list(hosts_of(service)) == hosts


@pytest.mark.parametrize("url", ["nothing://x", "json://", "slack://too-short"])
async def test_a_url_that_the_library_does_not_know_is_not_tried_again(
    egress: Egress, url: str
) -> None:
    with pytest.raises(PermanentError, match="apprise does not know this url"):
        await apprise.send(egress, channel(url), message(), NOW)


@pytest.mark.parametrize("url", ["", "json", "https:/x", "json://a b", "://x"])
def test_what_is_no_url_is_not_stored(url: str) -> None:
    with pytest.raises(InvalidError, match="url: write a URL of Apprise, such as gotify://"):
        check(channel(url))


def test_a_url_of_apprise_is_stored() -> None:
    check(channel("json://example.org/x?y=z"))


async def test_without_the_library_the_error_says_how_to_install_it(
    egress: Egress, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str, *_: object) -> None:
        assert name == "apprise"

    # As Python sees it where the extra was left out.
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(PermanentError, match=r"pip install 'vigia\[apprise\]'"):
        await apprise.send(egress, channel(json_url(provider.url)), message(), NOW)
    monkeypatch.setattr(importlib.util, "find_spec", missing)
    with pytest.raises(InvalidError, match=r"pip install 'vigia\[apprise\]'"):
        check(channel("json://example.org"))
    assert provider.requests == []
