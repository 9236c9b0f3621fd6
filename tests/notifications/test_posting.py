"""What a provider's answer means: taken, later, or never."""

from datetime import timedelta

import msgspec
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from notifications.delivery import (
    ANSWER_CHARS_MAX,
    GoneError,
    PermanentError,
    TemporaryError,
)
from notifications.posting import form_of, post, post_json, retry_after_s
from runtime.network.egress import Egress, open_egress
from tests.notifications.forms import read_form
from tests.notifications.hostile import HOSTILE
from tests.notifications.messages import NOW
from tests.notifications.provider import Provider

HEADERS = {"Content-Type": "text/plain"}


@pytest.mark.parametrize("status", [200, 202, 204])
async def test_a_2xx_is_a_receipt(egress: Egress, provider: Provider, status: int) -> None:
    provider.status = status
    receipt = await post(egress, provider.url, b"x", headers=HEADERS, now=NOW)
    assert receipt.status == status
    assert provider.requests[0].body == b"x"


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_what_may_pass_is_tried_again(
    egress: Egress, provider: Provider, status: int
) -> None:
    provider.status, provider.headers = status, {"Retry-After": "17"}
    with pytest.raises(TemporaryError) as caught:
        await post(egress, provider.url, b"", headers=HEADERS, now=NOW)
    assert (caught.value.status, caught.value.retry_after_s) == (status, 17.0)


@pytest.mark.parametrize("status", [302, 400, 401, 404, 413])
async def test_what_cannot_pass_is_not_tried_again(
    egress: Egress, provider: Provider, status: int
) -> None:
    provider.status, provider.body = status, b"no such hook"
    with pytest.raises(PermanentError) as caught:
        await post(egress, provider.url, b"", headers=HEADERS, now=NOW)
    assert caught.value.answer == "no such hook"


async def test_410_says_that_the_address_is_gone(egress: Egress, provider: Provider) -> None:
    provider.status = 410
    with pytest.raises(GoneError):
        await post(egress, provider.url, b"", headers=HEADERS, now=NOW)


class Answer(Struct):
    id: int
    text: str = ""


def reference_of(answer: bytes) -> str:
    return str(msgspec.json.decode(answer, type=Answer).id)


async def test_the_reference_is_read_from_the_whole_answer(
    egress: Egress, provider: Provider
) -> None:
    provider.body = b'{"echo": "%s", "id": 7}' % (b"x" * 10_000)
    receipt = await post(egress, provider.url, b"", headers=HEADERS, now=NOW, read=reference_of)
    assert (receipt.reference, len(receipt.answer)) == ("7", ANSWER_CHARS_MAX)


@pytest.mark.parametrize(
    "body", [b"<html>Sign in to this network</html>", b"{}", b'{"id":1,"text":"\xff"}']
)
async def test_an_answer_that_is_not_the_providers_is_no_receipt(
    egress: Egress, provider: Provider, body: bytes
) -> None:
    provider.body = body
    with pytest.raises(TemporaryError, match="answered 200, but not as documented"):
        await post(egress, provider.url, b"", headers=HEADERS, now=NOW, read=reference_of)


async def test_an_answer_that_breaks_off_is_tried_again(egress: Egress, provider: Provider) -> None:
    async def break_off(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    provider.handler = break_off
    with pytest.raises(TemporaryError):
        await post(egress, provider.url, b"", headers=HEADERS, now=NOW)


async def test_an_address_inside_the_network_is_refused_for_good(provider: Provider) -> None:
    async with open_egress() as strict:
        with pytest.raises(PermanentError, match="VIGIA_EGRESS_ALLOW"):
            await post(strict, provider.url, b"", headers=HEADERS, now=NOW)
    assert provider.requests == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", None),
        ("soon", None),
        ("0", 0.0),
        ("2.5", 2.5),
        ("86400", 3600.0),
        ("9" * 400, None),
        ("Sun, 01 Mar 2026 03:01:30 GMT", 60.0),
        ("Sun, 01 Mar 2026 02:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(given: str, expected: float | None) -> None:
    assert retry_after_s({"Retry-After": given}, NOW) == expected


def test_a_date_without_a_zone_is_utc() -> None:
    later = NOW + timedelta(seconds=30)
    given = later.strftime("%a, %d %b %Y %H:%M:%S -0000")
    assert retry_after_s({"Retry-After": given}, NOW) == 30.0


async def test_a_document_is_posted_as_json(egress: Egress, provider: Provider) -> None:
    await post_json(egress, provider.url, {"a": "é"}, now=NOW, headers={"X-Token": "t"})

    (request,) = provider.requests
    assert (request.body, request.headers["X-Token"]) == ('{"a":"é"}'.encode(), "t")
    assert request.headers["Content-Type"] == "application/json"


texts = st.one_of(st.text(st.characters(codec="utf-8")), st.sampled_from(HOSTILE))


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), texts), st.binary())
def test_a_form_is_read_as_it_was_written(fields: dict[str, str], content: bytes) -> None:
    photo = ("chart.png", "image/png", content)
    encoded = {name: value.encode() for name, value in fields.items()}
    assert read_form(*form_of(encoded, {"photo": photo})) == {**fields, "photo": photo}
