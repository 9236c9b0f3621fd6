"""Twilio's Messages API as its documentation describes it, and what Vigia sends by it."""

import base64
import re
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pytest
from aiohttp import web

from model.errors import InvalidError
from notifications.channels import twilio
from notifications.channels.twilio import check, text_of
from notifications.delivery import Channel, PermanentError, settings_of
from notifications.message import Event, Language, Links
from runtime.network.egress import Egress
from tests.notifications.hostile import HOSTILE, UNSEEN
from tests.notifications.messages import ALERT, NOW, message
from tests.notifications.provider import Provider
from tests.notifications.reference import examples_in

SID = "ACXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX".replace("X", "0")
TOKEN = "c0ffee00c0ffee00c0ffee00c0ffee00"
SETTINGS = {"account_sid": SID, "from": "+15017122661", "to": "+5511912345678"}


class Twilio:
    """Takes messages as the documentation says."""

    def __init__(self) -> None:
        self.sent: list[dict[str, str]] = []
        self.unsubscribed: set[str] = set()

    async def __call__(self, request: web.Request) -> web.Response:
        login = base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode()
        if login != f"{SID}:{TOKEN}" or request.path != f"/2010-04-01/Accounts/{SID}/Messages.json":
            return refusal(401, 20003, "Authenticate")
        assert request.content_type == "application/x-www-form-urlencoded"
        form = dict(parse_qsl(await request.text(), strict_parsing=True))
        if not form.get("To", "").removeprefix("whatsapp:").startswith("+"):
            return refusal(400, 21211, "Invalid 'To' Phone Number")
        if not (form.get("From") or form.get("MessagingServiceSid")):
            return refusal(400, 21603, "A 'From' phone number is required.")
        if len(form["Body"].encode("utf-16-le")) // 2 > 1600:
            return refusal(400, 21617, "The concatenated message body exceeds the 1600 limit")
        if form["To"] in self.unsubscribed:
            return refusal(400, 21610, "Attempt to send to unsubscribed recipient")
        self.sent.append(form)
        body = {"body": form["Body"], "status": "queued", "sid": f"SM{len(self.sent):032}"}
        return web.json_response(body, status=201)


def refusal(status: int, code: int, words: str) -> web.Response:
    more = f"https://www.twilio.com/docs/errors/{code}"
    body = {"code": code, "message": words, "more_info": more, "status": status}
    return web.json_response(body, status=status)


@pytest.fixture
def phone(provider: Provider) -> Twilio:
    phone = Twilio()
    provider.handler = phone
    return phone


def channel(url: str = "", **settings: Any) -> Channel:
    return Channel(
        id=1, name="ops", type="twilio", url=url, secret=TOKEN, settings=SETTINGS | settings
    )


def text(*, replies: bool = False, **changed: Any) -> str:
    settings = settings_of(channel(replies=replies), twilio.TwilioSettings)
    return text_of(message(**changed), settings)


async def test_an_alert_is_the_documented_example(
    egress: Egress, provider: Provider, phone: Twilio
) -> None:
    receipt = await twilio.send(egress, channel(provider.url, replies=True), message(), NOW)

    assert (receipt.status, receipt.reference) == (201, "SM00000000000000000000000000000001")
    ((_, example), *_) = [one for one in examples_in("twilio") if one[0] == "text"]
    assert phone.sent[0].pop("Body") == example.strip()
    assert phone.sent == [{"From": "+15017122661", "To": "+5511912345678"}]


async def test_a_messaging_service_chooses_the_sender(
    egress: Egress, provider: Provider, phone: Twilio
) -> None:
    service = "MG" + "a" * 32
    await twilio.send(egress, channel(provider.url, **{"from": service}), message(), NOW)

    assert phone.sent[0]["MessagingServiceSid"] == service
    assert "From" not in phone.sent[0]


