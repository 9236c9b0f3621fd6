"""Discord's webhook as its documentation describes it, and what Vigia tells it."""

import json
import re
from io import BytesIO
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from multipart import MultipartParser, parse_options_header

from notifications.channels import discord
from notifications.delivery import Channel, GoneError, PermanentError, TemporaryError
from notifications.message import Event, Links
from runtime.network.egress import Egress
from tests.notifications.hostile import HOSTILE
from tests.notifications.messages import NOW, message
from tests.notifications.provider import Provider
from tests.notifications.reference import json_in

PICTURE = b"\x89PNG\r\n\x1a\n--boundary\r\n\x00\xff"
ESCAPED = re.compile(r"\\([^0-9A-Za-z\s])")
"""Discord shows the character after a backslash, if it is neither a letter nor white space."""
MESSAGE_ID = "1478000000000000000"


class Discord:
    """Takes messages as the documentation says, and keeps those that it took."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}

    async def __call__(self, request: web.Request) -> web.Response:
        if request.query.get("wait") != "true":
            return web.Response(status=204)
        document = await self._document(request)
        if errors := self.errors(document):
            return web.json_response({"code": 50035, "message": errors[0]}, status=400)
        self.messages.append(document)
        return web.json_response({"id": MESSAGE_ID, "embeds": document["embeds"]})

    async def _document(self, request: web.Request) -> Any:
        if request.content_type == "application/json":
            return await request.json()
        boundary = parse_options_header(request.headers["Content-Type"])[1]["boundary"]
        for part in MultipartParser(BytesIO(await request.read()), boundary):
            self.files[part.name] = part.raw
            if part.name != "payload_json":
                assert (part.filename, part.content_type) == ("chart.png", "image/png")
        return json.loads(self.files.pop("payload_json"))

    def errors(self, document: dict[str, Any]) -> list[str]:
        (embed,) = document["embeds"]
        fields = embed.get("fields", [])
        limited = [(embed["title"], 256), (embed["description"], 4096)]
        limited += [(field["name"], 256) for field in fields]
        limited += [(field["value"], 1024) for field in fields]
        found = [text[:20] for text, most in limited if utf16(text) > most]
        found += [text for text, _ in limited[2:] if not text.strip()]
        if len(fields) > 25 or sum(utf16(text) for text, _ in limited) > 6000:
            found.append("too much")
        return found


def utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def shown(text: str) -> str:
    """Return a text as Discord shows it."""
    return ESCAPED.sub(r"\1", text)


@pytest.fixture
def server(provider: Provider) -> Discord:
    server = Discord()
    provider.handler = server
    return server


def channel(provider: Provider, query: str = "") -> Channel:
    return Channel(id=1, name="ops", type="discord", url=f"{provider.url}/webhooks/1/X{query}")


async def test_an_alert_is_the_documented_example(
    egress: Egress, provider: Provider, server: Discord
) -> None:
    receipt = await discord.send(egress, channel(provider), message(), NOW)

    assert (receipt.status, receipt.reference) == (200, MESSAGE_ID)
    assert server.messages == [json_in("discord")]
    assert provider.requests[0].path == "/webhooks/1/X?wait=true"


async def test_a_thread_is_written_to(egress: Egress, provider: Provider, server: Discord) -> None:
    await discord.send(egress, channel(provider, "?thread_id=7"), message(), NOW)
    assert provider.requests[0].path == "/webhooks/1/X?thread_id=7&wait=true"
    assert len(server.messages) == 1


async def test_a_picture_goes_with_the_message(
    egress: Egress, provider: Provider, server: Discord
) -> None:
    receipt = await discord.send(egress, channel(provider), message(picture=PICTURE), NOW)

    assert receipt.reference == MESSAGE_ID
    assert server.messages[0]["embeds"][0]["image"] == {"url": "attachment://chart.png"}
    assert server.files == {"files[0]": PICTURE}


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_is_shown_as_it_is(text: str) -> None:
    hostile = message(title=text, text=text, facts=((text, text),), links=Links())
    document = discord.document_of(hostile)

    (embed,) = document["embeds"]
    assert document["allowed_mentions"] == {"parse": []}
    assert shown(embed["title"]) == f"🔴 {text}"
    assert shown(embed["description"]) == text
    assert [(shown(f["name"]), shown(f["value"])) for f in embed["fields"]] == [(text.strip(),) * 2]
    rest = ESCAPED.sub("", embed["description"])
    assert not re.search(r"[*_~`|<\\]|\]\(|^\s*([>#+-]|\d+\.)", rest, re.MULTILINE)


@settings(deadline=None)
@given(text=st.text(st.characters(codec="utf-8"), max_size=40), many=st.sampled_from([1, 50, 2000]))
def test_whatever_is_said_discord_can_take_it(text: str, many: int) -> None:
    facts = tuple((text * many, f"{text}{number}") for number in range(min(many, 40)))
    long = message(Event.GROUP, title=text * many, text=text * many, facts=facts)
    assert Discord().errors(discord.document_of(long)) == []


def test_a_link_does_not_end_early() -> None:
    links = Links(runbook="https://wiki.example/cpu_(high)?a=*b*")
    (embed,) = discord.document_of(message(text="x", links=links))["embeds"]
    assert embed["description"] == "x\n\n[Runbook](https://wiki.example/cpu_%28high%29?a=*b*)"
    assert "url" not in embed


@pytest.mark.parametrize(
    ("body", "header", "expected"),
    [
        (b'{"message": "slow down", "retry_after": 64.57, "global": false}', "65", 64.57),
        (b'{"retry_after": 1e9}', "65", 3600.0),
        (b"error code: 1015", "65", 65.0),
        (b'{"retry_after": "soon"}', "65", 65.0),
    ],
)
async def test_discord_says_when_to_come_again(
    egress: Egress, provider: Provider, body: bytes, header: str, expected: float
) -> None:
    provider.status, provider.headers, provider.body = 429, {"Retry-After": header}, body
    with pytest.raises(TemporaryError) as caught:
        await discord.send(egress, channel(provider), message(), NOW)
    assert caught.value.retry_after_s == expected


@pytest.mark.parametrize(
    ("code", "kind"), [(10015, GoneError), (10003, PermanentError), (0, PermanentError)]
)
async def test_a_webhook_that_was_removed_is_gone(
    egress: Egress, provider: Provider, code: int, kind: type[PermanentError]
) -> None:
    provider.status, provider.body = 404, b'{"message": "Unknown", "code": %d}' % code
    with pytest.raises(PermanentError) as caught:
        await discord.send(egress, channel(provider), message(), NOW)
    assert type(caught.value) is kind
