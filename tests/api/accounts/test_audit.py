"""Refusals and changes are in the audit, and become alerts."""

import ipaddress
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg_pool import PoolClosed

from accounts import keys
from alerts import store as alerts
from alerts.evaluation.evaluator import add_built_in_rules, evaluate
from alerts.store import Alert, Filter
from audit import counting, refusals
from audit import log as audit_log
from audit.log import Event, Type
from audit.refusals import Refusals
from config.model import Retention
from db.queries import Pool
from model.principal import Role
from model.series import Category, Sample, Series
from model.times import utc_now
from samples.insert import insert
from samples.series import SeriesNumbers
from vigia.housekeeping import expire

START = datetime(2026, 1, 1, tzinfo=UTC)
SESSION = "/api/v1/auth/session"
BASE = "/api/v1/monitoring"
WRONG = "vg_a-key-that-somebody-guessed"
MANY = 11
SILENCE = {
    "matcher": {"rule": "load"}, "starts_at": "2100-01-01T00:00:00Z",
    "ends_at": "2100-01-02T00:00:00Z", "comment": "moved",
}  # fmt: skip


def minute(number: float) -> datetime:
    return START + timedelta(minutes=number)


async def wrong_sign_ins(service: Any) -> None:
    for _ in range(MANY):
        body = {"key": WRONG}
        assert (await service.ask(SESSION, None, method="POST", json=body)).status == 401


async def used_links(service: Any) -> None:
    for _ in range(MANY):
        assert (await service.ask("/sign-in", None, params={"token": WRONG})).status == 401


async def wrong_keys(service: Any) -> None:
    headers = {"Authorization": f"Bearer {WRONG}"}
    for _ in range(MANY):
        assert (await service.ask(f"{BASE}/health", None, headers=headers)).status == 401


async def forbidden(service: Any) -> None:
    for _ in range(MANY):
        assert (await service.get("/dev/status", Role.VIEWER)).status == 403


async def change_of_settings(service: Any) -> None:
    path = f"{BASE}/config/intervals"
    body = {"value": {"collect_s": 30}}
    assert (await service.ask(path, method="PUT", json=body)).status == 200


async def new_key(service: Any) -> None:
    async with service.context.pool.connection() as connection:
        await keys.create(connection, "web1", Role.INGEST, utc_now(), "ana")


async def end_of_a_key(service: Any) -> None:
    async with service.context.pool.connection() as connection:
        await keys.revoke(connection, "operator", utc_now(), "ana")


async def new_admin(service: Any) -> None:
    async with service.context.pool.connection() as connection:
        await keys.create(connection, "mallory", Role.ADMIN, utc_now(), "ana")


async def old_certificate(service: Any) -> None:
    series = Series(metric="external_certificate_days", component="shop")
    samples = [Sample(series, minute(1) + timedelta(seconds=i), 6.5 - i) for i in range(3)]
    async with service.context.pool.connection() as connection:
        await insert(connection, SeriesNumbers(), samples)


async def pass_minute(service: Any, number: int) -> list[Alert]:
    """Do what the service does in a minute, then return the open alerts."""
    await service.context.auth.refusals.flush(service.context.pool)
    async with service.context.pool.connection() as connection:
        await counting.count(connection, minute(number - 0.5))
        await evaluate(connection, minute(number), {}, on_transitions=[])
        return await alerts.active(connection, Filter(), 100)


@pytest.fixture
async def quiet(service: Any) -> Any:
    """A service of which everything is counted that made it what it is."""
    service.context.auth.refusals = Refusals()
    async with service.context.pool.connection() as connection:
        await add_built_in_rules(connection)
        await counting.count(connection, minute(-60))
    assert await pass_minute(service, 1) == []
    return service


