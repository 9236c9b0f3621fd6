"""Buttons and words in the configured chat become replies; nobody else can do anything."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from model.errors import ConflictError
from notifications.delivery import Channel, PermanentError, TemporaryError
from notifications.message import Language
from notifications.replies import telegram
from notifications.replies.reply import Action, Reply
from notifications.replies.telegram import listen, poll
from notifications.replies.words import WORDS
from runtime.network.egress import Egress
from tests.notifications.fake_telegram import CHAT, TOKEN, RefusedError, Telegram
from tests.notifications.messages import NOW
from tests.notifications.provider import Provider

ALICE = "alice (Telegram 7)"


class Desk:
    """Keeps the replies, and answers them."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.refusal = ""

    async def __call__(self, reply: Reply) -> str:
        self.replies.append(reply)
        if self.refusal:
            raise ConflictError(self.refusal)
        return "Acknowledged: CPU high on web-1"


@pytest.fixture
def chat(provider: Provider) -> Telegram:
    chat = Telegram()
    provider.handler = chat
    return chat


@pytest.fixture
def desk() -> Desk:
    return Desk()


Ask = Callable[..., Any]


@pytest.fixture
def ask(egress: Egress, provider: Provider, desk: Desk) -> Ask:
    """Poll once, without waiting for what has not happened."""

    async def once(offset: int = 0, chat_id: Any = CHAT, poll_s: int = 0) -> int:
        ours = channel(provider, chat_id)
        return await poll(egress, ours, desk, NOW, offset=offset, poll_s=poll_s)

    return once


def channel(provider: Provider, chat_id: Any = CHAT) -> Channel:
    return Channel(
        id=1,
        name="ops",
        type="telegram",
        url=provider.url,
        secret=TOKEN,
        settings={"chat_id": chat_id},
    )


async def test_a_button_is_a_reply_and_is_answered(chat: Telegram, desk: Desk, ask: Ask) -> None:
    chat.press("a:tok3n")
    chat.press("r#41")
    await ask()

    assert desk.replies == [
        Reply(action=Action.ACKNOWLEDGE, sender=ALICE, token="tok3n"),
        Reply(action=Action.RESOLVE, sender=ALICE, alert_id=41),
    ]
    assert chat.toasts == [(f"q{n}", "Acknowledged: CPU high on web-1") for n in range(2)]


@pytest.mark.parametrize(
    ("text", "action", "alert_id"),
    [
        ("/ack 41", Action.ACKNOWLEDGE, 41),
        ("/acknowledge #41", Action.ACKNOWLEDGE, 41),
        ("  /resolve@vigia_bot  7 \n", Action.RESOLVE, 7),
    ],
)
async def test_a_command_is_a_reply_and_is_answered(
    chat: Telegram, desk: Desk, ask: Ask, text: str, action: Action, alert_id: int
) -> None:
    chat.write(text)
    await ask()

    assert desk.replies == [Reply(action=action, sender=ALICE, alert_id=alert_id)]
    (said,) = chat.said
    assert said["text"] == "Acknowledged: CPU high on web-1"
    assert said["reply_parameters"]["message_id"] == 99


@pytest.mark.parametrize(
    "text", ["/ack", "/ack me", "/ack -1", "/ack 41 42", "/resolve " + "9" * 19]
)
async def test_a_command_that_is_not_understood_is_explained(
    chat: Telegram, desk: Desk, ask: Ask, text: str
) -> None:
    chat.write(text)
    await ask()

    assert desk.replies == []
    assert [said["text"] for said in chat.said] == [WORDS[Language.ENGLISH].chat_help]


@pytest.mark.parametrize(
    "text", ["hello", "ack 41", "/start", "/acknowledged 41", "see /ack 41", ""]
)
async def test_what_is_said_to_others_is_passed_over(
    chat: Telegram, desk: Desk, ask: Ask, text: str
) -> None:
    chat.write(text)
    assert await ask() == 1002
    assert (desk.replies, chat.said) == ([], [])


async def test_only_the_configured_chat_may_act(chat: Telegram, desk: Desk, ask: Ask) -> None:
    for unknown_sender in (7, -CHAT, CHAT - 1):
        chat.write("/ack 41", chat=unknown_sender)
        chat.press("a#41", chat=unknown_sender)
    chat.happen({"callback_query": {"id": "1", "from": {"id": 7}, "data": "a#41"}})

    assert await ask() == 1008
    assert (desk.replies, chat.said, chat.toasts) == ([], [], [])


@pytest.mark.parametrize(
    ("username", "is_ours"),
    [("ops_alerts", True), ("OPS_alerts", True), ("ops", False), ("", False)],
)
async def test_a_public_chat_is_known_by_its_name(
    chat: Telegram, desk: Desk, ask: Ask, username: str, is_ours: bool
) -> None:
    public = {"id": -5, "type": "channel", "username": username}
    message = {"message_id": 1, "date": 0, "chat": public}
    query = {"id": "1", "from": {"id": 7, "first_name": "A"}, "data": "a#41", "message": message}
    chat.happen({"callback_query": query})
    await ask(chat_id="@ops_alerts")

    assert bool(desk.replies) == is_ours


