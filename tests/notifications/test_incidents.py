"""A group becomes an incident for each alert, unless it is a storm."""

import asyncio

import pytest

from notifications import incidents
from notifications.delivery import PermanentError, Receipt, TemporaryError
from notifications.incidents import SEPARATE_ALERTS_MAX, send_separately, separate
from notifications.message import Event, Message
from tests.notifications.messages import ALERT, NOW, message


def group(size: int) -> Message:
    alerts = tuple({**ALERT, "id": n} for n in range(size))
    return message(Event.GROUP, alerts=alerts, key="group-7", thread="")


def test_each_alert_of_a_small_group_is_told_of_as_it_is_now() -> None:
    opened = {**ALERT, "id": 1, "level": "warning"}
    acknowledged = {**ALERT, "id": 2, "acknowledged_at": "2026-03-01T03:00:10Z"}
    resolved = {**acknowledged, "id": 3, "resolved_at": "2026-03-01T03:00:20Z"}
    separated = separate(message(Event.GROUP, alerts=(opened, acknowledged, resolved), key="g"))

    assert [(one.event, one.thread, one.key, one.level) for one in separated] == [
        ("opened", "alert-1", "g-1", "warning"),
        ("acknowledged", "alert-2", "g-2", "critical"),
        ("resolved", "alert-3", "g-3", "critical"),
    ]
    assert (separated[0].title, separated[0].text) == (ALERT["title"], ALERT["message"])
    assert separated[0].links.acknowledge == ""


def test_a_storm_stays_one_message() -> None:
    assert len(separate(group(SEPARATE_ALERTS_MAX))) == SEPARATE_ALERTS_MAX
    storm = group(SEPARATE_ALERTS_MAX + 1)
    assert separate(storm) == [storm]


def test_a_message_about_one_alert_is_left_alone() -> None:
    one = message(Event.ESCALATED)
    assert separate(one) == [one]


async def test_the_first_failure_ends_a_group() -> None:
    sent: list[str] = []

    async def refuse_the_second(one: Message) -> Receipt:
        sent.append(one.key)
        if len(sent) == 2:
            raise PermanentError("no such service")
        return Receipt(status=202)

    with pytest.raises(PermanentError):
        await send_separately(group(3), refuse_the_second)
    assert sent == ["group-7-0", "group-7-1"]


async def test_a_group_that_takes_too_long_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(_: Message) -> Receipt:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(incidents, "SEPARATE_TIMEOUT_S", 0.05)
    with pytest.raises(TemporaryError, match=r"sending the group took over 0\.05 s"):
        await send_separately(group(2), hang)


def test_the_thread_of_a_separated_alert_is_that_of_its_own_messages() -> None:
    (one,) = separate(message(Event.GROUP, alerts=(ALERT,)))
    assert one.thread == message().thread
    assert one.time == NOW
