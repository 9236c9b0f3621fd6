"""What Twilio signed becomes a reply; anything else becomes nothing."""

from datetime import timedelta
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import NotFoundError
from notifications.message import Language
from notifications.replies.reply import Action, Reply
from notifications.replies.twilio import (
    FIELDS_MAX,
    HELP_SENDERS_MAX,
    SILENCE,
    HelpLimit,
    Inbox,
    UnsignedError,
    signature_of,
    twiml,
)
from notifications.replies.words import WORDS
from tests.notifications.hostile import HOSTILE, UNSEEN
from tests.notifications.messages import NOW

TOKEN = "c0ffee00c0ffee00c0ffee00c0ffee00"
URL = "https://vigia.example/in/sms?channel=4"
ALICE = "+5511912345678"
HELP = WORDS[Language.ENGLISH].sms_help


class Desk:
    """Keeps the replies, and answers them."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []

    async def __call__(self, reply: Reply) -> str:
        self.replies.append(reply)
        if reply.alert_id == 404:
            raise NotFoundError("there is no alert 404 <any more> & it's gone")
        return "Acknowledged: CPU > 80 %"


@pytest.fixture
def desk() -> Desk:
    return Desk()


def inbox_of(desk: Desk) -> Inbox:
    return Inbox(token=TOKEN, url=URL, numbers={ALICE}, on_reply=desk, help_limit=HelpLimit())


def request_of(text: str, sender: str = ALICE, url: str = URL) -> tuple[bytes, str]:
    """Return the body and the signature of a message, as Twilio makes them."""
    fields = {
        "ToCountry": "US",
        "MessageSid": "SM00000000000000000000000000000001",
        "Body": text,
        "From": sender,
        "To": "+15017122661",
        "FromCity": "",
    }
    return urlencode(fields).encode(), signature_of(TOKEN, url, list(fields.items())).decode()


def said(answer: str) -> str | None:
    """Return what an answer in TwiML says; None if it says nothing."""
    response = ET.fromstring(answer)
    assert (response.tag, len(response)) == ("Response", len(response.findall("Message")))
    return response.findtext("Message")


@pytest.mark.parametrize(
    ("number", "signature"),
    [
        ("+14158675309", "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        ("+12349013030", "0/KCTR6DLpKmkAf8muzZqo1nDgQ="),
    ],
)
def test_the_signatures_of_twilios_own_examples(number: str, signature: str) -> None:
    fields = [
        ("CallSid", "CA1234567890ABCDE"),
        ("Caller", number),
        ("Digits", "1234"),
        ("From", number),
        ("To", "+18005551212"),
    ]
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert signature_of("12345", url, fields).decode() == signature


@pytest.mark.parametrize(
    ("text", "action", "alert_id"),
    [
        ("41a", Action.ACKNOWLEDGE, 41),
        ("41A", Action.ACKNOWLEDGE, 41),
        (" #41 a\n", Action.ACKNOWLEDGE, 41),
        ("41aa", Action.ACKNOWLEDGE_ALL, 41),
        ("41r", Action.RESOLVE, 41),
    ],
)
async def test_a_short_answer_is_a_reply(
    desk: Desk, text: str, action: Action, alert_id: int
) -> None:
    answer = await inbox_of(desk).receive(*request_of(text), NOW)

    assert desk.replies == [Reply(action=action, sender=ALICE, alert_id=alert_id)]
    assert said(answer) == "Acknowledged: CPU > 80 %"


@pytest.mark.parametrize(
    ("text", "action"),
    [("STOP", Action.STOP), ("stop ", Action.STOP), ("Unsubscribe", Action.STOP),
     ("START", Action.START), ("unstop", Action.START)],
)  # fmt: skip
async def test_stop_and_start_are_replies_that_twilio_answers(
    desk: Desk, text: str, action: Action
) -> None:
    assert await inbox_of(desk).receive(*request_of(text), NOW) == SILENCE
    assert desk.replies == [Reply(action=action, sender=ALICE)]


async def test_what_cannot_be_done_is_told_in_its_own_words(desk: Desk) -> None:
    answer = await inbox_of(desk).receive(*request_of("404a"), NOW)
    assert said(answer) == "there is no alert 404 <any more> & it's gone"


async def test_what_is_not_understood_is_helped_once_an_hour(desk: Desk) -> None:
    inbox = inbox_of(desk)
    answers = [
        said(await inbox.receive(*request_of("what?"), NOW + timedelta(minutes=minutes)))
        for minutes in (0, 1, 59, 60, 61)
    ]
    assert answers == [HELP, None, None, HELP, None]
    assert desk.replies == []


@pytest.mark.parametrize("text", ["", "41", "a", "41b", "41aaa", "-1a", "41a 42a", "9" * 19 + "a"])
async def test_nothing_is_guessed(desk: Desk, text: str) -> None:
    assert said(await inbox_of(desk).receive(*request_of(text), NOW)) == HELP
    assert desk.replies == []


@pytest.mark.parametrize("text", ["HELP", "info"])
async def test_what_twilio_answers_is_not_answered_twice(desk: Desk, text: str) -> None:
    assert await inbox_of(desk).receive(*request_of(text), NOW) == SILENCE


@pytest.mark.parametrize("text", ["41a", "STOP", "hello"])
async def test_other_numbers_can_do_nothing_and_cost_nothing(desk: Desk, text: str) -> None:
    answer = await inbox_of(desk).receive(*request_of(text, sender="+15550001111"), NOW)
    assert (answer, desk.replies) == (SILENCE, [])


@pytest.mark.parametrize("forgery", ["nothing", "other", "address", "body", "added", "many"])
async def test_a_forged_request_is_refused(desk: Desk, forgery: str) -> None:
    body, signature = request_of("41a")
    match forgery:
        case "nothing":
            signature = ""
        case "other":
            signature = signature_of("0" * 32, URL, []).decode()
        case "address":
            body, signature = request_of("41a", url="https://vigia.example/in/other")
        case "body":
            body = body.replace(b"41a", b"42a")
        case "added":
            body += b"&Body=41r"
        case "many":
            body = b"&".join(b"a=1" for _ in range(FIELDS_MAX + 1))
    with pytest.raises(UnsignedError):
        await inbox_of(desk).receive(body, signature, NOW)
    assert desk.replies == []


@settings(deadline=None)
@given(st.binary(max_size=300), st.text(max_size=60))
async def test_any_bytes_are_refused(body: bytes, signature: str) -> None:
    desk = Desk()
    with pytest.raises(UnsignedError):
        await inbox_of(desk).receive(body, signature, NOW)


@pytest.mark.parametrize(
    "text", [*HOSTILE, "]]><Message>x</Message>", "\x1b\x00\ufffe", "x" * 9999]
)
def test_an_answer_is_always_one_message(text: str) -> None:
    words = said(twiml(text))
    assert words is not None
    assert len(words) <= 1600
    if len(text) < 1600:
        assert words == text.replace("\r\n", "\n").translate(UNSEEN)


def test_help_is_remembered_for_so_many_senders_only() -> None:
    limit = HelpLimit()
    assert all(limit.allows(f"+1{n}", NOW) for n in range(HELP_SENDERS_MAX))
    assert not limit.allows("+2", NOW)
    assert limit.allows("+2", NOW + timedelta(hours=1))
    assert len(limit.helped_at) == 1
