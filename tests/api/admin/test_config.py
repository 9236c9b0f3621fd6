"""Settings over HTTP: everyone reads them, admins change them, and every change is kept."""

import time
from typing import Any

import aiohttp
import pytest

from model.principal import Role
from tests.live.stream import ADMIN_KEY
from vigia.cli.client import Client
from vigia.cli.importing.importer import DAY_S, RequestBatch, RetentionWidening
from vigia.cli.importing.samples_file import Row

BASE = "/api/v1/monitoring"


async def put(service: Any, key: str, value: Any, role: Role = Role.ADMIN) -> Any:
    return await service.ask(f"{BASE}/config/{key}", role, method="PUT", json={"value": value})


async def test_settings_have_their_defaults(service: Any) -> None:
    page = (await service.get("/config")).body

    assert page["cursor"] is None
    keys = [item["key"] for item in page["items"]]
    assert keys == [
        "actions", "dependencies", "intervals", "retention", "scrapes", "targets", "thresholds",
    ]  # fmt: skip
    for item in page["items"]:
        assert set(item) == {"key", "value", "default", "updated_at", "updated_by"}
        assert item["value"] == item["default"]
        assert item["updated_at"] is None
        assert (await service.get(f"/config/{item['key']}")).body == item


async def test_a_change_is_in_force_and_audited(service: Any) -> None:
    first = await put(service, "intervals", {"collect_s": 30})
    second = await put(service, "intervals", {"collect_s": 20, "health_s": 60})

    assert first.status == second.status == 200
    assert second.body["value"] == {"collect_s": 20, "health_s": 60}
    assert second.body["default"] == {"collect_s": 15, "health_s": 30}
    assert second.body["updated_by"] == "admin"
    assert service.config.intervals.collect_s == 20
    changes = (await service.get("/config/history", key="intervals")).body["items"]
    assert [(c["old_value"], c["new_value"], c["changed_by"]) for c in changes] == [
        (first.body["value"], second.body["value"], "admin"),
        (None, first.body["value"], "admin"),
    ]
    assert (await service.get("/config/history", key="retention")).body["items"] == []


async def test_the_inside_of_addresses_is_for_admins(service: Any) -> None:
    """A path or query may hold a token, and the history keeps it for ever."""
    secret = "https://hooks.example.com/t0ken-in-the-path?key=t0ken"
    await put(service, "targets", [{"name": "a", "url": secret}, {"name": "b", "url": "https://b"}])
    await put(service, "scrapes", [{"name": "c", "url": secret}])
    paths = ("/config", "/config/targets", "/config/scrapes", "/config/history")

    for path in paths:
        assert "t0ken" in str((await service.ask(BASE + path, Role.ADMIN)).body)
        for role in (Role.VIEWER, Role.OPERATOR):
            assert "t0ken" not in str((await service.ask(BASE + path, role)).body)
    shown = (await service.ask(f"{BASE}/config/targets", Role.VIEWER)).body["value"]
    assert [one["url"] for one in shown] == ["https://hooks.example.com/…", "https://b"]


async def test_changes_are_paged(service: Any) -> None:
    for seconds in range(10, 15):
        await put(service, "intervals", {"collect_s": seconds})

    page = (await service.get("/config/history", limit=3)).body
    rest = (await service.get("/config/history", limit=3, cursor=page["cursor"])).body

    found = [c["new_value"]["collect_s"] for c in page["items"] + rest["items"]]
    assert found == [14, 13, 12, 11, 10]
    assert rest["cursor"] is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("intervals", None),
        ("intervals", []),
        ("intervals", {"collect_s": 0}),
        ("intervals", {"collect_s": "x"}),
        ("intervals", {"unknown": 1}),
        ("intervals", {"collect_s": 1e308}),
        ("retention", {"raw_days": 100, "rollup_5m_days": 10}),
        ("thresholds", {"m": {"warning": "x"}}),
        ("thresholds", {"m": {"op": "=="}}),
        ("thresholds", {"m\0": {"warning": 1}}),
    ],
)
async def test_a_value_that_does_not_fit_changes_nothing(
    service: Any, key: str, value: Any
) -> None:
    answer = await put(service, key, value)

    assert answer.status == 400
    assert answer.detail
    assert (await service.get(f"/config/{key}")).body["updated_at"] is None
    assert (await service.get("/config/history")).body["items"] == []


async def test_an_unknown_setting_is_404(service: Any) -> None:
    for key in ("nothing", "__class__", "intervals%20", "%00"):
        assert (await service.get(f"/config/{key}")).status == 404
        assert (await put(service, key, 1)).status == 404


async def test_a_change_of_what_was_read_before_another_change_is_refused(service: Any) -> None:
    read = (await service.get("/config/retention")).body["value"]
    await put(service, "retention", read | {"events_days": 14})

    body = {"value": read | {"raw_days": 60}, "previous": read}
    path = f"{BASE}/config/retention"
    refused = await service.ask(path, Role.ADMIN, method="PUT", json=body)
    assert refused.status == 409
    assert "changed by 'admin' in the meantime" in refused.body["detail"]

    body = {"value": read | {"raw_days": 60}, "previous": read | {"events_days": 14}}
    assert (await service.ask(path, Role.ADMIN, method="PUT", json=body)).status == 200


async def test_an_import_keeps_what_somebody_changes_meanwhile(service: Any) -> None:
    """The import has read the retention; then another value of it is changed."""
    said: list[str] = []
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {ADMIN_KEY}"}) as http:
        widening = RetentionWidening(Client(http, service.url), said.append)
        await widening.make(aged(days=1))
        read = (await service.get("/config/retention")).body["value"]
        await put(service, "retention", read | {"events_days": 14})

        await widening.make(aged(days=100))

    found = (await service.get("/config/retention")).body["value"]
    assert found["raw_days"] == 103
    assert found["events_days"] == 14
    assert len(said) == 1


def aged(days: float) -> RequestBatch:
    batch = RequestBatch()
    batch.add(Row(("load", "app", "", "", "", ""), time.time() - days * DAY_S + 60, 1.0))
    return batch
