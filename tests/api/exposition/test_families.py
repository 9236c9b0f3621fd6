"""The samples of a family are found among all names; incomplete families are left out."""

import pytest

from api.exposition.families import Point
from api.exposition.text import TEXT
from tests.api.exposition.test_text import BUCKETS, TIME_MS, families, parts_of, point, written

CREATED = {"value": 1_767_225_500.5, "time_ms": TIME_MS}


@pytest.mark.parametrize(
    ("type_", "points"),
    [
        ("histogram", [*parts_of("h", BUCKETS), point("h_created", **CREATED)]),
        ("summary", [*parts_of("h", {}), point("h_created", **CREATED)]),
        (
            "counter",
            [
                point("h_total", counts=True, time_ms=TIME_MS),
                point("h_total", counts=True, time_ms=TIME_MS, component="b"),
                point("h_created", **CREATED),
            ],
        ),
    ],
)
def test_the_time_of_its_creation_belongs_to_a_family(type_: str, points: list[Point]) -> None:
    for order in (points, points[::-1]):
        [family] = families(written(order))

        assert (family.name, family.type) == ("h", type_)
        [made] = [one for one in family.samples if one.name == "h_created"]
        assert (made.value, made.labels) == (1_767_225_500.5, {"component": "a"})
        assert len(family.samples) == len(points)
        assert "in Vigia" not in written(order)

        found = {one.name: one.type for one in families(written(order, TEXT), TEXT)}
        assert found == {"h": type_, "h_created": "gauge"}


@pytest.mark.parametrize(
    "created",
    [
        point("h_created", **CREATED | {"value": -1.0}),
        point("h_created", **CREATED | {"time_ms": TIME_MS - 1}),
        point("h_created", **CREATED, component="b"),
        point("h_created", **CREATED, counts=True),
    ],
)
def test_a_series_that_is_no_creation_time_belongs_to_no_family(created: Point) -> None:
    counter = point("h_total", counts=True, time_ms=TIME_MS)
    for points in ([*parts_of("h", BUCKETS), created], [counter, created]):
        found = families(written(points))

        assert {"histogram", "counter"}.isdisjoint({one.type for one in found})
        assert sum(len(one.samples) for one in found) == len(points)


@pytest.mark.parametrize("name", ["a", "a_total"])
def test_a_summary_may_have_the_name_that_a_counter_would_reserve(name: str) -> None:
    points = [point(name + "_total", counts=True), *parts_of(name + "_created", {})]

    found = {family.name: family.type for family in families(written(points))}

    assert found == {f"{name}_total": "unknown", f"{name}_created": "summary"}
