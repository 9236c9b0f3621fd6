"""Slack takes the body as its own library checks it, and reads nothing in it as a command."""

import html
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slack_sdk.models.blocks import Block

from model.severity import Level
from notifications.channels import slack
from notifications.delivery import Channel
from notifications.message import Event, Links
from runtime.network.egress import Egress
from tests.notifications.hostile import HOSTILE
from tests.notifications.messages import NOW, message
from tests.notifications.provider import Provider
from tests.notifications.reference import json_in

TEXTS = st.text(st.characters(codec="utf-8"), min_size=1).map(lambda text: f"x{text}")


def objects_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    objects = [block["text"] for block in document["blocks"] if "text" in block]
    return objects + [one for block in document["blocks"] for one in block.get("fields", ())]


def plain_texts(document: dict[str, Any]) -> list[str]:
    return [one["text"] for one in objects_of(document) if one["type"] == "plain_text"]


def shown(document: dict[str, Any]) -> list[str]:
    """Return the plain texts as Slack shows them."""
    return [html.unescape(text) for text in plain_texts(document)]


def check(document: dict[str, Any]) -> None:
    """Let Slack's own library check types and lengths. Raises SlackObjectFormationError."""
    blocks = Block.parse_all(document["blocks"])
    assert [block.to_dict() for block in blocks] == document["blocks"]
    assert len(blocks) <= 50


async def test_the_body_is_the_documented_one(egress: Egress, provider: Provider) -> None:
    channel = Channel(id=1, name="ops", type="slack", url=f"{provider.url}/services/T0/B0/X")
    receipt = await slack.send(egress, channel, message(), NOW)

    (request,) = provider.requests
    assert (receipt.status, request.method, request.path) == (200, "POST", "/services/T0/B0/X")
    assert request.headers["Content-Type"] == "application/json"
    assert json.loads(request.body) == json_in("slack")
    check(json.loads(request.body))


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_arrives_as_it_is(text: str) -> None:
    document = slack.document_of(message(title=text, text=text, facts=((text, text),)))

    assert shown(document) == [f"🔴 {text}", text.strip(), f"{text}: {text}"]
    assert html.unescape(document["text"]) == f"🔴 {text}\n{text}"
    formatted = [one for one in objects_of(document) if one["type"] == "mrkdwn"]
    assert [one["text"].count("<") for one in formatted] == [2]


@settings(deadline=None)
@given(text=TEXTS, many=st.integers(1, 300))
def test_whatever_is_said_no_mention_is_made_and_slack_can_take_it(text: str, many: int) -> None:
    facts = tuple((text * many, text) for _ in range(many % 20))
    document = slack.document_of(message(title=text * many, text=text * many, facts=facts))

    check(document)
    plain = [document["text"], *plain_texts(document)]
    assert not any(set(one) & set("<>") for one in plain)
    assert all(len(one.encode("utf-16-le")) // 2 <= 3000 for one in plain)


def test_a_long_list_takes_several_blocks_and_says_that_it_goes_on() -> None:
    lines = "\n".join(f"alert {number} of many: {'x' * 90}" for number in range(200))
    document = slack.document_of(message(Event.GROUP, text=lines, facts=()))

    first, second, third = shown(document)[1:4]
    assert first.startswith("alert 0 ")
    assert f"{first}\n{second}\n{third}".removesuffix("\n…") in lines
    assert third.endswith("\n…")


def test_links_end_nothing_but_themselves() -> None:
    links = Links(
        alert="https://vigia.example/?a=1&b=2", runbook="https://wiki.example/<!channel>|x"
    )
    (*_, block) = slack.document_of(message(links=links))["blocks"]

    assert block["text"] == {
        "type": "mrkdwn",
        "text": "<https://vigia.example/?a=1&amp;b=2|Open>   "
        "<https://wiki.example/%3C!channel%3E%7Cx|Runbook>",
        "verbatim": True,
    }


def test_a_message_without_anything_else_is_its_title() -> None:
    document = slack.document_of(message(text="", facts=(), links=Links(), level=Level.INFO))
    assert shown(document) == ["🔵 [critical] CPU high on web-1"]
