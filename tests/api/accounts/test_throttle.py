"""Responses to wrong keys are delayed by address, however many addresses there are."""

from hypothesis import given
from hypothesis import strategies as st

from api.accounts.throttle import (
    ADDRESSES_MAX,
    DELAY_S,
    DELAY_S_MAX,
    FORGOTTEN_S,
    FREE_FAILURES,
    Throttle,
)


@given(st.lists(st.floats(0, 5), max_size=100))
def test_each_answer_beyond_the_free_ones_is_a_second_later_than_the_one_before(
    gaps: list[float],
) -> None:
    throttle, now, before = Throttle(), 0.0, -DELAY_S
    for count, gap in enumerate(gaps, 1):
        now += gap
        delay_s = throttle.delay_s("192.0.2.1", now)
        assert (delay_s > 0) == (count > FREE_FAILURES)
        assert delay_s <= DELAY_S_MAX
        if count > FREE_FAILURES:
            assert delay_s >= min(DELAY_S, DELAY_S_MAX) - 1e-9
            assert now + delay_s - before > DELAY_S - 1e-6 or delay_s > DELAY_S_MAX - 1e-6
            before = now + delay_s
        assert throttle.delay_s(f"198.51.100.{count}", now) == 0.0


def test_failures_are_forgotten_and_addresses_are_limited() -> None:
    throttle = Throttle()
    for _ in range(FREE_FAILURES + 1):
        delay_s = throttle.delay_s("192.0.2.1", 0.0)
    assert delay_s == DELAY_S

    assert throttle.delay_s("192.0.2.1", FORGOTTEN_S + 1) == 0.0
    for number in range(ADDRESSES_MAX + 10):
        throttle.delay_s(str(number), FORGOTTEN_S + 1)
    assert len(throttle._failures) == ADDRESSES_MAX
