"""A storm is one short message: how many of each level, and the first few."""

import time
from typing import Any

import pytest

from model.severity import Level
from notifications.message import Event, Message
from notifications.wording.compose import compose
from notifications.wording.situation import Reader
from tests.notifications.hostile import HOSTILE
from tests.notifications.wording.situations import ENGLISH, PORTUGUESE, alert, situation, storm

RESOLVED = {"resolved_at": "2026-03-01T03:12:00Z", "resolved_by": "auto"}


def group(alerts: list[dict[str, Any]], reader: Reader = ENGLISH) -> Message:
    return compose(situation(Event.GROUP, alerts=alerts, measure=None), reader)


def test_ten_thousand_alerts_are_counted_and_the_first_few_named() -> None:
    alerts = storm(10_000)
    message = group(alerts)

    assert message.title == ("10,000 alerts are firing: 1 emergency, 9,799 critical, 200 warnings")
    lines = message.text.split("\n")
    assert lines[0] == "[emergency] shard-0: disk, since 04:00 CET"
    assert lines[1] == "[critical] shard-2: disk, since 04:00 CET"
    assert lines[-1] == "and 9,992 more"
    assert len(lines) == 9
    assert message.level is Level.EMERGENCY
    assert message.alerts == tuple(alerts)


def test_the_same_in_portuguese() -> None:
    message = group(storm(10_000), PORTUGUESE)
    assert message.title == "10.000 alertas ativos: 1 emergência, 9.799 críticos, 200 avisos"
    assert message.text.split("\n")[-1] == "e mais 9.992"


@pytest.mark.parametrize("count", [1, 2, 8, 9, 10_000])
def test_the_length_is_bounded_however_many_and_however_long(count: int) -> None:
    alerts = [alert(id=n, title=HOSTILE[n % len(HOSTILE)] * 50) for n in range(count)]
    message = group(alerts)
    assert len(message.title) <= 120
    assert len(message.text) <= 1200
    assert len(message.text.split("\n")) <= 11


def test_a_group_of_a_few_names_them_all() -> None:
    first = alert(id=7, title="api: latency", level="warning", opened_at="2026-03-01T02:50:00Z")
    acknowledged = alert(id=8, title="db: disk", acknowledged_at="2026-03-01T03:03:00Z")
    message = group([first, acknowledged, alert(id=9, title="late: cpu", **RESOLVED)])

    assert message.title == "2 alerts are firing: 1 critical, 1 warning"
    assert message.text == (
        "[critical] db: disk, since 04:00 CET\n"
        "[warning] api: latency, since 03:50 CET\n"
        "1 of them is acknowledged\n"
        "1 alert is resolved"
    )
    assert message.level is Level.CRITICAL


def test_of_the_same_level_the_oldest_comes_first() -> None:
    later, earlier = (
        alert(id=n, title=f"at {at}", opened_at=f"2026-03-01T{at}:00Z")
        for n, at in enumerate(("02:59", "02:31"))
    )
    assert group([later, earlier]).text.split("\n")[0].startswith("[critical] at 02:31")


def test_a_group_that_is_over_says_so() -> None:
    message = group([alert(id=n, title=f"shard-{n}: disk", **RESOLVED) for n in range(20)])
    assert message.title == "20 alerts are resolved"
    assert message.text.split("\n")[0] == "[resolved] shard-0: disk, lasted 12 min"
    assert message.text.split("\n")[-1] == "and 12 more"


def test_one_alert_is_no_plural() -> None:
    assert group([alert()]).title == "1 alert is firing: 1 critical"
    assert group([alert(level="info")], PORTUGUESE).title == "1 alerta ativo: 1 informativo"


def test_a_storm_holds_up_nobody() -> None:
    alerts = storm(10_000)
    started_at = time.thread_time()
    group(alerts)
    assert time.thread_time() - started_at < 0.1
