"""What is provisioned fits together, and a reader gets an answer to every query of Grafana's."""

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from alerts import store as alerts
from db.queries import Pool
from model.series import Category, Kind, Sample, Series, labels_of
from model.severity import Level
from model.times import utc_now
from samples.insert import insert
from samples.series import SeriesNumbers

FOLDER = Path(__file__).parent.parent / "deploy" / "grafana"
DASHBOARDS = {
    path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("dashboards/*.json"))
}
RESET = Path(__file__).with_name("reset.sql").read_bytes()
MACRO = re.compile(r"\$(__\w+)\(([^)]*)\)")
TYPES = {"timestamptz", "float8", "int8", "int4", "numeric", "text"}
"""What Grafana shows as it is."""
NUMBERS = {"float8", "int8", "int4", "numeric"}
GAUGES = (
    *("server_cpu_percent", "server_memory_percent", "server_load1", "database_latency_ms"),
    *("database_pool_available", "database_pool_waiting", "trading_positions_active"),
    *("trading_users_active", "trading_pnl_24h", "trading_success_percent", "trading_volume_24h"),
    "trading_simulated",
)
HOSTS = ({}, {"host": "web1"})
LABELLED = {
    "server_disk_percent": {"mount": "/"},
    "trading_symbol_pnl_24h": {"symbol": "BTC"},
    "server_network_received_bytes_total": {"interface": "eth0"},
    "server_network_sent_bytes_total": {"interface": "eth0"},
    "external_latency_ms": {},
}


def targets_of(dashboard: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every query with the title of what shows it."""
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target
    for annotation in dashboard["annotations"]["list"]:
        yield annotation["name"], annotation["target"]


QUERIES = [
    pytest.param(name, target, id=f"{name}: {title} {target['refId']}")
    for name, dashboard in DASHBOARDS.items()
    for title, target in targets_of(dashboard)
]


def as_grafana_asks(sql: str, start: datetime, end: datetime, interval: str) -> str:
    """Replace macros and variables as Grafana's PostgreSQL data source does."""
    first, last = (f"'{moment:%Y-%m-%dT%H:%M:%SZ}'" for moment in (start, end))

    def expand(match: re.Match[str]) -> str:
        match match[1]:
            case "__timeFrom":
                return first
            case "__timeTo":
                return last
            case "__timeFilter":
                return f"{match[2]} BETWEEN {first} AND {last}"
        raise AssertionError(f"what is ${match[1]}?")

    asked = MACRO.sub(expand, sql.replace("$__interval", interval))
    asked = asked.replace("$host", "'this host','web1'")
    assert "$" not in asked
    return asked


def samples(now: datetime) -> Iterator[Sample]:
    """Half an hour of everything that the dashboards show, each minute."""
    for metric in (*GAUGES, *LABELLED):
        kind = Kind.COUNTER if metric.endswith("_total") else Kind.GAUGE
        for host in HOSTS if metric.startswith("server") else HOSTS[:1]:
            labels = labels_of({**LABELLED.get(metric, {}), **host})
            series = Series(metric=metric, component="server", labels=labels, kind=kind)
            for minute in range(30):
                yield Sample(series, now - timedelta(minutes=minute), 100.0 - minute)


@pytest.fixture(scope="module")
async def filled(migrated_pool: Pool) -> Pool:
    now = utc_now()
    async with migrated_pool.connection() as connection:
        await connection.execute(RESET)
        async with connection.transaction():
            await insert(connection, SeriesNumbers(), list(samples(now)))
            await alerts.open_test(
                connection, now, Level.WARNING, Category.SYSTEM, "server", "Test", "Of the test."
            )
        await connection.execute(
            "INSERT INTO component_checks (time, component, status, stands_for_s) "
            "VALUES (%s, 'server', 'warning', 30)",
            [now],
        )
        await connection.execute(
            "INSERT INTO component_status (component, category, status, since, last_check) "
            "VALUES ('server', 'system', 'warning', %s, %s)",
            [now, now],
        )
    return migrated_pool


async def answer(pool: Pool, sql: str) -> tuple[dict[str, str], list[tuple[Any, ...]]]:
    """Return the columns with their types, and the rows, as a reader gets them."""
    async with pool.connection() as connection, connection.transaction(force_rollback=True):
        await connection.execute("SET LOCAL ROLE vigia_reader")
        cursor = await connection.execute(sql.encode())
        types = psycopg.adapters.types
        found = {
            column.name: info.name if (info := types.get(column.type_code)) else "?"
            for column in cursor.description or ()
        }
        return found, await cursor.fetchall()


@pytest.mark.parametrize("interval", ["15s", "1m", "1h"])
@pytest.mark.parametrize(("name", "target"), QUERIES)
async def test_every_query_answers_what_its_panel_needs(
    filled: Pool, name: str, target: dict[str, Any], interval: str
) -> None:
    now = utc_now()
    start = now - timedelta(days=1)
    columns, rows = await answer(
        filled, as_grafana_asks(target["rawSql"], start, now + timedelta(seconds=1), interval)
    )

    assert rows, name
    assert set(columns.values()) <= TYPES
    if target["format"] == "time_series":
        assert columns["time"] == "timestamptz"
        assert {kind for name, kind in columns.items() if name not in {"time", "metric"}} <= NUMBERS
        times = [row[list(columns).index("time")] for row in rows]
        assert times == sorted(times)


async def test_hosts_are_offered_to_choose_from(filled: Pool) -> None:
    [variable] = DASHBOARDS["overview"]["templating"]["list"]

    _, rows = await answer(filled, variable["query"])

    assert {row[0] for row in rows} == {"this host", "web1"}


def test_everything_is_asked_of_the_data_source_that_is_provisioned() -> None:
    [source] = yaml.safe_load((FOLDER / "datasources" / "vigia.yaml").read_text())["datasources"]
    wanted = {"type": source["type"], "uid": source["uid"]}

    for dashboard in DASHBOARDS.values():
        asked = [
            *dashboard["panels"],
            *dashboard["templating"]["list"],
            *dashboard["annotations"]["list"],
            *(target for _, target in targets_of(dashboard)),
        ]
        assert [each["datasource"] for each in asked] == [wanted] * len(asked)


def test_no_secret_is_provisioned() -> None:
    [source] = yaml.safe_load((FOLDER / "datasources" / "vigia.yaml").read_text())["datasources"]

    assert source["secureJsonData"] == {"password": "$__file{/run/secrets/grafana_vigia_password}"}


def test_dashboards_are_found_and_told_apart() -> None:
    [provider] = yaml.safe_load((FOLDER / "dashboards" / "vigia.yaml").read_text())["providers"]

    assert provider["type"] == "file"
    assert set(DASHBOARDS) == {"overview", "trading"}
    assert len({dashboard["uid"] for dashboard in DASHBOARDS.values()}) == len(DASHBOARDS)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_have_places_of_their_own(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARDS[name]["panels"]:
        grid = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(grid["x"], grid["x"] + grid["w"])
            for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not cells & taken, panel["title"]
        assert grid["x"] + grid["w"] <= 24
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARDS[name]["panels"]]
    assert len(set(ids)) == len(ids)
