"""The card is of the elements that Teams documents, and shows every text as it is."""

import json
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from model.severity import Level
from notifications.channels import teams
from notifications.delivery import Channel, TemporaryError
from notifications.message import Event, Links
from runtime.network.egress import Egress
from tests.notifications.hostile import HOSTILE
from tests.notifications.messages import NOW, message
from tests.notifications.provider import Provider
from tests.notifications.reference import json_in


class TextRun(Struct, forbid_unknown_fields=True, tag_field="type", tag="TextRun"):
    text: str
    size: Literal["Small", "Default", "Medium", "Large", "ExtraLarge"] = "Default"
    weight: Literal["Lighter", "Default", "Bolder"] = "Default"


class RichTextBlock(Struct, forbid_unknown_fields=True, tag_field="type", tag="RichTextBlock"):
    inlines: list[TextRun]
    spacing: Literal["None", "Small", "Default", "Medium", "Large"] = "Default"


class Container(Struct, forbid_unknown_fields=True, tag_field="type", tag="Container"):
    items: list[RichTextBlock]
    style: Literal["default", "emphasis", "good", "attention", "warning", "accent"]
    bleed: bool = False


class OpenUrl(Struct, forbid_unknown_fields=True, tag_field="type", tag="Action.OpenUrl"):
    title: str
    url: str


class Card(Struct, forbid_unknown_fields=True, tag_field="type", tag="AdaptiveCard"):
    schema: str = msgspec.field(name="$schema")
    version: Literal["1.4"]
    fallback_text: str = msgspec.field(name="fallbackText")
    msteams: dict[str, str]
    body: list[Container | RichTextBlock]
    actions: list[OpenUrl]


class Attachment(Struct, forbid_unknown_fields=True):
    content_type: Literal["application/vnd.microsoft.card.adaptive"] = msgspec.field(
        name="contentType"
    )
    content: Card


class Post(Struct, forbid_unknown_fields=True, tag_field="type", tag="message"):
    attachments: list[Attachment]


def card_of(document: Any) -> Card:
    """Return the card, checked against the elements of Adaptive Cards 1.4 that are used."""
    (attachment,) = msgspec.convert(document, Post).attachments
    return attachment.content


def lines_of(card: Card) -> list[str]:
    blocks = [b for e in card.body for b in (e.items if isinstance(e, Container) else [e])]
    return ["".join(run.text for run in block.inlines) for block in blocks]


async def test_an_alert_is_the_documented_example(egress: Egress, provider: Provider) -> None:
    provider.status, provider.body = 202, b""
    url = f"{provider.url}/workflows/1/triggers/manual/paths/invoke?sp=%2Frun&sig=a%2Bb"
    channel = Channel(id=1, name="ops", type="teams", url=url)
    receipt = await teams.send(egress, channel, message(), NOW)

    (request,) = provider.requests
    assert receipt.status == 202
    assert request.path.endswith("sig=a%2Bb")
    assert json.loads(request.body) == json_in("teams")
    assert card_of(json_in("teams")).actions[0] == OpenUrl(
        "Acknowledge", "https://vigia.example/l/abc"
    )


async def test_the_page_of_a_proxy_is_no_receipt(egress: Egress, provider: Provider) -> None:
    provider.body = b"\r\n<html>Sign in to this network</html>"
    channel = Channel(id=1, name="ops", type="teams", url=provider.url)
    with pytest.raises(TemporaryError, match="but not as documented"):
        await teams.send(egress, channel, message(), NOW)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_is_shown_as_it_is(text: str) -> None:
    hostile = message(title=text, text=text, facts=((text, text),))
    document = teams.document_of(hostile)

    shown = lines_of(card_of(document))
    lines = [line for line in text.splitlines() if line.strip()]
    assert shown == [f"🔴 {text}", *lines, f"{text}: {text}"]
    assert '"entities"' not in json.dumps(document)


@pytest.mark.parametrize(
    ("event", "level", "style"),
    [
        (Event.OPENED, Level.EMERGENCY, "attention"),
        (Event.OPENED, Level.WARNING, "warning"),
        (Event.OPENED, Level.INFO, "accent"),
        (Event.RESOLVED, Level.EMERGENCY, "good"),
        (Event.TEST, None, "emphasis"),
    ],
)
def test_the_head_shows_the_level(event: Event, level: Level | None, style: str) -> None:
    (head, *_) = card_of(teams.document_of(message(event, level=level))).body
    assert isinstance(head, Container)
    assert head.style == style


def test_a_long_list_ends_with_an_ellipsis_before_the_facts() -> None:
    text = "\n".join(f"alert {number}: {'x' * 90}" for number in range(500))
    shown = lines_of(card_of(teams.document_of(message(Event.GROUP, text=text))))

    assert len(shown) > 100
    assert text.startswith("\n".join(shown[1:-3]))
    assert shown[-3:] == ["…", "Component: server", "host: web-1"]


@settings(deadline=None)
@given(text=st.text(st.characters(codec="utf-8"), max_size=40), many=st.sampled_from([1, 50, 2000]))
def test_whatever_is_said_teams_can_take_it(text: str, many: int) -> None:
    url = "https://vigia.example/" + "x" * min(many, 1900)
    links = Links(alert=url, acknowledge=url, resolve=url, runbook=url, chart=url)
    facts = tuple((text * many, text * many) for _ in range(min(many, 40)))
    long = message(title=text * many, text=text * many, facts=facts, links=links)
    document = teams.document_of(long)

    card_of(document)
    assert len(json.dumps(document, ensure_ascii=False).encode()) < 28 * 1024
