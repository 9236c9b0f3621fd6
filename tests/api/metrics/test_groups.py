"""Groups of series: aggregates cover all of their samples, and labels select them."""

import random
from typing import Any

import pytest

from db.queries import Pool
from model.series import Kind, Series
from model.times import utc_now
from retention import tiers
from tests.api.metrics.asking import (
    DAY_S,
    GROUPABLE,
    START_S,
    ask,
    check,
    counter_value,
    distribution_value,
    gauge_value,
    grid_of,
    samples,
    series,
    store,
)
from tests.api.metrics.recomputation import Samples

PLACES = [
    ("app", {"host": "a", "disk": "sda"}),
    ("app", {"host": "a", "disk": "sdb"}),
    ("app", {"host": "b", "disk": "sda"}),
    ("web", {"host": "a"}),
    ("web", {}),
]
Expected = list[tuple[Series, Samples]]


async def tell(service: Any, kind: Kind) -> Expected:
    """Store series of one metric, each at other times than the others and not equally many."""
    chance = random.Random(kind.value)
    reported = []
    for i, (component, labels) in enumerate(PLACES):
        value = {
            Kind.GAUGE: gauge_value,
            Kind.COUNTER: counter_value(),
            Kind.DISTRIBUTION: distribution_value,
        }[kind]
        one = series("m", kind, component, **labels)
        points = samples(chance, value, 40 + 90 * i, 2)
        await store(service, one, points)
        reported.append((one, points))
    return reported


def named(line: dict[str, Any]) -> tuple[Any, ...]:
    return line["component"], *sorted(line["labels"].items())


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("rolled_up", [False, True])
async def test_a_group_is_all_the_samples_of_its_series(
    service: Any, pool: Pool, kind: Kind, rolled_up: bool
) -> None:
    """Not the average of averages; a rate is the sum of those of the series."""
    reported = await tell(service, kind)
    if rolled_up:
        async with pool.connection() as connection:
            await tiers.maintain(connection, utc_now())
    query = {"metric": "m", "start": START_S, "end": START_S + 2 * DAY_S, "agg": GROUPABLE}

    for step in ("30m", "7h"):
        for labels in ("host", "component", "disk,host", ""):
            body = await ask(service, step=step, group_by=labels, **query)
            names = labels.split(",") if labels else []
            groups: dict[tuple[str, ...], list[Samples]] = {}
            for one, points in reported:
                known = {**dict(one.labels), "component": one.component}
                groups.setdefault(tuple(known.get(n, "") for n in names), []).append(points)
            assert len(body["series"]) == len(groups)
            for (key, output_lines), line in zip(
                sorted(groups.items()), body["series"], strict=True
            ):
                where = (kind, step, labels, key)
                sketch = kind is Kind.DISTRIBUTION
                check(line, output_lines, grid_of(body), sketch=sketch, where=where)


async def test_a_group_is_named_after_its_labels_and_a_component_that_all_share(
    service: Any,
) -> None:
    for component, labels in PLACES:
        await store(service, series("m", component=component, **labels), {START_S: 1.0})
    query = {"metric": "m", "start": START_S, "end": START_S + 60}

    async def groups(labels: Any, **more: Any) -> list[tuple[Any, ...]]:
        found = await ask(service, group_by=labels, **query, **more)
        return [named(line) for line in found["series"]]

    assert await groups("host") == [("web",), (None, ("host", "a")), ("app", ("host", "b"))]
    assert await groups("component") == [("app",), ("web",)]
    assert await groups("") == [(None,)]
    assert await groups("component,host") == [
        ("app", ("host", "a")), ("app", ("host", "b")), ("web",), ("web", ("host", "a")),
    ]  # fmt: skip
    assert await groups(["host", "disk"], component="app") == [
        ("app", ("disk", "sda"), ("host", "a")),
        ("app", ("disk", "sdb"), ("host", "a")),
        ("app", ("disk", "sda"), ("host", "b")),
    ]
    assert await groups("nobody has this") == [(None,)]
    assert await groups("host", component="nobody") == []


async def test_metrics_are_never_put_together(service: Any) -> None:
    for metric, value in (("a", 1.0), ("b", 10.0)):
        for host in "xy":
            await store(service, series(metric, host=host), {START_S: value})

    body = await ask(
        service, metric=["b", "a"], group_by="", agg="sum", start=START_S, end=START_S + 15
    )

    assert [(line["metric"], line["values"]["sum"]) for line in body["series"]] == [
        ("a", [2]), ("b", [20])
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["first", "last"])
async def test_a_group_has_no_first_and_no_last_value(service: Any, name: str) -> None:
    answer = await service.get("/metrics/history", metric="m", agg=name, group_by="host")

    assert answer.status == 400
    assert "leave out group_by" in answer.detail


async def test_a_group_of_series_of_several_kinds_is_read_from_their_samples(
    service: Any,
) -> None:
    reported = []
    for i, kind in enumerate(Kind):
        points = {START_S + t: float((t * (i + 3)) % 17) for t in range(i, 3600, 40)}
        await store(service, series("m", kind, component=kind.value), points)
        reported.append(points)
    query = {"metric": "m", "start": START_S, "end": START_S + 3600, "step": "5m"}

    body = await ask(service, group_by="", agg=GROUPABLE, **query)

    assert body["tier"] == "raw"
    check(body["series"][0], reported, grid_of(body))


async def test_coverage_of_a_group_is_that_of_all_its_series(service: Any) -> None:
    for host, gap in (("a", range(0)), ("b", range(20))):
        points = {START_S + 15 * i: 1.0 for i in range(60) if i not in gap}
        await store(service, series("m", host=host), points)

    body = await ask(service, metric="m", group_by="", start=START_S, end=START_S + 900, step="5m")

    assert body["series"][0]["coverage"] == [0.5, 1, 1]


@pytest.mark.parametrize(
    ("selectors", "chosen"),
    [
        ({"label.host": "a"}, [0, 1, 3]),
        ({"label.host!": "a"}, [2, 4]),
        ({"label.host": ""}, [4]),
        ({"label.host!": ""}, [0, 1, 2, 3]),
        ({"label.host": "~a|b"}, [0, 1, 2, 3]),
        ({"label.host": "~"}, [4]),
        ({"label.host!": "~a|"}, [2]),
        ({"label.disk": "~sd.", "label.host": "a"}, [0, 1]),
        ({"label.disk": "~sd"}, []),
        ({"label.disk!": "~sd."}, [3, 4]),
        ({"label.disk": ["~sd.", "~.*b"]}, [1]),
        ({"label.disk!": ["sda", "sdb"]}, [3, 4]),
        ({"label.disk": ["sda", "sdb"]}, []),
        ({"label.host": "~.*", "component": "web"}, [3, 4]),
        ({"label.unknown": "~.+"}, []),
        ({"label.unknown!": "~.+"}, [0, 1, 2, 3, 4]),
        ({"label.host": "~(?i)A"}, [0, 1, 3]),
    ],
)
async def test_series_are_selected_by_labels_of_which_absent_ones_are_empty(
    service: Any, selectors: dict[str, Any], chosen: list[int]
) -> None:
    for component, labels in PLACES:
        await store(service, series("m", component=component, **labels), {START_S: 1.0})

    body = await ask(service, metric="m", start=START_S, end=START_S + 60, **selectors)

    wanted = [(PLACES[i][0], *sorted(PLACES[i][1].items())) for i in chosen]
    assert sorted(named(line) for line in body["series"]) == sorted(wanted)
