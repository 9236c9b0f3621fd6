"""The limit of an address holds at any moment, and nothing waits longer than it has to."""

import random
from datetime import UTC, datetime, timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from notifications.delivery import RateLimit
from notifications.outbox.pacing import (
    BACKOFF_S_MAX,
    BACKOFF_S_MIN,
    GROUP_ALERTS_MAX,
    GROUP_WAIT_S,
    Plan,
    backoff_s,
    plan,
)

NOW = datetime(2026, 3, 1, 3, tzinfo=UTC)
LIMIT = RateLimit(messages=10, period_s=60.0)
MINUTE = timedelta(seconds=60)


class Simulation:
    """An address over time: messages arrive, and are sent as the plans say."""

    def __init__(self, arrivals: list[float]) -> None:
        self.arrivals = sorted(NOW + timedelta(seconds=at) for at in arrivals)
        self.now = NOW
        self.waiting: list[datetime] = []
        self.tries: list[datetime] = []
        self.sent: list[tuple[datetime, list[datetime]]] = []

    def run(self) -> None:
        while self.arrivals or self.waiting:
            self._arrive()
            wait_until = self._send()
            later = [time for time in (*self.arrivals[:1], wait_until) if time is not None]
            if later:
                self.now = max(self.now, min(later))

    def _arrive(self) -> None:
        self.waiting += [time for time in self.arrivals if time <= self.now]
        self.arrivals = [time for time in self.arrivals if time > self.now]

    def _send(self) -> datetime | None:
        while self.waiting:
            recent = [time for time in self.tries if time > self.now - 2 * MINUTE]
            planned = plan(self.now, len(self.waiting), self.waiting[0], recent, LIMIT)
            if planned.wait_until is not None:
                assert planned.wait_until > self.now
                return planned.wait_until
            taken = planned.grouped or 1
            assert taken
            self.sent.append((self.now, self.waiting[:taken]))
            self.tries.append(self.now)
            del self.waiting[:taken]
        return None


@given(st.lists(st.floats(0, 300), min_size=1, max_size=80))
@example([0.0] * 11)
@example([0.0] * 10 + [1.0] * 5)
def test_at_most_ten_messages_go_in_any_minute_and_each_goes_once(arrivals: list[float]) -> None:
    simulation = Simulation(arrivals)
    simulation.run()

    times = [time for time, _ in simulation.sent]
    assert all(later - sooner >= MINUTE for sooner, later in zip(times, times[10:], strict=False))
    carried = [message for _, messages in simulation.sent for message in messages]
    assert carried == sorted(NOW + timedelta(seconds=at) for at in arrivals)


@given(st.lists(st.floats(0, 300), min_size=1, max_size=80))
def test_nothing_waits_longer_than_a_minute(arrivals: list[float]) -> None:
    simulation = Simulation(arrivals)
    simulation.run()

    assert all(
        sent_at - written_at <= MINUTE
        for sent_at, messages in simulation.sent
        for written_at in messages
    )


@given(st.integers(1, 10))
def test_up_to_ten_messages_go_alone_and_at_once(count: int) -> None:
    assert plan(NOW, count, NOW, [], LIMIT) == Plan(singles=count)


def test_of_more_nine_go_alone_and_the_rest_together_a_little_later() -> None:
    simulation = Simulation([0.0] * 15)
    simulation.run()

    assert [len(messages) for _, messages in simulation.sent] == [1] * 9 + [6]
    assert simulation.sent[-1][0] == NOW + timedelta(seconds=GROUP_WAIT_S)


def test_what_comes_after_ten_messages_waits_and_goes_together() -> None:
    simulation = Simulation([0.0] * 10 + [3.0, 4.0, 5.0])
    simulation.run()

    assert [len(messages) for _, messages in simulation.sent] == [1] * 10 + [3]
    assert simulation.sent[-1][0] == NOW + MINUTE


def test_ten_thousand_alerts_fit_into_one_minute() -> None:
    simulation = Simulation([0.0] * 10_000)
    simulation.run()

    assert len(simulation.sent) == 6 + 10_000 // GROUP_ALERTS_MAX
    assert simulation.sent[0][0] == NOW
    assert simulation.sent[-1][0] - NOW <= MINUTE


@given(st.integers(0, 10_000), st.integers(0, 2**32))
def test_a_failing_address_is_tried_again_after_a_second_to_five_minutes(
    failures: int, seed: int
) -> None:
    wait_s = backoff_s(failures, None, random.Random(seed))
    assert BACKOFF_S_MIN <= wait_s <= BACKOFF_S_MAX


@given(st.floats(0, 3600), st.integers(0, 20))
def test_a_provider_that_asks_for_time_gets_it(retry_after_s: float, failures: int) -> None:
    assert backoff_s(failures, retry_after_s, random.Random(1)) >= retry_after_s