async def test_a_reply_that_comes_too_late_is_told_why(
    chat: Telegram, desk: Desk, ask: Ask
) -> None:
    desk.refusal = "alert 41 is resolved already " + "x" * 500
    chat.press("a#41")
    await ask()

    ((_, words),) = chat.toasts
    assert words.startswith("alert 41 is resolved already")
    assert len(words) == telegram.TOAST_LENGTH_MAX


async def test_an_old_button_says_that_it_does_nothing(
    chat: Telegram, desk: Desk, ask: Ask
) -> None:
    chat.press("z:what")
    await ask()
    assert (desk.replies, chat.toasts) == ([], [("q0", "This button no longer works.")])


async def test_names_are_printable_and_the_number_tells_who_it_is(
    chat: Telegram, desk: Desk, ask: Ask
) -> None:
    chat.press("a#1", username="", first_name="Ann\r\n\x1b[31m", last_name="\u202eB" * 100)
    await ask()

    (reply,) = desk.replies
    assert reply.sender.startswith("Ann[31m B")
    assert reply.sender.isprintable()
    assert reply.sender.endswith("(Telegram 7)")
    assert len(reply.sender) < 120


async def test_what_was_read_is_not_asked_for_again(chat: Telegram, desk: Desk, ask: Ask) -> None:
    for number in range(12):
        chat.press(f"a#{number}")
    first = await ask()
    second = await ask(offset=first)
    await ask(offset=second)

    assert (first, second) == (1011, 1013)
    assert [reply.alert_id for reply in desk.replies] == list(range(12))
    assert chat.updates == []
    assert chat.polls[0]["allowed_updates"] == ["message", "callback_query"]


async def test_an_update_of_a_kind_yet_unknown_is_passed_over(
    chat: Telegram, desk: Desk, ask: Ask
) -> None:
    chat.happen({"message": {"chat": "not as documented"}})
    chat.happen({"poll": {"id": "1"}})
    chat.press("a#41")

    assert await ask() == 1004
    assert len(desk.replies) == 1


async def test_an_answer_that_cannot_be_given_stops_nothing(
    egress: Egress, provider: Provider, chat: Telegram
) -> None:
    done: list[Reply] = []

    async def act(reply: Reply) -> str:
        chat.refusal = RefusedError(400, "Bad Request: query is too old")
        done.append(reply)
        return "done"

    chat.write("/ack 41")
    chat.press("a#42")
    assert await poll(egress, channel(provider), act, NOW, offset=0, poll_s=0) == 1003
    assert [reply.alert_id for reply in done] == [41, 42]
    assert (chat.said, chat.toasts) == ([], [])


async def test_long_polling_hears_at_once(chat: Telegram, ask: Ask) -> None:
    asked = asyncio.create_task(ask(poll_s=20))
    while not chat.polls:
        await asyncio.sleep(0.01)
    chat.press("a#41")
    async with asyncio.timeout(5):
        assert await asked == 1002
    assert chat.polls[0]["timeout"] == 20


async def test_another_program_that_asks_is_a_reason_to_wait(chat: Telegram, ask: Ask) -> None:
    chat.refusal = RefusedError(409, "Conflict: terminated by other getUpdates request")
    with pytest.raises(TemporaryError) as caught:
        await ask()
    assert "other getUpdates" in caught.value.answer


@pytest.mark.parametrize("body", [b"<html>", b'{"ok":true}', b'{"ok":true,"result":[{}]}'])
async def test_a_malformed_answer_is_asked_for_again(
    provider: Provider, ask: Ask, body: bytes
) -> None:
    provider.body = body
    with pytest.raises(TemporaryError):
        await ask()


async def test_a_wrong_token_is_said(egress: Egress, provider: Provider, chat: Telegram) -> None:
    unknown_sender = Channel(
        id=1, name="ops", type="telegram", url=provider.url, secret="1:no",
        settings={"chat_id": CHAT},
    )  # fmt: skip
    with pytest.raises(PermanentError):
        await poll(egress, unknown_sender, Desk(), NOW, offset=0, poll_s=0)
    assert chat.polls == []


async def test_listening_goes_on_after_failures_and_never_repeats(
    egress: Egress, provider: Provider, chat: Telegram, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telegram, "PAUSE_S_MAX", 0.01)
    chat.refusal = RefusedError(502, "Bad Gateway")
    listening = asyncio.create_task(listen(egress, channel(provider), desk, lambda: NOW))
    try:
        async with asyncio.timeout(10):
            for number in (1, 2):
                chat.press(f"a#{number}")
                while len(desk.replies) < number:
                    await asyncio.sleep(0.01)
            # The third question tells Telegram to forget the second reply.
            while chat.updates:
                await asyncio.sleep(0.01)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    assert [reply.alert_id for reply in desk.replies] == [1, 2]
