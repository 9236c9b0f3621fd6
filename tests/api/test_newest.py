"""The newest values in memory: the same as in the database, whoever wrote them, however late."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from api.encode_current import PIECE_VALUES, encode_component, encode_document
from api.newest import Newest
from db import current
from db.current import Current
from vigia.model import Sample, Series, labels_of

T0 = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
CPU = Series(metric="cpu", component="server")


def at(second: int, value: float = 1.0, series: Series = CPU) -> Sample:
    return Sample(series, T0 + timedelta(seconds=second), value)


def row(second: int, value: float = 1.0, number: int = 1, unit: str = "") -> Current:
    """Return what the database has of the series CPU."""
    time = T0 + timedelta(seconds=second)
    return Current(number, "cpu", "server", "system", {}, unit, time, value)


def shown(newest: Newest) -> list[tuple[str, str, object, float]]:
    return [
        (one.component, one.metric, one.labels, one.value)
        for name in newest.components()
        for one in newest.of(name).values()
    ]


def test_samples_sent_again_or_late_are_no_news() -> None:
    newest = Newest()

    assert newest.put([at(15), at(30)]) == [at(15), at(30)]
    changes = newest.changes
    assert newest.put([at(15), at(30), at(0)]) == []
    assert newest.changes == changes


def test_what_the_database_had_at_the_start_is_no_news_when_it_is_sent_again() -> None:
    newest = Newest()
    newest.merge([row(30)], is_announced=True)

    assert newest.put([at(30), at(15)]) == []
    assert newest.put([at(45)]) == [at(45)]


def test_a_commit_is_news_though_a_reading_saw_it_first() -> None:
    newest = Newest()
    newest.merge([row(30)], is_announced=False)
    version = newest.changes

    assert newest.put([at(30)]) == [at(30)]
    assert newest.put([at(30)]) == []
    assert newest.changes == version


def test_a_reading_does_not_undo_a_commit_and_corrects_what_was_not_stored() -> None:
    newest = Newest()
    newest.put([at(30, 3.0)])
    newest.merge([row(15, 1.0, unit="percent")], is_announced=False)
    [value] = newest.of("server").values()
    assert (value.value, value.unit) == (3.0, "percent")

    # Another replica had stored a sample of this time before: ours was a duplicate.
    newest.merge([row(30, 4.0)], is_announced=False)
    [value] = newest.of("server").values()
    assert value.value == 4.0


def test_series_that_are_in_the_database_no_longer_are_removed() -> None:
    newest = Newest()
    newest.merge(
        [row(0, number=1), msgspec.structs.replace(row(0, number=2), metric="load")],
        is_announced=True,
    )
    newest.put([at(0, series=Series(metric="new", component="server"))])

    newest.keep({2})
    assert [metric for _, metric, _, _ in shown(newest)] == ["load", "new"]

    newest.keep(set())
    assert [metric for _, metric, _, _ in shown(newest)] == ["new"]


NAMES = st.sampled_from(["a", "b", 'c"\\', "é"])
VALUES = st.lists(
    st.builds(
        Current,
        id=st.just(0),
        metric=NAMES,
        component=NAMES,
        category=st.just("system"),
        labels=st.dictionaries(NAMES, NAMES, max_size=2),
        unit=st.just("s"),
        time=st.integers(0, 60).map(lambda second: T0 + timedelta(seconds=second)),
        value=st.floats(allow_nan=False, allow_infinity=False),
    ),
    unique_by=lambda one: (one.component, one.metric, labels_of(one.labels)),
    max_size=20,
)


def encoded(values: Sequence[Current]) -> bytes:
    newest = Newest()
    newest.merge(values, is_announced=True)
    names = newest.components()
    return encode_document(encode_component(name, newest.of(name)) for name in names)


@given(VALUES)
def test_what_is_written_in_pieces_is_the_document(values: list[Current]) -> None:
    in_order = sorted(values, key=lambda one: (one.component, one.metric, labels_of(one.labels)))

    assert encoded(values) == msgspec.json.encode(current.document(in_order))


def test_more_series_than_a_piece_holds_are_in_the_document_once_and_in_order() -> None:
    count = 2 * PIECE_VALUES + 1
    labels = [f"{number:06}" for number in range(count)]
    values = [
        Current(0, "queue", "broker", "system", {"q": label}, "", T0, 1.0)
        for label in reversed(labels)
    ]

    found = msgspec.json.decode(encoded(values))["components"]["broker"]["metrics"]["queue"]

    assert [one["labels"]["q"] for one in found["series"]] == labels
