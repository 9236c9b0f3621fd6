"""A channel of events: its settings, its test, and what it refuses."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from msgspec import Raw, structs

from model.errors import InvalidError
from notifications.delivery import Channel, PermanentError
from notifications.event_feed import channel as events
from notifications.message import BusEvent, Event
from runtime.network.egress import Egress
from tests.notifications.messages import NOW, message
from tests.notifications.provider import Provider
from tests.notifications.reference import json_in


def channel(url: str = "https://a.example", settings: Mapping[str, Any] | None = None) -> Channel:
    return Channel(id=3, name="feed", type="events", url=url, settings=settings or {})


@pytest.mark.parametrize("types", [[], ["alerts"], ["alert*", "health"], ["security.*"], ["*"]])
def test_types_that_exist_are_accepted(types: list[str]) -> None:
    events.check(channel(settings={"types": types}))


@pytest.mark.parametrize(
    "types", [["metrics"], ["security.tea"], ["alert"], ["a%"], [""], ["alerts", "(a+)+"]]
)
def test_types_that_no_event_has_are_refused_with_those_there_are(types: list[str]) -> None:
    with pytest.raises(InvalidError, match=r"no event has the type .*; the types are alerts, "):
        events.check(channel(settings={"types": types}))


async def test_a_test_sends_one_event_of_the_type_test(egress: Egress, provider: Provider) -> None:
    await events.send(egress, channel(provider.url), message(Event.TEST, alerts=()), NOW)

    [event] = json.loads(provider.requests[0].body)["events"]
    assert (event["seq"], event["type"], event["data"]) == (None, "test", {})
    assert "X-Vigia-Signature" not in provider.requests[0].headers


async def test_a_message_about_an_alert_is_not_sent(egress: Egress, provider: Provider) -> None:
    with pytest.raises(PermanentError, match="no messages about alerts"):
        await events.send(egress, channel(provider.url), message(), NOW)

    assert provider.requests == []


def test_the_documented_body_is_what_is_sent() -> None:
    documented = json_in("events")
    given = [
        BusEvent(one["seq"], one["type"], NOW, Raw(json.dumps(one["data"]).encode()))
        for one in documented["events"]
    ]
    made = structs.replace(message(), key=documented["key"], events=tuple(given))
    body = json.loads(events.body_of(made))

    assert list(body) == list(documented)
    assert [list(one) for one in body["events"]] == [list(one) for one in documented["events"]]
    assert [one["data"] for one in body["events"]] == [one["data"] for one in documented["events"]]
