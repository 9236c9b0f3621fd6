"""What is said to a person who comes on call or leaves, or whose address is verified."""

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from notifications.contacts.messages import PEOPLE_SHOWN_MAX, code_message, handover_message
from notifications.delivery import DeliveryError
from notifications.message import Event, Kind, Language, Links, Message
from notifications.registry import TYPES
from notifications.wording.situation import Reader
from tests.notifications.channels.samples import SAMPLES
from tests.notifications.hostile import HOSTILE
from tests.notifications.provider import Provider

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "on-call.md"
LISBON = Reader(zone=ZoneInfo("Europe/Lisbon"))
SAO_PAULO = Reader(language=Language.BRAZILIAN_PORTUGUESE, zone=ZoneInfo("America/Sao_Paulo"))
AT = datetime(2026, 3, 26, 9, tzinfo=UTC)


def message(event: Event = Event.SHIFT_STARTED, reader: Reader = LISBON, **more: Any) -> Message:
    payload = {
        "schedule": "ops",
        "title": "Operations",
        "at": "2026-03-26T09:00:00Z",
        "people": ["bo", "cy"],
        "leaving": ["ana"],
        "until": "2026-03-27T09:00:00Z",
    }
    links = Links(alert="https://vigia.example/on-call")
    return handover_message(event, payload | more, "bo", reader, "on-call-1-7", links)


def test_the_example_of_the_page_is_what_is_sent() -> None:
    shown = message()
    assert f"```text\n{shown.title}\n{shown.text}\n```" in PAGE.read_text(encoding="utf-8")
    assert (shown.kind, shown.time, shown.level) == (Kind.ON_CALL, AT, None)


@pytest.mark.parametrize(
    ("event", "reader", "more", "title", "text"),
    [
        (
            Event.SHIFT_STARTED,
            SAO_PAULO,
            {"leaving": [], "people": ["bo"]},
            "Você está de plantão: Operations",
            "De 06:00 até 27 mar 06:00 UTC-3",
        ),
        (
            Event.SHIFT_STARTED,
            LISBON,
            {"until": None, "people": ["bo"], "title": ""},
            "You are on call: ops",
            "From 09:00 WET on\nYou take over from ana",
        ),
        (
            Event.SHIFT_ENDED,
            LISBON,
            {"people": []},
            "You are no longer on call: Operations",
            "From 09:00 WET on\nNobody is on call now",
        ),
    ],
)
def test_each_reader_is_told_in_the_own_language_and_zone(
    event: Event, reader: Reader, more: dict[str, Any], title: str, text: str
) -> None:
    shown = message(event, reader, **more)
    assert (shown.title, shown.text) == (title, text)


def test_many_people_are_cut() -> None:
    people = [f"p{number}" for number in range(PEOPLE_SHOWN_MAX + 5)]
    line = message(Event.SHIFT_ENDED, people=people).text.splitlines()[1]

    assert line.endswith(f"p{PEOPLE_SHOWN_MAX - 1}, …")


@pytest.mark.parametrize("title", HOSTILE)
def test_nothing_in_the_title_of_a_schedule_acts(title: str) -> None:
    assert "\n" not in message(title=title).title


def test_the_code_is_in_the_title_and_says_how_long_it_is_good() -> None:
    shown = code_message("012345", 900.0, SAO_PAULO, "code-1", AT)

    assert shown.title == "Seu código do Vigia: 012345"
    assert shown.text.startswith("Ele mostra que este endereço é seu, e vale por 15 min.")
    assert shown.kind == Kind.ACCOUNT


@pytest.mark.parametrize("name", sorted(SAMPLES))
async def test_every_type_of_channel_carries_it(egress: Any, provider: Provider, name: str) -> None:
    """Some cannot read this provider's answer; what counts is that the request is made."""
    channel = SAMPLES[name](provider.url)
    for one in (message(), code_message("012345", 900.0, LISBON, "code-1", AT)):
        provider.requests.clear()
        with suppress(DeliveryError):
            await TYPES[name].send(egress, channel, one, AT)
        assert provider.requests
