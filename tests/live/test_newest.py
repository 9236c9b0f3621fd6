"""Newest values in memory equal those of the database, whoever wrote them and however late."""

import gc
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.encode_current import PIECE_VALUES, encode_component, encode_document
from live.newest import Newest, NewestEntry
from model.series import Sample, Series, labels_of
from samples import current
from samples.current import Current

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
        for name in sorted(newest.components())
        for one in newest.of(name).values()
    ]


def test_samples_sent_again_or_late_are_no_news() -> None:
    newest = Newest()

    assert newest.put([at(15), at(30)]) == [at(15), at(30)]
    changes = newest.changes
    assert newest.put([at(15), at(30), at(0)]) == []
    assert newest.changes == changes


@pytest.mark.parametrize("way", ["commit", "reading"])
def test_a_newest_value_in_the_future_gives_way_to_what_comes_now(way: str) -> None:
    clock = [T0 + timedelta(hours=1)]
    newest = Newest(lambda: clock[0])
    newest.put([at(3600)])
    clock[0] = T0

    if way == "commit":
        assert newest.put([at(0, 2), at(-15, 3)]) == [at(0, 2)]
    else:
        newest.merge([row(0, 2)], is_announced=False)

    assert [value for *_, value in shown(newest)] == [2]


def test_a_newest_value_that_is_as_far_ahead_as_is_accepted_stays() -> None:
    newest = Newest(lambda: T0)
    newest.put([at(600)])

    assert newest.put([at(599)]) == []
    newest.merge([row(599, 2)], is_announced=False)
    assert [value for *_, value in shown(newest)] == [1]


def test_values_read_at_the_start_are_not_announced_when_they_are_repeated() -> None:
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

    assert newest.numbers() == [1, 2]
    newest.remove([1])
    assert [metric for _, metric, _, _ in shown(newest)] == ["load", "new"]

    newest.remove([1, 2])
    assert [metric for _, metric, _, _ in shown(newest)] == ["new"]
    assert newest.numbers() == []


def test_components_that_changed_are_listed_while_more_change_and_go() -> None:
    newest = Newest()
    series = {name: Series(metric="cpu", component=name) for name in "abcd"}
    rows = [msgspec.structs.replace(row(0, number=n), component=c) for n, c in enumerate("abcd")]
    newest.merge(rows, is_announced=True)
    newest.release()
    newest.put([at(15, series=series[name]) for name in "bcd"])
    newest.release()

    found = newest.components_after(1)
    listed = [next(found)]
    newest.remove([2])
    newest.put([at(30, series=series[name]) for name in "da"])

    # That of what changed meanwhile nothing is released is for the caller to see.
    assert [*listed, *found] == ["d", "b", "a"]
    assert list(newest.components_after(2)) == ["a", "d"]


def test_the_name_of_a_series_is_one_object_however_often_its_value_changes() -> None:
    newest = Newest()
    newest.put([at(0)])
    [first] = newest.series("server")

    newest.put([at(15, series=msgspec.structs.replace(CPU, labels=()))])
    newest.merge([row(30)], is_announced=True)

    [last] = newest.series("server")
    assert last is first
    assert newest._identities[1] is first


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
    names = sorted(newest.components())
    return encode_document(encode_component(name, newest.of(name)) for name in names)


@given(VALUES)
def test_the_document_encoded_in_pieces_equals_one_encoded_at_once(values: list[Current]) -> None:
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


def test_the_newest_values_of_many_series_are_no_work_for_a_garbage_collection() -> None:
    newest = Newest()
    series = [Series(metric="m", component="c", labels=(("n", str(n)),)) for n in range(1000)]
    newest.put(Sample(one, T0, 1.0) for one in series)
    gc.collect()

    kept = gc.get_objects()
    assert sum(isinstance(one, Series | Sample | Current | NewestEntry) for one in kept) == 0
