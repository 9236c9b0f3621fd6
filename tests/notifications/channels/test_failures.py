"""Whatever a provider does, each channel says whether another try makes sense, and in time."""

import asyncio

import pytest

from notifications import posting
from notifications.delivery import DeliveryError, GoneError, PermanentError, TemporaryError
from notifications.registry import TYPES
from runtime.network.egress import Egress
from tests.collectors.fake_targets import dripping, outside, saying, showing, silence
from tests.notifications.channels.samples import READ_THE_ANSWER, SAMPLES, SECRET
from tests.notifications.messages import NOW, message
from tests.notifications.provider import Provider

TIMEOUT_S = 0.3
PARTIAL = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"

every_channel = pytest.mark.parametrize("name", sorted(SAMPLES))


async def failure_of(egress: Egress, name: str, url: str) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await TYPES[name].send(egress, SAMPLES[name](url), message(), NOW)
    shown = repr(caught.value) + caught.value.answer
    assert SECRET not in shown
    assert "private" not in shown
    return caught.value


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "TIMEOUT_S", TIMEOUT_S)


@every_channel
@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_what_may_pass_is_tried_again_when_the_provider_says(
    egress: Egress, provider: Provider, name: str, status: int
) -> None:
    provider.status, provider.headers = status, {"Retry-After": "17"}
    error = await failure_of(egress, name, provider.url)
    assert isinstance(error, TemporaryError)
    assert (error.status, error.retry_after_s) == (status, 17.0)


@every_channel
@pytest.mark.parametrize("status", [302, 400, 401, 403])
async def test_what_cannot_pass_is_not_tried_again(
    egress: Egress, provider: Provider, name: str, status: int
) -> None:
    provider.status, provider.headers = status, {"Location": "http://127.0.0.1/elsewhere"}
    error = await failure_of(egress, name, provider.url)
    assert isinstance(error, PermanentError)
    assert not isinstance(error, GoneError)


@every_channel
async def test_what_is_gone_is_gone(egress: Egress, provider: Provider, name: str) -> None:
    provider.status = 410
    assert isinstance(await failure_of(egress, name, provider.url), GoneError)


@every_channel
@pytest.mark.usefixtures("short")
async def test_a_provider_that_hangs_is_left(egress: Egress, name: str) -> None:
    async with outside(silence) as hanging:
        error = await failure_of(egress, name, hanging.url)
    assert isinstance(error, TemporaryError)
    assert str(error) == "no answer within 0.3 s"


@every_channel
@pytest.mark.usefixtures("short")
async def test_a_provider_that_drips_is_left(egress: Egress, name: str) -> None:
    async with outside(dripping(PARTIAL)) as drip:
        error = await failure_of(egress, name, drip.url)
    assert isinstance(error, TemporaryError)
    assert str(error) == "no answer within 0.3 s"


@every_channel
@pytest.mark.parametrize("said", [PARTIAL + b"x", b"220 mail.example ESMTP\r\n", b""])
async def test_what_is_no_http_is_tried_again(egress: Egress, name: str, said: bytes) -> None:
    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()

    async with outside(break_off) as broken:
        assert isinstance(await failure_of(egress, name, broken.url), TemporaryError)


@pytest.mark.parametrize("name", sorted(READ_THE_ANSWER))
@pytest.mark.parametrize("body", [b"<html>Sign in</html>", b"{}", b"[]", b"", b'{"ok": tru'])
async def test_a_200_that_is_not_the_providers_is_no_receipt(
    egress: Egress, provider: Provider, name: str, body: bytes
) -> None:
    provider.body = body
    error = await failure_of(egress, name, provider.url)
    assert isinstance(error, TemporaryError)
    assert str(error) == "the provider answered 200, but not as documented"


@every_channel
async def test_a_certificate_that_nobody_vouches_for_is_not_spoken_to(
    egress: Egress, name: str
) -> None:
    async with outside(saying(b""), tls=showing("valid")) as server:
        error = await failure_of(egress, name, server.url)
        assert server.heads == []
    assert isinstance(error, TemporaryError)
    assert str(error).startswith("TLS: ")
