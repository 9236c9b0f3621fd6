"""Opsgenie's Alert API as its documentation describes it, and what Vigia tells it."""

from typing import Any
from urllib.parse import unquote

import msgspec
import pytest
from aiohttp import web

from model.severity import Level
from notifications.channels import opsgenie
from notifications.channels.opsgenie import OpsgenieSettings, requests_of
from notifications.delivery import Channel, PermanentError
from notifications.incidents import SEPARATE_ALERTS_MAX
from notifications.message import Event
from runtime.network.egress import Egress
from tests.notifications.hostile import HOSTILE
from tests.notifications.messages import ALERT, NOW, message
from tests.notifications.provider import Provider
from tests.notifications.reference import json_in

KEY = "eb243592-faa2-4ba2-a551q-1afdf565c889"
LENGTHS_MAX = {
    "message": 130,
    "alias": 512,
    "description": 15_000,
    "entity": 512,
    "source": 100,
    "user": 100,
    "note": 25_000,
}
PROCESSED = {"result": "Request will be processed", "took": 0.302, "requestId": "43a29c5c-3dbf"}


class Opsgenie:
    """Takes requests as the documentation says, and keeps an alert for each alias."""

    def __init__(self) -> None:
        self.alerts: dict[str, dict[str, Any]] = {}

    async def __call__(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"GenieKey {KEY}":
            return web.json_response({"message": "Key format is not valid!"}, status=401)
        body = await request.json()
        if wrong := errors_in(body):
            refusal = {"message": "Request body is not processable.", "errors": wrong}
            return web.json_response(refusal, status=422)
        self.act(request, body)
        return web.json_response(PROCESSED, status=202)

    def act(self, request: web.Request, body: dict[str, Any]) -> None:
        path = request.raw_path.partition("?")[0]
        match request.method, [unquote(part) for part in path.split("/")[3:]]:
            case "POST", []:
                alert = self.alerts.setdefault(body["alias"], body | {"count": 0, "state": "open"})
                alert["count"] += 1
            case method, [alias, action]:
                assert request.query["identifierType"] == "alias"
                if alias in self.alerts:
                    changed = {"POST": {"state": action, **body}, "PUT": body}[method]
                    self.alerts[alias] |= changed
            case unknown:
                pytest.fail(f"not an address of Opsgenie: {unknown}")


def errors_in(body: dict[str, Any]) -> dict[str, str]:
    wrong = {
        name: "too long" for name, most in LENGTHS_MAX.items() if len(body.get(name, "")) > most
    }
    details = body.get("details", {})
    if sum(len(name) + len(value) for name, value in details.items()) > 8000:
        wrong["details"] = "too long"
    if body.get("priority", "P3") not in {"P1", "P2", "P3", "P4", "P5"}:
        wrong["priority"] = "unknown"
    if "alias" in body and not body.get("message"):
        wrong["message"] = "must not be empty"
    return wrong


@pytest.fixture
def genie(provider: Provider) -> Opsgenie:
    genie = Opsgenie()
    provider.handler = genie
    return genie


def channel(provider: Provider, **settings: str) -> Channel:
    return Channel(
        id=1, name="ops", type="opsgenie", url=provider.url, secret=KEY, settings=settings
    )


async def test_an_alert_lives_in_opsgenie_from_beginning_to_end(
    egress: Egress, provider: Provider, genie: Opsgenie
) -> None:
    acknowledged = {**ALERT, "acknowledged_by": "alice"}
    for changed, state in (
        (message(Event.OPENED), "open"),
        (message(Event.ACKNOWLEDGED, alerts=(acknowledged,)), "acknowledge"),
        (message(Event.RESOLVED), "close"),
    ):
        receipt = await opsgenie.send(egress, channel(provider), changed, NOW)
        assert (receipt.status, receipt.reference) == (202, "43a29c5c-3dbf")
        assert genie.alerts["alert-41"]["state"] == state
    assert genie.alerts["alert-41"]["user"] == "alice"
    assert genie.alerts["alert-41"]["note"].startswith("CPU at 97.7 %")


async def test_a_new_alert_is_the_documented_example(
    egress: Egress, provider: Provider, genie: Opsgenie
) -> None:
    await opsgenie.send(egress, channel(provider, team="platform"), message(), NOW)

    assert genie.alerts["alert-41"] == json_in("opsgenie") | {"count": 1, "state": "open"}


@pytest.mark.parametrize(
    ("event", "level", "priority"),
    [(Event.ESCALATED, Level.EMERGENCY, "P1"), (Event.LOWERED, Level.WARNING, "P3")],
)
async def test_another_level_is_another_priority(
    egress: Egress, provider: Provider, genie: Opsgenie, event: Event, level: Level, priority: str
) -> None:
    await opsgenie.send(egress, channel(provider), message(), NOW)
    await opsgenie.send(egress, channel(provider), message(event, level=level), NOW)

    alert = genie.alerts["alert-41"]
    assert (alert["priority"], alert["count"]) == (priority, 2)


async def test_a_small_group_is_an_alert_for_each(
    egress: Egress, provider: Provider, genie: Opsgenie
) -> None:
    alerts = ({**ALERT, "id": 1}, {**ALERT, "id": 2})
    await opsgenie.send(egress, channel(provider), message(Event.GROUP, alerts=alerts), NOW)

    assert set(genie.alerts) == {"alert-1", "alert-2"}


async def test_a_storm_is_one_alert_that_lists_all(
    egress: Egress, provider: Provider, genie: Opsgenie
) -> None:
    alerts = tuple({**ALERT, "id": n, "title": f"n{n}"} for n in range(SEPARATE_ALERTS_MAX + 1))
    storm = message(Event.GROUP, alerts=alerts, key="group-7", thread="")
    await opsgenie.send(egress, channel(provider), storm, NOW)

    assert genie.alerts["group-7"]["description"].endswith("\nn19\nn20")


@pytest.mark.parametrize("event", list(Event))
def test_the_longest_message_is_within_the_documented_limits(event: Event) -> None:
    long = "\U0001f525" * 100_000
    longest = message(
        event,
        title=long,
        text=long,
        thread=long,
        facts=((long, "x"), *((f"{n}", "y" * 500) for n in range(200))),
        alerts=({**ALERT, "acknowledged_by": long, "resolved_by": long},),
    )
    for request in requests_of(longest, OpsgenieSettings()):
        assert errors_in(request.body) == {}


@pytest.mark.parametrize("alias", ["a/b", "a?b=c#d", "../../v1", "ação ✓", "100 %2F"])
async def test_a_thread_of_any_characters_is_one_alias(
    egress: Egress, provider: Provider, genie: Opsgenie, alias: str
) -> None:
    genie.alerts[alias] = {"state": "open"}
    await opsgenie.send(egress, channel(provider), message(Event.RESOLVED, thread=alias), NOW)

    assert genie.alerts[alias]["state"] == "close"


@pytest.mark.parametrize("text", HOSTILE)
async def test_texts_arrive_as_they_are_but_never_as_html(
    egress: Egress, provider: Provider, genie: Opsgenie, text: str
) -> None:
    hostile = message(title=text, text=text, facts=((text, text),))
    await opsgenie.send(egress, channel(provider), hostile, NOW)

    alert, plain = genie.alerts["alert-41"], text.replace("<", opsgenie.LESS_THAN)
    assert (alert["message"], alert["description"]) == (plain, plain)
    assert alert["details"][text] == plain


async def test_what_opsgenie_refuses_is_not_tried_again(
    egress: Egress, provider: Provider, genie: Opsgenie
) -> None:
    wrong = msgspec.structs.replace(channel(provider), secret="no-such-key")
    with pytest.raises(PermanentError) as caught:
        await opsgenie.send(egress, wrong, message(), NOW)
    assert (caught.value.status, "Key format" in caught.value.answer) == (401, True)
    assert genie.alerts == {}
