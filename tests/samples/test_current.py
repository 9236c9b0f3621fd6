"""The document of newest values: its cost grows with the series, not with their square."""

from model.series import Category, Sample, Series
from model.times import utc_now
from samples import current

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


def test_a_series_is_added_without_copying_those_before_it() -> None:
    """Otherwise the cost would grow with the square of the series: 10 s for 50,000."""
    first, *others = many_labelled(100)
    document = current.CurrentMetrics()
    document.add(first)
    listed = document.components["broker"].metrics["queue_length"].series

    for sample in others:
        document.add(sample)

    assert document.components["broker"].metrics["queue_length"].series is listed


def test_every_labelled_series_is_in_the_document_once_and_in_order() -> None:
    document = current.document(many_labelled(1_000))
    listed = document.components["broker"].metrics["queue_length"].series
    assert isinstance(listed, list)
    assert [value.value for value in listed] == [float(number) for number in range(1_000)]
