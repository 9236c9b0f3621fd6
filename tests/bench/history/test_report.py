import pytest

from bench.history.concurrency import CLIENTS, Served
from bench.history.questions import DAY_S, QUESTIONS, SHORT
from bench.history.report import CACHED, PLAIN, PROMETHEUS, VICTORIA, VIGIA, Measured, summary
from bench.history.timing import Timing

SLOW = next(q.name for q in QUESTIONS if q.family == SHORT and q.range_s < DAY_S)
TAKEN_MS = {VIGIA: 2.0, PLAIN: 1.0, PROMETHEUS: 12.0, VICTORIA: 2.5, CACHED: 1.0}
CPU_MS = {VIGIA: 2.0, PROMETHEUS: 1.0, VICTORIA: 0.4, CACHED: 0.2}


def measured(
    changed_ms: dict[tuple[str, str], float], cpu_ms: dict[str, float] | None = None
) -> Measured:
    return Measured(
        answers={
            q.name: {
                who: Timing(changed_ms.get((q.name, who), ms), ms, 100)
                for who, ms in TAKEN_MS.items()
            }
            for q in QUESTIONS
        },
        growth=[],
        floors={},
        served=[
            Served(who, clients, 100.0, 1.0, 1.0, ms / 2, ms / 2)
            for clients in CLIENTS
            for who, ms in (CPU_MS | (cpu_ms or {})).items()
        ],
    )


def test_what_is_within_every_limit_is_met() -> None:
    found = summary(measured({}))

    assert found["is_met"] is True
    assert found["is_met_beside_caches"] is True


@pytest.mark.parametrize(("peer", "ms"), [(PROMETHEUS, 0.5), (VICTORIA, 0.4)])
def test_a_short_range_beside_a_much_faster_peer_is_not_met(peer: str, ms: float) -> None:
    found = summary(measured({(SLOW, peer): ms}))

    assert found["is_met"] is False


def test_a_slower_plain_statement_does_not_excuse_a_slow_answer() -> None:
    found = summary(measured({(SLOW, VIGIA): 40.0, (SLOW, PLAIN): 40.0}))

    assert found["is_met"] is False


def test_a_cache_is_judged_apart() -> None:
    found = summary(measured({(SLOW, CACHED): 0.1}))

    assert found["is_met"] is True
    assert found["is_met_beside_caches"] is False


def test_an_answer_that_costs_too_much_cpu_is_not_met_however_soon_it_comes() -> None:
    found = summary(measured({}, {VIGIA: 3.5}))

    assert found["is_met"] is False
