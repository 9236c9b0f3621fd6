"""The lag of the evaluation is reported, and so is a difference between the clocks."""

from datetime import UTC, datetime, timedelta

import pytest
import structlog

from alerts.evaluation.lag import EvaluationLag

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def test_the_lag_is_by_the_databases_clock_and_grows_by_itself() -> None:
    lag = EvaluationLag()
    assert lag.status() == {"lag_s": None, "clock_offset_s": None}
    lag.note(NOW - minutes(3), NOW, NOW + minutes(60))
    assert lag.status()["lag_s"] == pytest.approx(180, abs=1)
    assert lag.status()["clock_offset_s"] == 3600
    lag.measured_at -= 100
    assert lag.status()["lag_s"] == pytest.approx(280, abs=1)


def test_clocks_that_differ_are_logged_once_and_so_is_their_agreement() -> None:
    lag = EvaluationLag()
    with structlog.testing.capture_logs() as logs:
        for off in (0, 1, 3, 60, -60, 0, 0):
            lag.note(NOW, NOW, NOW + minutes(off))
    found = [(entry["event"], entry["ahead_s"]) for entry in logs]
    assert found == [("clock_differs", 180), ("clock_agrees", 0)]
