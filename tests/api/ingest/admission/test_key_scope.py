"""A bound key writes only what it is bound to, through every protocol."""

import time
from typing import Any

import numpy as np
import pytest

from accounts import keys
from accounts.keys import Bound
from api.ingest.admission.key_scope import restrict
from api.ingest.admission.parsed_write import ParsedWrite
from config.model import Config
from db.queries import Pool
from model.errors import InvalidError
from model.principal import Principal, Role
from model.series import Column, Histogram, Kind, Series
from model.times import utc_now
from tests.api.conftest import BASE
from tests.api.ingest import otlp_requests, remote
from tests.api.ingest.remote import HEADERS, snappy


def series(component: str = "shop", metric: str = "m", **labels: str) -> Series:
    given = tuple(sorted(labels.items()))
    return Series(metric=metric, component=component, labels=given, kind=Kind.DISTRIBUTION)


def parsed(*given: Series) -> ParsedWrite:
    times, values = np.array([1, 2], np.int64), np.array([1.0, 2.0])
    counts = np.array([1], np.int64)
    return ParsedWrite(
        [Column(one, times, values) for one in given],
        [Histogram(one, 1, np.array([1], np.int32), counts) for one in given],
    )


def test_an_unbound_key_writes_anything() -> None:
    reported = parsed(series(), series("other", host="a"))

    restrict(reported, Principal("ana", Role.INGEST))

    assert (len(reported.columns), len(reported.histograms), reported.rejected.total()) == (2, 2, 0)


@pytest.mark.parametrize("role", [Role.INGEST, Role.ADMIN])
def test_nobody_writes_what_the_service_alone_knows(role: Role) -> None:
    own = [
        series(metric=name) for name in ("security_events", "sql_rule_rows", "host_silent_seconds")
    ]
    reported = parsed(series(), series("security"), *own)

    restrict(reported, Principal("ana", role))

    assert [column.series for column in reported.columns] == [series()]
    assert [one.series for one in reported.histograms] == [series()]
    assert reported.sentence() == (
        "12: component security and metrics security_events, sql_rule_rows and host_silent_seconds "
        "are reserved for Vigia; use other names"
    )


def test_whether_what_it_measures_itself_is_up_is_for_the_service_to_say() -> None:
    up = [series(name, "component_up") for name in ("server", "shop", "binance")]
    of_host = series("server", "component_up", host="a")
    other = series("server", "server_cpu_percent")
    keys_of = {
        "unbound": Principal("ana", Role.INGEST),
        "labelled": Principal("ana", Role.INGEST, labels=(("zone", "a"),)),
        "bound": Principal("ana", Role.INGEST, component="server"),
        "admin": Principal("ana", Role.ADMIN),
    }
    written = {}
    for name, principal in keys_of.items():
        reported = parsed(*up, of_host, other)
        restrict(reported, principal, Config().measured)
        written[name] = [(c.series.component, c.series.metric) for c in reported.columns]

    assert (
        written["unbound"]
        == written["labelled"]
        == [
            ("shop", "component_up"),
            ("server", "component_up"),
            ("server", "server_cpu_percent"),
        ]
    )
    assert ("server", "component_up") in written["bound"]
    assert len(written["admin"]) == 5


async def test_no_way_in_leads_to_what_the_audit_counts(service: Any) -> None:
    now = int(time.time())
    column = {"component": "security", "times": [now], "values": [0.0]}
    answer = await service.post(
        "/metrics", {"series": [{"metric": "security_events", **column}]}, Role.INGEST
    )
    labels = {"__name__": "security_events", "job": "security"}
    written = snappy(remote.series(labels, [(0.0, now * 1000)]))
    point = otlp_requests.point(0.0, now * 10**9)
    pushed = otlp_requests.message(
        otlp_requests.gauge(point, name="security_events"), {"service.name": "security"}
    ).SerializeToString()
    prometheus = await service.ask(
        f"{BASE}/ingest/prometheus/write", Role.INGEST, method="POST", data=written, headers=HEADERS
    )
    otlp = await service.ask(
        f"{BASE}/ingest/otlp/v1/metrics", Role.INGEST, method="POST", data=pushed,
        headers={"Content-Type": "application/x-protobuf"},
    )  # fmt: skip

    assert (answer.body["accepted"], answer.body["rejected"]) == (0, 1)
    assert "reserved for Vigia" in answer.body["reasons"][0]["reason"]
    assert prometheus.status == 400
    assert "reserved for Vigia" in prometheus.detail
    assert (otlp.status, "reserved for Vigia" in otlp.body) == (200, True)
    assert (await service.get("/metrics")).body["items"] == []


def test_samples_of_another_component_are_rejected() -> None:
    reported = parsed(series(), series("other"))

    restrict(reported, Principal("ana", Role.INGEST, component="shop"))

    assert [column.series for column in reported.columns] == [series()]
    assert [one.series for one in reported.histograms] == [series()]
    assert reported.sentence() == "3: this key writes only component shop"


def test_labels_of_the_key_are_added_and_never_overruled() -> None:
    reported = parsed(series(), series(host="a", z="1"), series(host="b"))

    restrict(reported, Principal("ana", Role.INGEST, labels=(("host", "a"),)))

    assert [one.series for one in reported.columns] == [series(host="a"), series(host="a", z="1")]
    assert reported.sentence() == "3: this key writes only series with host=a"


async def test_a_bound_key_is_told_what_it_may_not_write(service: Any, pool: Pool) -> None:
    async with pool.connection() as connection:
        bound = Bound("shop", {"host": "a"})
        _, secret = await keys.create(connection, "shop", Role.INGEST, utc_now(), "test", bound)
    now = int(time.time())
    sent = [
        {"metric": "m", "component": component, "times": [now], "values": [1.0]}
        for component in ("shop", "server")
    ]

    answer = await service.ask(
        "/api/v1/monitoring/metrics",
        None,
        method="POST",
        json={"series": sent},
        headers={"Authorization": f"Bearer {secret.reveal()}"},
    )

    assert answer.body == {
        "accepted": 1,
        "duplicate": 0,
        "rejected": 1,
        "reasons": [{"reason": "this key writes only component shop", "count": 1}],
    }
    [found] = (await service.get("/metrics")).body["items"]
    assert (found["component"], found["labels"]) == ("shop", {"host": "a"})


async def test_only_an_ingest_key_can_be_bound(pool: Pool) -> None:
    bound = Bound(component="shop")
    async with pool.connection() as connection:
        with pytest.raises(InvalidError, match="ingest"):
            await keys.create(connection, "ana", Role.VIEWER, utc_now(), "test", bound)