@pytest.mark.parametrize(
    ("event", "replies", "ending"),
    [
        (Event.OPENED, True, "\nReply 41a to acknowledge, 41r to resolve."),
        (Event.REMINDER, True, "\nReply 41a to acknowledge, 41r to resolve."),
        (Event.OPENED, False, "\nhttps://vigia.example/l/abc"),
        (Event.ACKNOWLEDGED, True, "\nhttps://vigia.example/alerts/41"),
        (Event.RESOLVED, False, "\nhttps://vigia.example/alerts/41"),
    ],
)
def test_the_end_says_how_to_act_while_there_is_something_to_do(
    event: Event, replies: bool, ending: str
) -> None:
    assert text(event=event, replies=replies).endswith("Since 03:00 UTC" + ending)


def test_a_group_is_acknowledged_with_one_answer() -> None:
    group = {"event": Event.GROUP, "alerts": ({**ALERT, "id": 7}, ALERT), "links": Links()}
    assert text(replies=True, **group).endswith("\nReply 7aa to acknowledge all.")
    assert text(**group).endswith("Since 03:00 UTC")


def test_the_end_speaks_the_readers_language() -> None:
    said = text(replies=True, language=Language.BRAZILIAN_PORTUGUESE)
    assert said.endswith("\nResponda 41a para reconhecer, 41r para resolver.")


@pytest.mark.parametrize("long", ["x" * 5000, "…" * 5000, "\U0001f525" * 5000])
async def test_a_long_text_is_cut_and_keeps_its_end(
    egress: Egress, provider: Provider, phone: Twilio, long: str
) -> None:
    await twilio.send(egress, channel(provider.url), message(title=long, text=long), NOW)

    body = phone.sent[0]["Body"]
    assert body.endswith("...\nhttps://vigia.example/l/abc")
    assert len(body.encode("utf-16-le")) // 2 >= 1597


@pytest.mark.parametrize("hostile", [*HOSTILE, "\x1b[31m\x00\x07&To=+1&Body=x", "a\u202eb"])
async def test_texts_arrive_as_they_are_without_control_characters(
    egress: Egress, provider: Provider, phone: Twilio, hostile: str
) -> None:
    await twilio.send(egress, channel(provider.url), message(title=hostile, text=hostile), NOW)

    (sent,) = phone.sent
    shown = hostile.replace("\r\n", "\n").translate(UNSEEN)
    assert sent["Body"] == f"{shown}\n{shown}\nhttps://vigia.example/l/abc"
    assert (sent["From"], sent["To"]) == ("+15017122661", "+5511912345678")


async def test_who_answered_stop_gets_nothing_until_start(
    egress: Egress, provider: Provider, phone: Twilio
) -> None:
    phone.unsubscribed.add("+5511912345678")
    with pytest.raises(PermanentError, match="answered STOP"):
        await twilio.send(egress, channel(provider.url), message(), NOW)


async def test_a_wrong_token_is_not_tried_again(
    egress: Egress, provider: Provider, phone: Twilio
) -> None:
    wrong = msgspec.structs.replace(channel(provider.url), secret="wrong")
    with pytest.raises(PermanentError) as caught:
        await twilio.send(egress, wrong, message(), NOW)
    assert (caught.value.status, phone.sent) == (401, [])
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"from": "+15017122661"},
        {"from": "Vigia Ops"},
        {"from": "12345"},
        {"from": "MG" + "0" * 32},
        {"from": "whatsapp:+15017122661", "to": "whatsapp:+5511912345678"},
    ],
)
def test_good_settings_are_stored(settings: dict[str, str]) -> None:
    check(channel(**settings))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"account_sid": "SK" + "0" * 32}, "account_sid must be AC and 32 hex digits"),
        ({"account_sid": SID + "/../x"}, "account_sid must be AC"),
        ({"to": "11912345678"}, "with its country, such as"),
        ({"to": "+5511912345678\n"}, "with its country, such as"),
        ({"from": "Vigia Operations"}, "a name of up to 11 letters"),
        ({"from": ""}, "from"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_settings_that_can_never_work_say_what_to_write(
    settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidError, match=re.escape(words)):
        check(channel(**settings))
