"""A chat in Telegram is told of alerts, and can act on them."""

from typing import Any

import msgspec
import pytest

from notifications.channels import telegram
from notifications.delivery import Channel, PermanentError, TemporaryError
from notifications.message import Event, Language, Links
from notifications.replies.reply import Action, pressed
from runtime.network.egress import Egress
from tests.notifications.fake_telegram import CHAT, PNG, TOKEN, RefusedError, Telegram
from tests.notifications.hostile import HOSTILE
from tests.notifications.messages import ALERT, NOW, message
from tests.notifications.provider import Provider
from tests.notifications.reference import json_in

FLAME = "\U0001f525"


@pytest.fixture
def chat(provider: Provider) -> Telegram:
    chat = Telegram()
    provider.handler = chat
    return chat


def channel(provider: Provider, **settings: Any) -> Channel:
    return Channel(
        id=1,
        name="ops",
        type="telegram",
        url=provider.url,
        secret=TOKEN,
        settings={"chat_id": CHAT, **settings},
    )


async def test_an_alert_is_the_documented_example(
    egress: Egress, provider: Provider, chat: Telegram
) -> None:
    receipt = await telegram.send(egress, channel(provider), message(), NOW)

    (request,) = provider.requests
    assert (request.path, request.headers["Content-Type"]) == (
        f"/bot{TOKEN}/sendMessage",
        "application/json",
    )
    assert msgspec.json.decode(request.body) == json_in("telegram")
    assert receipt.reference == f"{CHAT}/1"
    assert chat.said[0]["text"] == (
        "🔴 [critical] CPU high on web-1\nCPU at 97.7 % (limit 80 %), average of 1 min\n"
        "Since 03:00 UTC"
    )


async def test_later_messages_answer_the_first(
    egress: Egress, provider: Provider, chat: Telegram
) -> None:
    first = await telegram.send(egress, channel(provider), message(), NOW)
    resolved = message(Event.RESOLVED, earlier=first.reference)
    await telegram.send(egress, channel(provider), resolved, NOW)

    assert chat.said[1]["reply_parameters"] == {
        "message_id": 1,
        "allow_sending_without_reply": True,
    }


@pytest.mark.parametrize("earlier", ["-42/1", "1", "", f"{CHAT}/", f"{CHAT}/²", "a/b/c"])
async def test_a_number_of_another_chat_is_not_answered(
    egress: Egress, provider: Provider, chat: Telegram, earlier: str
) -> None:
    await telegram.send(egress, channel(provider), message(earlier=earlier), NOW)
    assert "reply_parameters" not in chat.said[0]


async def test_the_picture_goes_with_the_text_below(
    egress: Egress, provider: Provider, chat: Telegram
) -> None:
    picture = PNG + bytes(range(256))
    with_picture = message(picture=picture, earlier=f"{CHAT}/8")
    receipt = await telegram.send(egress, channel(provider, topic_id=5), with_picture, NOW)

    (said,) = chat.said
    assert provider.requests[0].path == f"/bot{TOKEN}/sendPhoto"
    assert (said["photo"], said["message_thread_id"]) == (picture, "5")
    assert said["text"].startswith("🔴 [critical] CPU high on web-1\nCPU at")
    assert said["reply_parameters"]["message_id"] == 8
    assert said["reply_markup"]["inline_keyboard"][0][0]["text"] == "Acknowledge"
    assert receipt.reference == f"{CHAT}/1"


async def test_a_picture_that_telegram_refuses_costs_no_message(
    egress: Egress, provider: Provider, chat: Telegram
) -> None:
    await telegram.send(egress, channel(provider), message(picture=b"no picture"), NOW)

    assert [one.path.rpartition("/")[2] for one in provider.requests] == [
        "sendPhoto",
        "sendMessage",
    ]
    assert [said["message_id"] for said in chat.said] == [1]


async def test_a_text_that_does_not_fit_below_a_picture_goes_alone(
    egress: Egress, provider: Provider, chat: Telegram
) -> None:
    await telegram.send(egress, channel(provider), message(picture=PNG, text="x" * 2000), NOW)

    assert provider.requests[0].path == f"/bot{TOKEN}/sendMessage"
    assert chat.said[0]["text"].endswith("x" * 2000)


@pytest.mark.parametrize("text", ["&<>" * 5000, FLAME * 5000, "x" * 100_000])
async def test_a_long_text_is_cut_as_telegram_counts(
    egress: Egress, provider: Provider, chat: Telegram, text: str
) -> None:
    await telegram.send(egress, channel(provider), message(title=text, text=text), NOW)

    said = chat.said[0]["text"]
    assert len(said.encode("utf-16-le")) / 2 >= telegram.TEXT_LENGTH_MAX - 2
    assert said.endswith("…")


@pytest.mark.parametrize("text", HOSTILE)
async def test_texts_arrive_as_they_are(
    egress: Egress, provider: Provider, chat: Telegram, text: str
) -> None:
    await telegram.send(egress, channel(provider), message(title=text, text=text), NOW)
    await telegram.send(egress, channel(provider), message(title=text, text=text, picture=PNG), NOW)
    for said in chat.said:
        # A form's line break is CR LF, and HTML's is LF.
        assert said["text"].replace("\r\n", "\n") == f"🔴 {text}\n{text}".replace("\r\n", "\n")
        assert said["tags"] == ["b"]


LINKS = Links(
    alert="https://vigia.example/alerts/41",
    acknowledge="https://vigia.example/l/" + "A" * 48,
    resolve="https://vigia.example/l/" + "B" * 48,
    chart="https://vigia.example/explore?a=1",
    runbook="https://wiki.example/cpu",
)