@pytest.mark.parametrize(
    ("act", "rule", "level", "actor"),
    [
        (wrong_sign_ins, "sign-ins-failed", "warning", None),
        (used_links, "sign-ins-failed", "warning", None),
        (wrong_keys, "keys-refused", "warning", None),
        (forbidden, "forbidden-attempts", "warning", "viewer"),
        (change_of_settings, "settings-changed", "info", "admin"),
        (new_key, "key-created", "warning", "ana"),
        (end_of_a_key, "key-revoked", "warning", "ana"),
        (new_admin, "new-admin", "critical", "ana"),
        (old_certificate, "certificate-expiring", "critical", None),
    ],
)
async def test_a_security_event_becomes_one_alert_that_names_the_actor(
    quiet: Any,
    act: Callable[[Any], Awaitable[None]],
    rule: str,
    level: str,
    actor: str | None,
) -> None:
    await act(quiet)

    [alert] = await pass_minute(quiet, 2)

    assert (alert.rule, alert.level, alert.category) == (rule, level, Category.SECURITY)
    assert alert.labels.get("actor") == actor
    found = (await quiet.get("/alerts/active", category="security")).body["items"]
    assert [item["rule"] for item in found] == [rule]


async def test_an_alert_of_a_change_stays_a_while_and_ends_by_itself(quiet: Any) -> None:
    await change_of_settings(quiet)

    open_in = [number for number in range(2, 22) if await pass_minute(quiet, number)]

    assert open_in == list(range(2, 18))


async def test_the_audit_says_who_what_and_from_where_and_holds_no_secret(quiet: Any) -> None:
    for act in (wrong_sign_ins, wrong_keys, forbidden, change_of_settings, new_key, new_admin):
        await act(quiet)
    secret = await quiet.new_key("more", Role.VIEWER)
    await quiet.context.auth.refusals.flush(quiet.context.pool)

    answer = await quiet.get("/security/events", Role.ADMIN)

    reported = [
        (item["type"], item["actor"], item["address"], item["detail"], item["count"])
        for item in answer.body["items"][:7]
    ]
    assert reported == [
        ("forbidden", "viewer", "127.0.0.1", f"GET {BASE}/dev/status", MANY),
        ("key_refused", "", "127.0.0.1", f"GET {BASE}/health", MANY),
        ("sign_in_failed", "", "127.0.0.1", f"POST {SESSION}", MANY),
        ("key_created", "test", "", "more (viewer)", 1),
        ("admin_created", "ana", "", "mallory (admin)", 1),
        ("key_created", "ana", "", "web1 (ingest)", 1),
        ("setting_changed", "admin", "", "intervals", 1),
    ]
    for text in (WRONG, secret, *quiet.keys.values()):
        assert text[:8] not in str(answer.body)


async def test_changes_of_rules_and_suppression_are_in_the_audit(quiet: Any) -> None:
    rule = {"name": "load", "metric": "load", "levels": {"warning": 10}}
    window = {"name": "backup", "repeat": "daily", "time": "02:30", "duration": "1h"}
    path = f"{BASE}/alerts/rules/load"
    await quiet.post("/alerts/rules", rule)
    await quiet.ask(path, method="PUT", json={**rule, "levels": {"warning": 20}})
    await quiet.ask(path, method="PUT", json={**rule, "levels": {"warning": 20}})
    await quiet.ask(path, method="DELETE")
    for kind, body in (("maintenance", window), ("alerts/silences", SILENCE)):
        made = (await quiet.post(f"/{kind}", body, Role.OPERATOR)).body["id"]
        one = f"{BASE}/{kind}/{made}"
        assert (await quiet.ask(one, Role.OPERATOR, method="PUT", json=body)).status == 200
        assert (await quiet.ask(one, Role.OPERATOR, method="DELETE")).status == 204

    answer = await quiet.get("/security/events", Role.ADMIN)

    reported = [(item["type"], item["actor"], item["detail"]) for item in answer.body["items"][:10]]
    words = '{"rule":"load"} from 2100-01-01T00:00:00Z to 2100-01-02T00:00:00Z'
    assert reported == [
        ("suppression_changed", "operator", "silence 1 ended"),
        ("suppression_changed", "operator", f"silence 1 changed: {words}"),
        ("suppression_changed", "operator", f"silence 1 created: {words}"),
        ("suppression_changed", "operator", "maintenance backup ended"),
        ("suppression_changed", "operator", "maintenance backup changed"),
        ("suppression_changed", "operator", "maintenance backup created"),
        ("rule_changed", "admin", "load deleted"),
        ("rule_changed", "admin", "load changed: nothing"),
        ("rule_changed", "admin", "load changed: levels"),
        ("rule_changed", "admin", "load created"),
    ]


