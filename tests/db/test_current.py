"""The document of newest values: its cost grows with the series, not with their square."""

import time
from collections.abc import Sequence

from db import current
from vigia.model import Category, Sample, Series, utc_now

NOW = utc_now()


def many_labelled(count: int) -> list[current.Current]:
    """Return newest values of so many series of one metric."""
    return [
        current.of_sample(
            Sample(
                Series(
                    metric="queue_length",
                    component="broker",
                    category=Category.EXTERNAL,
                    labels=(("queue", f"q{number}"),),
                ),
                NOW,
                float(number),
            )
        )
        for number in range(count)
    ]


def cpu_seconds_of(samples: Sequence[current.Current]) -> float:
    began = time.process_time()
    current.document(samples)
    return time.process_time() - began


def test_a_hundred_thousand_series_of_one_metric_cost_about_twenty_times_five_thousand() -> None:
    few, many = many_labelled(5_000), many_labelled(100_000)
    cost_of_few = min(cpu_seconds_of(few) for _ in range(3))
    cost_of_many = cpu_seconds_of(many)
    # Linear is 20 times; copying the list for each series would be 400 times.
    assert cost_of_many < 100 * cost_of_few


def test_every_labelled_series_is_in_the_document_once_and_in_order() -> None:
    document = current.document(many_labelled(1_000))
    listed = document.components["broker"].metrics["queue_length"].series
    assert isinstance(listed, list)
    assert [value.value for value in listed] == [float(number) for number in range(1_000)]
