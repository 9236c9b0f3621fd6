"""A week of alerts, minute by minute, with restarts: each reaches the right person, once."""

from datetime import datetime

from notifications.oncall.escalation import Notice, notices
from tests.notifications.oncall.rota import LISBON, SCHEDULES, after, policy

WEEK = 7 * 1440
ON_PAPER = {
    ("2026-03-26 09:00", "2026-03-27 09:00"): "ana",
    ("2026-03-27 09:00", "2026-03-28 09:00"): "bo",
    ("2026-03-28 09:00", "2026-03-29 09:00"): "cy",
    ("2026-03-29 09:00", "2026-03-30 09:00"): "ana",
    ("2026-03-30 09:00", "2026-03-31 09:00"): "bo",
    ("2026-03-31 09:00", "2026-03-31 17:00"): "eva",
    ("2026-03-31 17:00", "2026-04-01 09:00"): "cy",
    ("2026-04-01 09:00", "2026-04-02 09:00"): "ana",
    ("2026-04-02 09:00", "2026-04-03 09:00"): "bo",
}
"""The rota as it hangs on the wall, by the clock of Lisbon, whose clocks change on the 29th."""


def on_paper(moment: datetime) -> str:
    clock = moment.astimezone(LISBON).strftime("%Y-%m-%d %H:%M")
    [person] = [name for (start, end), name in ON_PAPER.items() if start <= clock < end]
    return person


def in_office(moment: datetime) -> bool:
    clock = moment.astimezone(LISBON)
    return clock.weekday() < 5 and 9 <= clock.hour < 17


class Dispatcher:
    """What the service does each minute, and the only thing it stores: the keys of sent steps."""

    policy = policy(("schedule:daily", "10m"), ("schedule:office person:boss", "20m"), repeat=1)

    def __init__(self, sent: dict[tuple[int, str], Notice]) -> None:
        self.sent = sent

    def run(self, minute: int) -> None:
        for opened in self.open_at(minute):
            acknowledged = opened + 12 if opened % 70 == 0 else None
            for notice in notices(
                self.policy,
                SCHEDULES,
                opened_at=after(opened),
                acknowledged_at=[after(acknowledged)] if acknowledged else [],
                ack_expires_s=600,
                until=after(minute),
            ):
                self.sent.setdefault((opened, notice.step.key), notice)

    @staticmethod
    def open_at(minute: int) -> list[int]:
        """Return when the alerts opened that are open now: each 35 minutes one, for 50 minutes."""
        return [opened for opened in range(0, minute + 1, 35) if opened > minute - 50]


def in_words(opened: int) -> list[tuple[int, str, tuple[str, ...]]]:
    """Return what must be sent for an alert: the minute, the key, the people."""
    office = ("lead",) if in_office(after(opened + 10)) else ()
    first = [
        (opened, "0.1.1", (on_paper(after(opened)),)),
        (opened + 10, "0.1.2", (*office, "boss")),
    ]
    later = [(30, "0.2.1"), (40, "0.2.2")] if opened % 70 else [(22, "1.1.2"), (42, "1.2.1")]
    for minutes, key in later:
        at = after(opened + minutes)
        office = ("lead",) if in_office(at) else ()
        people = (*office, "boss") if key.endswith("2") else (on_paper(at),)
        first.append((opened + minutes, key, people))
    return first


RESTARTS = {3000: 3001, 4320: 4345, 8000: 8010}
"""At which minute the dispatcher stops, and at which the next one begins."""


def test_a_week_minute_by_minute_notifies_whoever_is_on_call() -> None:
    sent: dict[tuple[int, str], Notice] = {}
    dispatcher, pause_ends = Dispatcher(sent), 0
    for minute in range(WEEK + 50):
        if minute in RESTARTS:
            dispatcher, pause_ends = Dispatcher(sent), RESTARTS[minute]
        if minute >= pause_ends:
            dispatcher.run(minute)

    expected = {
        (opened, key): (after(minute), people)
        for opened in range(0, WEEK, 35)
        for minute, key, people in in_words(opened)
    }
    found = {key: (each.step.at, each.recipients.people) for key, each in sent.items()}
    assert {key: found[key] for key in expected} == expected
    assert {opened for opened, _ in found.keys() - expected.keys()} <= {*range(WEEK, WEEK + 50)}
