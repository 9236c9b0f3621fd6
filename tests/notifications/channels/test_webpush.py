"""A browser that subscribed is told of alerts, and nobody on the way can read them."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import InvalidError
from model.severity import Level
from notifications.channels import webpush
from notifications.channels.webpush import check, payload_of
from notifications.delivery import Channel, GoneError, PermanentError
from notifications.message import Event, Kind, Language, Links
from notifications.posting import recording
from notifications.push.encryption import PAYLOAD_BYTES_MAX
from notifications.push.vapid import make_key_pair
from runtime.network.egress import Egress
from tests.notifications.hostile import HOSTILE
from tests.notifications.messages import NOW, message
from tests.notifications.provider import Provider
from tests.notifications.push.browsers import Browser, PushService
from tests.notifications.reference import json_in

PAIR = make_key_pair()


@pytest.fixture
def service(provider: Provider) -> PushService:
    service = PushService(PAIR.public, NOW)
    service.origin, provider.handler = provider.url, service
    return service


def channel(provider: Provider, browser: Browser, **settings: Any) -> Channel:
    return Channel(
        id=1,
        name="phone",
        type="webpush",
        url=f"{provider.url}/wpush/v2/abc",
        secret=PAIR.private,
        settings={**browser.keys, "subject": "mailto:ops@example.org", **settings},
    )


async def test_the_browser_is_given_the_documented_example(
    egress: Egress, provider: Provider, service: PushService
) -> None:
    receipt = await webpush.send(egress, channel(provider, service.browser), message(), NOW)

    assert receipt.status == 201
    assert service.messages == [json_in("webpush")]
    (headers,) = service.headers
    assert (headers["TTL"], headers["Urgency"]) == ("86400", "high")


async def test_a_test_of_the_channel_shows_what_the_browser_can_read(
    egress: Egress, provider: Provider, service: PushService
) -> None:
    with recording() as bodies:
        await webpush.send(egress, channel(provider, service.browser), message(), NOW)
    assert [msgspec.json.decode(body) for body in bodies] == service.messages


async def test_a_later_message_takes_the_place_of_one_that_waits(
    egress: Egress, provider: Provider, service: PushService
) -> None:
    phone = channel(provider, service.browser)
    await webpush.send(egress, phone, message(), NOW)
    await webpush.send(egress, phone, message(Event.RESOLVED), NOW)
    await webpush.send(egress, phone, message(thread="alert-42"), NOW)

    first, second, third = (headers["Topic"] for headers in service.headers)
    assert first == second != third
    assert [one["tag"] for one in service.messages] == ["alert-41", "alert-41", "alert-42"]


@pytest.mark.parametrize(
    ("event", "level", "urgency"),
    [
        (Event.OPENED, Level.EMERGENCY, "high"),
        (Event.OPENED, Level.WARNING, "normal"),
        (Event.RESOLVED, Level.CRITICAL, "normal"),
        (Event.TEST, None, "low"),
    ],
)
async def test_only_what_cannot_wait_wakes_a_phone(
    egress: Egress,
    provider: Provider,
    service: PushService,
    event: Event,
    level: Level | None,
    urgency: str,
) -> None:
    news = message(event, level=level, kind=Kind.ALERT)
    await webpush.send(egress, channel(provider, service.browser), news, NOW)

    assert service.headers[0]["Urgency"] == urgency
    assert service.messages[0]["urgent"] == (urgency == "high")


@pytest.mark.parametrize("event", [Event.ACKNOWLEDGED, Event.RESOLVED])
def test_what_is_over_cannot_be_acknowledged(event: Event) -> None:
    assert set(msgspec.json.decode(payload_of(message(event)))["links"]) == {"open"}


def test_the_buttons_speak_the_readers_language() -> None:
    portuguese = payload_of(message(language=Language.BRAZILIAN_PORTUGUESE))
    labels = msgspec.json.decode(portuguese)["labels"]
    assert (labels["acknowledge"], labels["acknowledged"]) == ("Reconhecer", "Reconhecido.")


anything = st.text(max_size=5000)


@settings(deadline=None)
@given(title=anything, text=anything, thread=anything, link=anything)
def test_no_message_is_too_long(title: str, text: str, thread: str, link: str) -> None:
    links = Links(
        alert="https://vigia.example/" + link, acknowledge="https://vigia.example/l/" + link
    )
    payload = payload_of(message(title=title, text=text, thread=thread, links=links))
    assert len(payload) <= PAYLOAD_BYTES_MAX


@pytest.mark.parametrize("long", ["\x01" * 5000, "\U0001f525" * 5000, '"' * 5000, "x" * 5000])
async def test_a_long_text_takes_what_is_left(
    egress: Egress, provider: Provider, service: PushService, long: str
) -> None:
    longest = message(title=long, text=long, thread=long)
    await webpush.send(egress, channel(provider, service.browser), longest, NOW)

    assert service.messages[0]["text"].endswith("…")
    assert len(provider.requests[0].body) > 4080


@pytest.mark.parametrize("text", HOSTILE)
async def test_texts_arrive_as_they_are(
    egress: Egress, provider: Provider, service: PushService, text: str
) -> None:
    hostile = message(title=text, text=text, thread=text)
    await webpush.send(egress, channel(provider, service.browser), hostile, NOW)

    (shown,) = service.messages
    assert (shown["title"], shown["text"], shown["tag"]) == (text, text, text)


@pytest.mark.parametrize("status", [404, 410])
async def test_a_browser_that_unsubscribed_is_gone(
    egress: Egress, provider: Provider, service: PushService, status: int
) -> None:
    phone = channel(provider, service.browser)
    if status == 410:
        service.gone_status = 410
    else:
        phone = msgspec.structs.replace(phone, url=f"{provider.url}/wpush/v2/unknown")
    with pytest.raises(GoneError) as caught:
        await webpush.send(egress, phone, message(), NOW)
    assert caught.value.status == status


async def test_another_key_than_the_browser_knows_is_refused(
    egress: Egress, provider: Provider, service: PushService
) -> None:
    phone = channel(provider, service.browser)
    other = msgspec.structs.replace(phone, secret=make_key_pair().private)
    with pytest.raises(PermanentError) as caught:
        await webpush.send(egress, other, message(), NOW)
    assert (caught.value.status, service.messages) == (403, [])


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"secret": "no key"}, "must be a private VAPID key"),
        ({"p256dh": "BAAA"}, "p256dh and auth"),
        ({"auth": "AAAA"}, "p256dh and auth"),
        ({"subject": "ops@example.org"}, "subject must be mailto: with an address"),
    ],
)
async def test_wrong_keys_are_named_and_never_shown(
    egress: Egress, provider: Provider, service: PushService, changed: dict[str, str], words: str
) -> None:
    secret = changed.pop("secret", PAIR.private)
    phone = channel(provider, service.browser, **changed)
    phone = msgspec.structs.replace(phone, secret=secret)
    with pytest.raises(InvalidError, match=words) as caught:
        check(phone)
    assert secret not in str(caught.value)
    if "subject" not in changed:
        with pytest.raises(PermanentError, match=words):
            await webpush.send(egress, phone, message(), NOW)


def test_a_subscription_that_can_work_is_stored(provider: Provider, service: PushService) -> None:
    check(channel(provider, service.browser))
