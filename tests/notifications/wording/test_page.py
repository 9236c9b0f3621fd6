"""What the reference shows is what is sent."""

import pytest

from notifications.message import Event
from notifications.wording.compose import compose
from notifications.wording.situation import Reader, Situation
from tests.notifications.reference import examples_in
from tests.notifications.wording.situations import (
    ENGLISH,
    HOUR,
    PORTUGUESE,
    alert,
    situation,
    storm,
)

OVER = alert(
    value=45.13,
    acknowledged_at="2026-03-01T03:03:00Z",
    acknowledged_by="ana",
    resolved_at="2026-03-01T03:12:00Z",
    resolved_by="auto",
)


@pytest.mark.parametrize(
    ("number", "about", "reader"),
    [
        (0, situation(last_hour=HOUR), ENGLISH),
        (1, situation(last_hour=HOUR), PORTUGUESE),
        (2, situation(Event.RESOLVED, OVER), ENGLISH),
        (3, situation(Event.GROUP, alerts=storm(10_000)), ENGLISH),
    ],
)
def test_an_example_is_what_is_sent(number: int, about: Situation, reader: Reader) -> None:
    message = compose(about, reader)
    assert examples_in("messages")[number] == ("text", f"{message.title}\n{message.text}\n")
