import numpy as np
import pytest

from bench import reference
from bench.history.questions import QUESTIONS, Question
from bench.reference import Reference
from bench.shapes import DAY_S

NAMED = {question.name: question for question in QUESTIONS}


@pytest.fixture(scope="module")
def data() -> Reference:
    return reference.make(20_000 * DAY_S, 2, with_crowd=True)


@pytest.mark.parametrize(
    ("name", "series"),
    [
        ("24 h, 100 series, 5 m", 100),
        ("24 h, 100 series in 10 groups, 5 m", 10),
        ("24 h, p99 of 4 distributions, 5 m", 1),
        ("24 h, 20 series, 5 m", 20),
    ],
)
def test_what_is_expected_has_a_row_for_each_series_or_group(
    data: Reference, name: str, series: int
) -> None:
    expected = NAMED[name].expected(data)

    assert expected.shape == (series, 288)
    assert np.isfinite(expected).all()


def test_a_wrong_answer_is_refused(data: Reference) -> None:
    question: Question = NAMED["24 h, 100 series, 5 m"]
    expected = question.expected(data)
    wrong = expected.copy()
    wrong[3, 5] *= 1.001

    question.check("right", expected.copy(), expected)
    with pytest.raises(AssertionError, match="an error of"):
        question.check("wrong", wrong, expected)


def test_the_crowd_is_of_the_last_day_alone(data: Reference) -> None:
    [crowded] = [n for n, one in enumerate(data.series) if one.labels[:1] == (("n", "07"),)]

    assert np.isnan(data.values[crowded, : len(data.times) // 2]).all()
    assert not np.isnan(data.values[crowded, len(data.times) // 2 :]).any()
    assert data.samples == 100 * 2 * DAY_S // 15 + 104 * DAY_S // 15
