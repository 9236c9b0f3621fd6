"""ntfy as its documentation describes it, and what Vigia tells it."""

import json
import re
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import InvalidError
from model.severity import Level
from notifications.channels import ntfy
from notifications.delivery import Channel, PermanentError
from notifications.message import Event, Links
from notifications.rendering.appearance import BY_LEVEL, NEUTRAL, RESOLVED
from runtime.network.egress import Egress
from tests.notifications.hostile import HOSTILE
from tests.notifications.messages import NOW, message
from tests.notifications.provider import Provider
from tests.notifications.reference import json_in

TOPIC = "vigia-XXXX"
TOKEN = "tk_0123456789"
NAME = re.compile(r"[-_A-Za-z0-9]{1,64}")


class Ntfy:
    """Takes messages as the documentation says, and shows each sequence once."""

    def __init__(self) -> None:
        self.shown: dict[str, dict[str, Any]] = {}
        self.published = 0

    async def __call__(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"code": 40301, "error": "forbidden"}, status=403)
        text = await request.text()
        if request.path != "/" or self.errors(text):
            return web.json_response({"code": 40017, "error": "invalid request"}, status=400)
        self.published += 1
        document, name = json.loads(text), f"message{self.published}"
        self.shown[document.get("sequence_id", name)] = document
        return web.json_response({"id": name, "event": "message", "topic": document["topic"]})

    def errors(self, text: str) -> list[str]:
        document, found = json.loads(text), []
        actions = document.get("actions", [])
        if len(text.encode()) > 8192 or len(document["message"].encode()) > 4096:
            found.append("too long")
        if len(document["title"].encode()) > 1024 or len(",".join(document["tags"])) > 512:
            found.append("title or tags")
        if not NAME.fullmatch(document["topic"]) or not document["message"]:
            found.append("topic or message")
        if not NAME.fullmatch(document.get("sequence_id", "none")):
            found.append("sequence")
        if len(actions) > 3 or not all(one["label"] and one["url"] for one in actions):
            found.append("actions")
        if document["priority"] not in range(1, 6):
            found.append("priority")
        return found


@pytest.fixture
def server(provider: Provider) -> Ntfy:
    server = Ntfy()
    provider.handler = server
    return server


def channel(provider: Provider, **changed: str) -> Channel:
    fields = {"url": f"{provider.url}/{TOPIC}", "secret": TOKEN} | changed
    return Channel(id=1, name="ops", type="ntfy", **fields)


async def test_an_alert_is_the_documented_example(
    egress: Egress, provider: Provider, server: Ntfy
) -> None:
    receipt = await ntfy.send(egress, channel(provider), message(), NOW)
    assert (receipt.status, receipt.reference) == (200, "message1")
    assert list(server.shown.values()) == [json_in("ntfy")]


async def test_the_end_of_an_alert_takes_the_place_of_its_beginning(
    egress: Egress, provider: Provider, server: Ntfy
) -> None:
    for event in (Event.OPENED, Event.ESCALATED, Event.ACKNOWLEDGED, Event.RESOLVED):
        sent = message(event, title=event, links=Links())
        await ntfy.send(egress, channel(provider), sent, NOW)

    (shown,) = server.shown.values()
    assert (server.published, shown["title"], shown["priority"]) == (4, "resolved", 3)
    assert (shown["tags"], shown["actions"]) == (["white_check_mark"], [])


async def test_messages_about_nothing_in_common_stand_beside_each_other(
    egress: Egress, provider: Provider, server: Ntfy
) -> None:
    for _ in range(2):
        await ntfy.send(egress, channel(provider), message(thread=""), NOW)
    assert len(server.shown) == 2


async def test_a_wrong_token_needs_someone_to_mend_it(
    egress: Egress, provider: Provider, server: Ntfy
) -> None:
    for secret in ("", "tk_wrong"):
        with pytest.raises(PermanentError) as caught:
            await ntfy.send(egress, channel(provider, secret=secret), message(), NOW)
        assert caught.value.status == 403
    assert server.shown == {}


def test_only_three_buttons_are_shown_the_most_needed_first() -> None:
    urls = {name: f"https://vigia.example/{name}" for name in Links.__struct_fields__}
    actions = ntfy.document_of(message(links=Links(**urls)), TOPIC)["actions"]
    assert [(one["action"], one["label"]) for one in actions] == [
        ("http", "Acknowledge"),
        ("view", "Open"),
        ("view", "Runbook"),
    ]


@pytest.mark.parametrize(
    ("level", "event", "priority"),
    [
        (Level.EMERGENCY, Event.OPENED, 5),
        (Level.CRITICAL, Event.REMINDER, 4),
        (Level.WARNING, Event.LOWERED, 3),
        (Level.EMERGENCY, Event.ACKNOWLEDGED, 3),
        (Level.INFO, Event.OPENED, 2),
        (Level.INFO, Event.RESOLVED, 2),
        (None, Event.TEST, 3),
    ],
)
def test_what_is_worse_rings_louder(level: Level | None, event: Event, priority: int) -> None:
    assert ntfy.document_of(message(event, level=level), TOPIC)["priority"] == priority


def test_every_sign_has_a_tag() -> None:
    looks = [*BY_LEVEL.values(), RESOLVED, NEUTRAL]
    assert {look.sign for look in looks} == set(ntfy.TAGS)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_arrives_as_it_is(text: str) -> None:
    document = ntfy.document_of(message(title=text, text=text), TOPIC)
    assert (document["title"], document["message"]) == (text, text.strip())
    assert "markdown" not in document


@settings(deadline=None)
@given(text=st.text(max_size=40), many=st.sampled_from([1, 50, 2000]), thread=st.text(max_size=100))
def test_whatever_is_said_ntfy_can_take_it(text: str, many: int, thread: str) -> None:
    url = "https://vigia.example/" + "x" * min(many, 1900)
    long = message(
        title=text * many or "-",
        text=text * many,
        thread=thread,
        links=Links(alert=url, runbook=url, acknowledge=url),
    )
    body = json.dumps(ntfy.document_of(long, TOPIC), ensure_ascii=False, separators=(",", ":"))
    assert Ntfy().errors(body) == []


@pytest.mark.parametrize(
    "url",
    ["", "ntfy.sh/topic", "https://ntfy.sh", "https://ntfy.sh/a b", "https://ntfy.sh/" + "x" * 65],
)
async def test_an_address_without_a_topic_is_refused(egress: Egress, url: str) -> None:
    wrong = Channel(id=1, name="ops", type="ntfy", url=url)
    with pytest.raises(InvalidError, match=r"up to 64 letters.*https://ntfy\.sh/vigia-XXXX"):
        ntfy.TYPE.check(wrong)
    with pytest.raises(PermanentError, match="the url must be that of the server and the topic"):
        await ntfy.send(egress, wrong, message(), NOW)


def test_a_server_below_a_path_keeps_it() -> None:
    ntfy.TYPE.check(Channel(id=1, name="ops", type="ntfy", url="https://push.example/ntfy/topic/"))
    assert ntfy._server_and_topic("https://push.example/ntfy/topic/") == (
        "https://push.example/ntfy/",
        "topic",
    )
