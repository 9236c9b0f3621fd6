"""Browsers over HTTP: subscribed, tried, removed; the push service checks and decrypts."""

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from model.principal import Role
from model.times import utc_now
from tests.api.notifications.rota import audited, make_contact
from tests.notifications.provider import Provider, open_provider
from tests.notifications.push.browsers import PushService

PATH = "/push/browsers"


@pytest.fixture
async def push_service(service: Any) -> AsyncIterator[PushService]:
    key = (await service.get("/push/key", Role.OPERATOR)).body["public_key"]
    async with open_provider() as provider:
        yield at(provider, key)


def at(provider: Provider, key: str) -> PushService:
    made = PushService(key, utc_now())
    made.origin, provider.handler = provider.url, made
    return made


def endpoint_of(push_service: PushService) -> str:
    return f"{push_service.origin}/wpush/v2/abc"


def one(push_service: PushService, suffix: str = "") -> str:
    digest = hashlib.sha256(endpoint_of(push_service).encode()).hexdigest()
    return f"{PATH}/{digest}{suffix}"


async def subscribe(service: Any, push_service: PushService, **terms: Any) -> Any:
    key = (await service.get("/push/key", Role.OPERATOR)).body["public_key"]
    keys = push_service.browser.keys
    subscription = {
        "endpoint": endpoint_of(push_service), "expirationTime": None, "keys": keys,
    }  # fmt: skip
    body = {"subscription": subscription, "server_key": key, **terms}
    return await service.post(PATH, body, Role.OPERATOR)


async def test_a_subscribed_browser_is_a_channel_and_reads_the_test_message(
    service: Any, push_service: PushService
) -> None:
    made = await subscribe(service, push_service, title="Chrome on Android")
    tested = await service.post(one(push_service, "/test"), role=Role.OPERATOR)

    assert (made.status, made.body["type"], made.body["min_level"]) == (201, "webpush", "warning")
    assert made.body["name"].startswith("browser-")
    assert (tested.body["state"], tested.body["status"]) == ("sent", 201)
    [message] = push_service.messages
    assert message["title"] in tested.body["sent"]
    assert (await service.get(one(push_service), Role.OPERATOR)).body == made.body
    listed = (await service.get("/channels", Role.OPERATOR)).body["items"]
    assert [channel["title"] for channel in listed] == ["Chrome on Android"]


async def test_subscribing_again_changes_the_same_channel(
    service: Any, push_service: PushService
) -> None:
    first = await subscribe(service, push_service)
    again = await subscribe(service, push_service, min_level="critical")

    assert (again.body["id"], again.body["min_level"]) == (first.body["id"], "critical")


@pytest.mark.parametrize("status", [404, 410])
async def test_an_expired_subscription_is_removed_with_its_contacts(
    service: Any, push_service: PushService, status: int
) -> None:
    name = (await subscribe(service, push_service)).body["name"]
    await make_contact(service, addresses=[{"channel": name}])
    push_service.gone_status = status

    tested = await service.post(one(push_service, "/test"), role=Role.OPERATOR)

    assert (tested.body["state"], tested.body["status"]) == ("failed", status)
    assert (await service.get("/channels", Role.OPERATOR)).body["items"] == []
    assert (await service.get("/contacts/ana", Role.OPERATOR)).body["addresses"] == []
    assert (await service.get(one(push_service), Role.OPERATOR)).status == 404
    actor, detail = (await audited(service, "channel_changed"))[-1]
    assert (actor, detail.endswith("its address no longer exists")) == ("vigia", True)


async def test_a_browser_is_removed_by_who_knows_its_endpoint_alone(
    service: Any, push_service: PushService
) -> None:
    name = (await subscribe(service, push_service)).body["name"]
    await make_contact(service, addresses=[{"channel": name}])
    guessed = f"{PATH}/{name.removeprefix('browser-')}{'0' * 52}"
    base = "/api/v1/monitoring"

    assert (await service.ask(base + guessed, Role.OPERATOR, method="DELETE")).status == 404
    gone = await service.ask(base + one(push_service), Role.OPERATOR, method="DELETE")
    assert gone.status == 204
    assert (await service.get("/channels", Role.OPERATOR)).body["items"] == []


async def test_wrong_subscriptions_are_refused_with_what_to_do(
    service: Any, push_service: PushService
) -> None:
    other_key = await subscribe(service, push_service, server_key="BAAA")
    assert (other_key.status, "subscribe again" in other_key.detail) == (409, True)
    for subscription in (
        {"endpoint": "ftp://x", "keys": push_service.browser.keys},
        {"endpoint": endpoint_of(push_service), "keys": {"p256dh": "AA", "auth": "AA"}},
        {"endpoint": endpoint_of(push_service)},
    ):
        answer = await subscribe(service, push_service, subscription=subscription)
        assert answer.status == 400


async def test_the_endpoint_and_the_private_key_are_never_given_back(
    service: Any, push_service: PushService
) -> None:
    made = await subscribe(service, push_service)
    tested = await service.post(one(push_service, "/test"))

    assert endpoint_of(push_service) not in str(made.body) + str(tested.body)
    assert "secret" not in made.body
