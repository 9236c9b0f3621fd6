import json

import pytest

from bench.compare.cases import CaseTaken
from bench.compare.report import report, summary


def rounds(*cpu_ms: float) -> list[CaseTaken]:
    return [CaseTaken(ms, ms / 4, ms * 3 / 4, 2 * ms) for ms in cpu_ms]


PAIRS = {
    "faster": (rounds(4.0, 8.0, 4.0), rounds(2.0, 4.0, 3.0)),
    "slower": (rounds(1.0, 1.0, 1.0), rounds(3.0, 1.5, 2.0)),
}


def test_the_ratio_is_the_worst_median_of_the_rounds_ratios() -> None:
    found = summary(PAIRS)

    assert found["ratios"] == {"faster": 0.5, "slower": 2.0}
    assert found["ratio"] == 2.0
    assert found["old_cpu_ms"] == {"faster": 4.0, "slower": 1.0}
    assert found["new_cpu_ms"] == {"faster": 3.0, "slower": 2.0}
    assert json.loads(json.dumps(found)) == found


def test_the_table_gives_each_median_with_its_least_and_most(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report(PAIRS)

    text = capsys.readouterr().out
    assert "3.00 (2.00 to 4.00)" in text
    assert "2.00 (1.50 to 3.00)" in text
