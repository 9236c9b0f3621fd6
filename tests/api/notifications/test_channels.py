"""Channels over HTTP: made, changed, tried; their addresses and secrets never come back."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from model.principal import Role
from tests.notifications.mail_server import open_mail_server
from tests.notifications.provider import Provider, open_provider

MAIL = {"to": ["ana@example.org"], "from": "vigia@example.org"}
URL_PATH, SECRET = "/hooks/T0-very-secret-path", "s3cret-signing-key"


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with open_provider() as opened:
        yield opened


async def make(service: Any, **terms: Any) -> Any:
    wanted = {"name": "ops", "type": "webhook", "url": "http://127.0.0.1:9/x"} | terms
    return await service.post("/channels", wanted)


async def test_a_channel_is_made_read_changed_and_deleted(service: Any) -> None:
    made = await make(service, min_level="critical", title="On-call chat")
    path = f"/channels/{made.body['id']}"
    assert made.status == 201
    assert (made.body["enabled"], made.body["min_level"]) == (True, "critical")

    changed = made.body | {"enabled": False, "title": "Chat"}
    answer = await service.ask(f"/api/v1/monitoring{path}", method="PUT", json=changed)
    assert (answer.status, answer.body["enabled"], answer.body["title"]) == (200, False, "Chat")
    listed = await service.get("/channels", Role.OPERATOR)
    assert [one["name"] for one in listed.body["items"]] == ["ops"]

    gone = await service.ask(f"/api/v1/monitoring{path}", method="DELETE")
    assert gone.status == 204
    assert (await service.get(path, Role.OPERATOR)).status == 404


async def test_neither_address_nor_secret_is_given_back_or_stored_as_it_is(service: Any) -> None:
    made = await make(service, url=f"https://hooks.example{URL_PATH}", secret=SECRET)
    answers = [
        made,
        await service.get(f"/channels/{made.body['id']}", Role.ADMIN),
        await service.get("/channels", Role.ADMIN),
    ]
    async with service.context.pool.connection() as connection:
        rows = await (await connection.execute("SELECT channels::text FROM channels")).fetchall()

    for text in [*(str(answer.body) for answer in answers), *(str(row) for row in rows)]:
        assert URL_PATH not in text
        assert SECRET not in text


async def test_a_test_shows_what_was_sent_and_answered_without_the_secret(
    service: Any, provider: Provider
) -> None:
    provider.body = f"thanks, {SECRET}".encode()
    made = await make(service, url=provider.url + URL_PATH, secret=SECRET)
    answer = await service.post(f"/channels/{made.body['id']}/test")

    assert (answer.status, answer.body["state"], answer.body["answer"]) == (
        200, "sent", "thanks, [secret]",
    )  # fmt: skip
    assert answer.body["key"] in answer.body["sent"]
    [request] = provider.requests
    assert request.headers["Idempotency-Key"] == answer.body["key"]
    logged = (await service.get("/deliveries", Role.OPERATOR)).body["items"]
    assert [(one["kind"], one["state"]) for one in logged] == [("test", "sent")]


async def test_a_test_that_fails_says_why(service: Any, provider: Provider) -> None:
    provider.status = 403
    made = await make(service, url=provider.url)
    answer = await service.post(f"/channels/{made.body['id']}/test")

    assert (answer.status, answer.body["state"], answer.body["status"]) == (200, "failed", 403)
    assert answer.body["error"] == "the provider answered 403"


async def test_a_test_of_mail_shows_the_mail(service: Any) -> None:
    async with open_mail_server(tls="none") as server:
        made = await make(
            service, type="email", url=f"smtp://127.0.0.1:{server.port}", settings=MAIL
        )
        answer = await service.post(f"/channels/{made.body['id']}/test")

    [received] = server.received
    assert (answer.body["state"], answer.body["answer"]) == ("sent", "queued as 1")
    assert answer.body["sent"] == received.data.decode()
    assert received.mail["To"] == "ana@example.org"


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"type": "pigeon"}, "is not one of apprise, discord"),
        ({"url": ""}, "Webhook channels need one, such as https://"),
        ({"tz": "Mars/Base"}, "Europe/Lisbon"),
        ({"settings": {"room": 1}}, "the settings of Webhook channels are: none"),
        ({"type": "email", "settings": MAIL | {"cc": "x"}}, "are: to, from, plain"),
        ({"type": "email", "settings": MAIL | {"to": ["ana"]}}, "'ana' is not a mail address"),
        ({"type": "email", "settings": MAIL}, "the url must be smtp:// or smtps://"),
        ({"type": "email", "settings": MAIL, "url": "smtp://a@b.example"}, "set secret"),
        ({"type": "ntfy", "url": "https://ntfy.sh/"}, "the url must be that of the server"),
        ({"type": "events", "settings": {"types": ["metrics"]}}, "the types are alerts, "),
        ({"name": "two words"}, "name"),
        ({"min_level": "loud"}, "min_level"),
    ],
)
async def test_a_wrong_channel_is_refused_with_what_to_write(
    service: Any, terms: dict[str, Any], words: str
) -> None:
    answer = await make(service, **terms)

    assert answer.status == 400
    assert words in answer.detail


async def test_names_are_unique(service: Any) -> None:
    await make(service)
    again = await make(service)

    assert (again.status, again.detail) == (
        409, "a channel named 'ops' already exists; choose another name",
    )  # fmt: skip


async def test_a_secret_does_not_follow_a_channel_to_another_address(service: Any) -> None:
    made = await make(service, secret=SECRET)
    path = f"/api/v1/monitoring/channels/{made.body['id']}"
    moved = {"name": "ops", "type": "webhook", "url": "https://evil.example"}
    refused = await service.ask(path, method="PUT", json=moved)
    allowed = await service.ask(path, method="PUT", json=moved | {"secret": "another"})

    assert (refused.status, allowed.status) == (400, 200)
    assert refused.detail.startswith("secret: give it again")


async def test_a_channel_that_an_action_names_stays_as_it_is(service: Any) -> None:
    made = (await make(service)).body
    path = f"/api/v1/monitoring/channels/{made['id']}"
    action = {"name": "restart", "kind": "webhook", "channel": "ops"}
    setting = "/api/v1/monitoring/config/actions"
    wrong = {"value": [action | {"channel": "oops"}]}
    refused = await service.ask(setting, method="PUT", json=wrong)
    assert (refused.status, "there is no channel 'oops'" in str(refused.body)) == (400, True)
    assert (await service.get("/config/actions")).body["updated_at"] is None

    assert (await service.ask(setting, method="PUT", json={"value": [action]})).status == 200
    for change in (
        {"method": "DELETE"},
        {"method": "PUT", "json": made | {"name": "other"}},
        {"method": "PUT", "json": made | {"type": "discord", "url": "https://discord.com/x"}},
    ):
        answer = await service.ask(path, **change)
        assert (answer.status, "in the action restart" in str(answer.body)) == (409, True)
    titled = await service.ask(path, method="PUT", json=made | {"title": "Ops"})
    assert titled.status == 200


async def test_each_change_is_in_the_audit(service: Any) -> None:
    made = await make(service)
    await service.ask(f"/api/v1/monitoring/channels/{made.body['id']}", method="DELETE")
    events = (await service.get("/security/events", Role.ADMIN)).body["items"]

    details = [one["detail"] for one in events if one["type"] == "channel_changed"]
    assert details == ["channel ops deleted", "channel ops created, of type webhook"]


async def test_the_list_says_what_came_of_the_newest_try(service: Any, provider: Provider) -> None:
    quiet = await make(service, name="quiet")
    tried = await make(service, name="tried", url=provider.url)
    for status in (200, 403):
        provider.status = status
        await service.post(f"/channels/{tried.body['id']}/test")
    newest, oldest = (await service.get("/channels", Role.OPERATOR)).body["items"]

    assert (oldest["id"], oldest["last_delivery"]) == (quiet.body["id"], None)
    last = newest["last_delivery"]
    assert (last["state"], last["event"]) == ("failed", "test")
    assert last["last_error"] == "the provider answered 403"
    answer = await service.ask(
        f"/api/v1/monitoring/channels/{newest['id']}", method="PUT", json=newest
    )
    assert answer.status == 200


async def test_whoever_reads_may_see_what_a_channel_asks_for(service: Any) -> None:
    answer = await service.get("/channels/types", Role.VIEWER)

    assert len(answer.body["items"]) == 13
    [webhook] = [one for one in answer.body["items"] if one["type"] == "webhook"]
    assert [field["name"] for field in webhook["fields"]] == ["url", "secret"]


async def test_a_channel_of_events_is_tested_without_showing_its_secret(
    service: Any, provider: Provider
) -> None:
    made = await make(
        service, type="events", url=provider.url + URL_PATH, secret=SECRET,
        settings={"types": ["alert*"]},
    )  # fmt: skip
    answer = await service.post(f"/channels/{made.body['id']}/test")

    [request] = provider.requests
    assert (made.status, answer.body["state"]) == (201, "sent")
    assert answer.body["sent"] == request.body.decode()
    assert request.headers["X-Vigia-Signature"].startswith("v1,t=")
    for text in (str(made.body), str(answer.body)):
        assert SECRET not in text
        assert URL_PATH not in text


async def test_what_is_about_alerts_cannot_name_a_channel_of_events(service: Any) -> None:
    made = await make(service, name="feed", type="events")
    steps = [{"targets": [{"kind": "channel", "name": "feed"}]}]
    address = {"channel": "feed", "address": ""}
    answers = [
        await service.post("/routes", {"name": "all", "channels": ["feed"]}),
        await service.post("/policies", {"name": "night", "steps": steps}),
        await service.post("/contacts", {"name": "ana", "addresses": [address]}),
    ]
    webhook = await make(service)
    for one, other in ((made, "webhook"), (webhook, "events")):
        wanted = one.body | {"type": other, "url": "https://a.example"}
        path = f"/api/v1/monitoring/channels/{one.body['id']}"
        answers.append(await service.ask(path, method="PUT", json=wanted))

    assert [answer.status for answer in answers] == [400] * 5
    assert all("'feed' sends events of the bus" in answer.detail for answer in answers[:3])
    assert all("make another channel" in answer.detail for answer in answers[3:])


async def test_there_is_a_limit_of_channels(service: Any) -> None:
    async with service.context.pool.connection() as connection:
        await connection.execute(
            "INSERT INTO channels (name, type, url, secret, updated_at, updated_by) "
            "SELECT 'x' || n, 'webhook', '', '', now(), 'test' FROM generate_series(1, 1000) n"
        )
    answer = await service.post(
        "/channels", {"name": "one-more", "type": "webhook", "url": "http://127.0.0.1:9/x"}
    )

    assert (answer.status, answer.body["detail"]) == (
        409,
        "there are already 1000 channels; delete one first",
    )
