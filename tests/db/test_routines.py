"""What the routines say by themselves, of which statements are put together."""

from typing import Any

import pytest
from psycopg.types.json import Jsonb

from db.queries import Connection, Pool
from history.reader import AGGREGATES
from model.metrics import METRICS
from model.severity import Level
from notifications.message import Language
from notifications.wording.numbers import value_text
from notifications.wording.templates import words as words_of


async def value(connection: Connection, query: str, *arguments: Any) -> Any:
    row = await (await connection.execute(query.encode(), arguments)).fetchone()
    assert row is not None
    return row[0]


async def test_levels_have_the_same_order_everywhere(migrated_pool: Pool) -> None:
    async with migrated_pool.connection() as connection:
        assert await value(connection, "SELECT alert_levels()") == list(Level)
        for rank, level in enumerate(Level, start=1):
            limits = "SELECT array_position(level_limits(jsonb_build_object(%s::text, 7)), 7)"
            assert await value(connection, limits, level) == rank


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("CPU at", 97.716, "percent", ">", 80.0), "CPU at 97.7 % (limit 80 %)"),
        (("CPU at", 80.0, "percent", ">=", 80.0), "CPU at 80 % (limit 80 %)"),
        (("CPU at", 80.01, "percent", ">", 80.0), "CPU at 80.01 % (limit 80 %)"),
        (("Disk at", 3.0, "", "<", 4.5), "Disk at 3 (lower limit 4.5)"),
        (("Disk at", -0.5, None, "<=", 0.0), "Disk at -0.5 (lower limit 0)"),
        (("Orders at", None, "", ">", None), "Orders at no value"),
    ],
)
async def test_a_broken_limit_is_said_with_its_unit_if_there_is_one(
    migrated_pool: Pool, given: tuple[Any, ...], sentence: str
) -> None:
    query = (
        "SELECT breach_message(%s::text, %s::double precision, %s::text, %s::text, "
        "%s::double precision)"
    )
    async with migrated_pool.connection() as connection:
        assert await value(connection, query, *given) == sentence


VALUES = (
    0.0, 1.0, -1.0, 0.5, 0.04, 9.994, 9.996, 12.34, 97.716, 99.96, 123.4, 999.4, 1000.0, 1234.5,
    59.0, 60.0, 61.0, 3599.0, 3600.0, 3725.0, 86_400.0, 90_061.0, -90_061.0, 1024.0, 1536.0,
    1048576.0, 123_456_789.0, 1e12, 1.5e15, 2.5e-5, -0.001, 1e100,
)  # fmt: skip


@pytest.mark.parametrize("unit", ["", "percent", "bytes", "ms", "seconds", "days", "orders"])
async def test_a_value_reads_in_alerts_as_in_messages(migrated_pool: Pool, unit: str) -> None:
    query = "SELECT array_agg(value_text(v, %s) ORDER BY n) FROM unnest(%s::float8[])"
    async with migrated_pool.connection() as connection:
        found = await value(
            connection, f"{query} WITH ORDINALITY AS given (v, n)", unit, list(VALUES)
        )

    wanted = [value_text(one, unit, Language.ENGLISH) for one in VALUES]
    assert dict(zip(VALUES, found, strict=True)) == dict(zip(VALUES, wanted, strict=True))


async def test_metrics_are_called_by_their_display_names(migrated_pool: Pool) -> None:
    names = [*METRICS, "orders_stuck", "http_latency_ms", "http.server-time", ""]
    async with migrated_pool.connection() as connection:
        found = await value(
            connection,
            "SELECT array_agg(metric_title(m) ORDER BY n)"
            " FROM unnest(%s::text[]) WITH ORDINALITY AS given (m, n)",
            names,
        )

    titles = [metric.title for metric in METRICS.values()]
    assert found == [*titles, "Orders stuck", "Http latency", "Http.server-time", ""]


@pytest.mark.parametrize("agg", AGGREGATES)
async def test_an_aggregate_reads_in_alerts_as_in_messages(migrated_pool: Pool, agg: str) -> None:
    words = words_of(Language.ENGLISH)
    async with migrated_pool.connection() as connection:
        found = await value(connection, "SELECT aggregate_text(%s, 300)", agg)

    assert found == words(f"aggregate.{agg}", window="5 min")


@pytest.mark.parametrize(
    ("component", "labels", "subject"),
    [
        ("server", {}, "server"),
        ("server", {"host": "web1", "core": "1"}, "web1"),
        ("shop", {"host": "web1"}, "shop on web1"),
        ("shop", {"host": ""}, "shop"),
        ("", {"host": "web1"}, "web1"),
    ],
)
async def test_the_title_of_an_alert_names_the_host(
    migrated_pool: Pool, component: str, labels: dict[str, str], subject: str
) -> None:
    async with migrated_pool.connection() as connection:
        query = "SELECT subject_of(%s, %s)"
        assert await value(connection, query, component, Jsonb(labels)) == subject