def keyboard(event: Event, **changed: Any) -> list[list[dict[str, str]]]:
    settings = telegram.TelegramSettings(chat_id=CHAT)
    fields = telegram.fields_of(message(event, **changed), settings)
    rows: list[list[dict[str, str]]] = fields.get("reply_markup", {}).get("inline_keyboard", [])
    return rows


def test_buttons_act_with_the_tokens_of_their_links() -> None:
    actions, addresses = keyboard(Event.OPENED, links=LINKS)

    assert [button["text"] for button in actions] == ["Acknowledge", "Resolve"]
    replies = [pressed(button["callback_data"], "alice") for button in actions]
    assert [(one.action, one.token, one.alert_id) for one in replies if one] == [
        (Action.ACKNOWLEDGE, "A" * 48, None),
        (Action.RESOLVE, "B" * 48, None),
    ]
    assert [button["text"] for button in addresses] == ["Open", "Runbook", "Chart"]


@pytest.mark.parametrize(
    ("event", "labels"),
    [
        (Event.ACKNOWLEDGED, ["Resolve", "Open"]),
        (Event.RESOLVED, ["Open"]),
        (Event.REMINDER, ["Acknowledge", "Resolve", "Open"]),
    ],
)
def test_only_what_is_left_to_do_has_a_button(event: Event, labels: list[str]) -> None:
    assert [button["text"] for row in keyboard(event) for button in row] == labels


def test_buttons_speak_the_readers_language() -> None:
    rows = keyboard(Event.OPENED, language=Language.BRAZILIAN_PORTUGUESE)
    assert [button["text"] for row in rows for button in row] == ["Reconhecer", "Resolver", "Abrir"]


def test_without_links_the_only_alert_is_named_and_a_group_has_no_buttons() -> None:
    ((acknowledge, _),) = keyboard(Event.OPENED, links=Links())
    reply = pressed(acknowledge["callback_data"], "alice")
    assert reply is not None
    assert (reply.alert_id, reply.token) == (41, "")
    assert keyboard(Event.GROUP, links=Links(), alerts=(ALERT, ALERT)) == []


@pytest.mark.parametrize(
    "link",
    [
        "http://localhost:3001/alerts/41",
        "http://vigia/alerts/41",
        "javascript:alert(1)",
        "http://[x",
    ],
)
async def test_an_address_that_telegram_refuses_makes_no_button(
    egress: Egress, provider: Provider, chat: Telegram, link: str
) -> None:
    links = Links(alert=link, runbook=link)
    await telegram.send(egress, channel(provider), message(links=links), NOW)
    assert len(chat.said[0]["reply_markup"]["inline_keyboard"]) == 1


async def test_telegram_says_how_long_to_wait(
    egress: Egress, provider: Provider, chat: Telegram
) -> None:
    chat.refusal = RefusedError(429, "Too Many Requests: retry after 35", retry_after=35)
    with pytest.raises(TemporaryError) as caught:
        await telegram.send(egress, channel(provider), message(), NOW)
    assert caught.value.retry_after_s == 35.0


@pytest.mark.parametrize(("asked_s", "expected_s"), [(86_400, 3600.0), (-5, 0.0)])
async def test_nobody_waits_longer_than_an_hour(
    egress: Egress, provider: Provider, chat: Telegram, asked_s: int, expected_s: float
) -> None:
    chat.refusal = RefusedError(429, "Too Many Requests", retry_after=asked_s)
    with pytest.raises(TemporaryError) as caught:
        await telegram.send(egress, channel(provider), message(), NOW)
    assert caught.value.retry_after_s == expected_s


async def test_a_group_that_moved_says_where_to(
    egress: Egress, provider: Provider, chat: Telegram
) -> None:
    words = "Bad Request: group chat was upgraded to a supergroup chat"
    chat.refusal = RefusedError(400, words, migrate_to_chat_id=-100999)
    with pytest.raises(PermanentError, match="set chat_id to -100999"):
        await telegram.send(egress, channel(provider), message(), NOW)


@pytest.mark.parametrize(
    ("status", "words"),
    [(403, "Forbidden: bot was blocked by the user"), (400, "Bad Request: chat not found")],
)
async def test_a_chat_that_the_bot_cannot_write_to_is_not_tried_again(
    egress: Egress, provider: Provider, chat: Telegram, status: int, words: str
) -> None:
    chat.refusal = RefusedError(status, words)
    with pytest.raises(PermanentError) as caught:
        await telegram.send(egress, channel(provider), message(), NOW)
    assert words in caught.value.answer


async def test_a_wrong_token_is_refused_and_never_shown(
    egress: Egress, provider: Provider, chat: Telegram
) -> None:
    wrong = msgspec.structs.replace(channel(provider), secret="1:/../../x?y")
    with pytest.raises(PermanentError) as caught:
        await telegram.send(egress, wrong, message(), NOW)
    assert caught.value.status == 401
    assert chat.said == []


@pytest.mark.parametrize("settings", [{}, {"chat_id": -1, "chat": 2}, {"chat_id": None}])
async def test_wrong_settings_are_named(
    egress: Egress, provider: Provider, settings: dict[str, Any]
) -> None:
    wrong = msgspec.structs.replace(channel(provider), settings=settings)
    with pytest.raises(PermanentError, match="settings are wrong"):
        await telegram.send(egress, wrong, message(), NOW)