async def test_the_audit_is_filtered_and_paged_and_only_for_admins(quiet: Any) -> None:
    for _ in range(3):
        await change_of_settings(quiet)

    first = await quiet.get("/security/events", Role.ADMIN, type="setting_changed", limit=2)
    cursor = first.body["cursor"]
    rest = await quiet.get(
        "/security/events", Role.ADMIN, type="setting_changed", limit=2, cursor=cursor
    )
    before = await quiet.get("/security/events", Role.ADMIN, end="-1h")

    assert (len(first.body["items"]), len(rest.body["items"])) == (2, 1)
    assert rest.body["cursor"] is None
    assert before.body["items"] == []
    for role in (Role.VIEWER, Role.OPERATOR, Role.INGEST):
        assert (await quiet.get("/security/events", role)).status == 403


async def test_a_request_without_a_key_is_not_counted(quiet: Any) -> None:
    """A stranger who shows nothing, and a cookie that is another program's."""
    for headers in ({}, {"Cookie": "other=x"}):
        for _ in range(MANY):
            assert (await quiet.ask(f"{BASE}/health", None, headers=headers)).status == 401

    assert await pass_minute(quiet, 2) == []
    assert (await quiet.get("/security/events", Role.ADMIN, type="key_refused")).body["items"] == []


async def test_a_flood_is_counted_whole_and_costs_a_few_rows(pool: Pool) -> None:
    refused, flood = Refusals(), 50_000
    for number in range(flood):
        address = "::7" if number < 7 else str(ipaddress.ip_address(number))
        refused.add(Event(START, Type.KEY_REFUSED, address=address, detail="GET /"))
    refused.add(Event(START, Type.FORBIDDEN, "ana"))
    assert len(refused._events[Type.KEY_REFUSED]) == refusals.KINDS_MAX + 1

    await refused.flush(pool)
    await refused.flush(pool)

    async with pool.connection() as connection:
        rows = await audit_log.past(connection, None, START, minute(1), 2**31, 1000)
        samples = await counting.count(connection, minute(1))
    of_keys = [row for row in rows if row.type is Type.KEY_REFUSED]
    assert len(of_keys) <= refusals.ROWS_MAX + 1
    assert sum(row.count for row in of_keys) == flood
    assert [row.count for row in of_keys if row.address == "::7"] == [7]
    assert {sample.value for sample in samples} == {flood, 1, 0}
    assert len(samples) == len(Type) + 1


async def test_refusals_wait_while_the_database_is_away(pool: Pool, away: Pool) -> None:
    refused = Refusals()
    refused.add(Event(START, Type.SIGN_IN_FAILED))
    with pytest.raises(PoolClosed):
        await refused.flush(away)
    refused.add(Event(minute(1), Type.SIGN_IN_FAILED))

    await refused.flush(pool)

    async with pool.connection() as connection:
        [row] = await audit_log.past(connection, None, START, minute(1), 2**31, 10)
    assert (row.time, row.count) == (START, 2)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("fe80::1%\0eth0", "fe80::1"),
        ("no address\0", ""),
        ("", ""),
    ],
)
def test_only_an_address_is_taken_for_one(host: str, address: str) -> None:
    refused = Refusals()
    scope: Any = {"client": (host, 1), "method": "GET"}

    refused.note(Type.KEY_REFUSED, scope)

    [event] = refused._take()
    assert (event.address, event.detail) == (address, "GET no such address")


async def test_refusals_end_with_their_time_and_changes_do_not(pool: Pool) -> None:
    refused, changed = Event(START, Type.FORBIDDEN, "ana"), Event(START, Type.ADMIN_CREATED, "ana")
    async with pool.connection() as connection:
        await audit_log.log(connection, refused, changed)
        await expire(pool, START + timedelta(days=31), Retention())

        [left] = await audit_log.past(connection, None, START, minute(1), 2**31, 10)
    assert left.type is Type.ADMIN_CREATED
