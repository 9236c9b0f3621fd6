"""Alert rules over HTTP: created, read, replaced and deleted, by the roles that may."""

import asyncio
import json
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from alerts.evaluation import quarantine, statement
from alerts.evaluation.evaluator import built_in_rules
from alerts.rules import store as rules
from alerts.rules.model import Rule
from api.http.limits import AT_ONCE, Concurrency
from db.queries import Pool
from model.principal import Role
from model.series import Sample, Series
from model.severity import Level
from model.times import utc_now
from samples.insert import insert
from samples.series import SeriesNumbers
from tests.alerts.simulation import instance, minute
from vigia.cli.main import main

PATH = "/alerts/rules"
LOAD = {"name": "load", "metric": "load", "levels": {"warning": 10}, "for": "2m"}


async def put(service: Any, name: str, body: Any, role: Role = Role.ADMIN) -> Any:
    path = f"/api/v1/monitoring{PATH}/{name}"
    return await service.ask(path, role, method="PUT", json=body)


async def delete(service: Any, name: str) -> Any:
    return await service.ask(f"/api/v1/monitoring{PATH}/{name}", method="DELETE")


async def test_a_rule_is_made_read_replaced_and_deleted(service: Any) -> None:
    made = await service.post(PATH, LOAD)
    assert (made.status, made.body["for"], made.body["updated_by"]) == (201, "2m", "admin")
    assert made.body["window"] == "1m"
    assert made.body["no_data"] == "keep"
    assert (await service.get(f"{PATH}/load")).body == made.body
    assert (await service.get(PATH)).body == {"items": [made.body], "cursor": None}

    changed = await put(service, "load", {**LOAD, "levels": {"critical": 5}, "enabled": False})
    assert (changed.status, changed.body["levels"], changed.body["enabled"]) == (
        200, {"critical": 5.0}, False,
    )  # fmt: skip

    assert (await delete(service, "load")).status == 204
    assert (await service.get(f"{PATH}/load")).status == 404
    assert (await delete(service, "load")).status == 404
    assert (await put(service, "load", LOAD)).status == 404


async def test_a_name_is_taken_once_and_stays(service: Any) -> None:
    assert (await service.post(PATH, LOAD)).status == 201
    assert (await service.post(PATH, LOAD)).status == 409
    assert (await put(service, "load", {**LOAD, "name": "other"})).status == 400
    assert (await service.post(PATH, {"name": "a b"})).status == 400
    assert (await service.post(PATH, {**LOAD, "levels": {"warning": "x"}})).status == 400
    assert len((await service.get(PATH)).body["items"]) == 1


async def test_a_rule_that_was_read_can_be_changed_sent_back_and_previewed(service: Any) -> None:
    read = (await service.post(PATH, LOAD)).body

    changed = await put(service, "load", {**read, "for": "3m"})
    tried = await service.post(f"{PATH}/preview", {"rule": changed.body, "start": "-5m"})
    copied = await service.post(PATH, {**read, "name": "copy", "updated_at": {}, "error": 5})

    assert (changed.status, changed.body["for"]) == (200, "3m")
    assert (tried.status, copied.status) == (200, 201)
    assert copied.body["error"] is None
    assert (await service.post(PATH, {**LOAD, "name": "b", "limit": 5})).status == 400


async def test_a_rule_shows_the_state_it_is_in(service: Any, pool: Pool) -> None:
    made = (await service.post(PATH, LOAD)).body
    assert (made["state"], made["error"], made["error_at"]) == ("ok", None, None)

    async with pool.connection() as connection:
        [stored] = await rules.read_page(connection)
        await quarantine.fail(connection, [stored.id], "too much", minute(1))
    read = (await service.get(f"{PATH}/load")).body
    assert (read["state"], read["error"], read["error_at"]) == (
        "error", "too much", "2026-01-01T00:01:00Z",
    )  # fmt: skip
    assert (await service.get(PATH)).body["items"] == [read]

    off = (await put(service, "load", {**read, "enabled": False})).body
    assert (off["state"], off["error"]) == ("off", None)


async def test_durations_are_also_plain_seconds(service: Any) -> None:
    numbers = {"window": 60, "for": 120, "keep_firing_for": 0, "flap_window": 3600}
    made = await service.post(PATH, {**LOAD, **numbers, "escalate_after": 300})

    assert made.status == 201
    assert [made.body[name] for name in (*numbers, "escalate_after")] == [
        "1m", "2m", "0s", "1h", "5m",
    ]  # fmt: skip
    for wrong in (-1, 1.5, True, "soon", 10**10):
        answer = await put(service, "load", {**LOAD, "for": wrong})
        assert answer.status == 400
        assert "for" in answer.detail
    begin = utc_now().timestamp() - 600
    asked = {"rule": LOAD, "start": begin, "end": int(begin) + 300}
    assert (await service.post(f"{PATH}/preview", asked)).status == 200


async def test_no_rule_takes_the_place_of_the_preview(service: Any) -> None:
    assert (await service.post(PATH, {**LOAD, "name": "preview"})).status == 400


async def test_a_conflict_is_described(service: Any) -> None:
    paths = service.document["paths"][f"/api/v1/monitoring{PATH}/{{name}}"]
    assert "409" in paths["put"]["responses"]
    assert "409" in paths["delete"]["responses"]
    assert (await service.post(PATH, LOAD)).status == 201
    both = {"name": "both", "kind": "composite", "all_of": ["load"]}
    assert (await service.post(PATH, both)).status == 201

    assert (await delete(service, "load")).status == 409
    assert (await put(service, "both", {**both, "all_of": ["gone"]})).status == 409


async def test_rules_are_paged(service: Any) -> None:
    for number in range(5):
        await service.post(PATH, {**LOAD, "name": f"rule-{number}"})

    first = (await service.get(PATH, limit=3)).body
    rest = (await service.get(PATH, limit=3, cursor=first["cursor"])).body

    assert [r["name"] for r in first["items"]] == ["rule-0", "rule-1", "rule-2"]
    assert [r["name"] for r in rest["items"]] == ["rule-3", "rule-4"]
    assert rest["cursor"] is None


async def test_deleting_a_rule_resolves_what_it_raised(service: Any, pool: Pool) -> None:
    async with pool.connection() as connection:
        rule = Rule(name="load", metric="load", levels={Level.INFO: 1})
        await rules.insert(connection, rule, minute(0), "ana")
        await insert(connection, SeriesNumbers(), [Sample(instance(), minute(0), 5)])
        async with connection.transaction():
            [transition] = await statement.evaluate(connection, minute(1), {})

    assert (await delete(service, "load")).status == 204

    alert = (await service.get(f"/alerts/{transition.alert_id}")).body
    assert (alert["state"], alert["resolved_by"]) == ("resolved", "admin")
    assert alert["events"][-1]["comment"] == "the rule was deleted"
    assert service.rings == 1


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
async def test_only_an_admin_changes_rules(service: Any, role: Role) -> None:
    assert (await service.post(PATH, LOAD, role)).status == 403
    assert (await put(service, "load", LOAD, role)).status == 403


async def test_a_draft_is_tried_on_the_past_and_changes_nothing(service: Any, pool: Pool) -> None:
    begin = utc_now().replace(second=0, microsecond=0) - timedelta(minutes=10)
    samples = [
        Sample(instance(), begin + timedelta(minutes=i), value)
        for i, value in enumerate((5, 12, 30, 5))
    ]
    async with pool.connection() as connection:
        await insert(connection, SeriesNumbers(), samples)
    draft = {"name": "load", "metric": "load", "levels": {"warning": 10, "critical": 20}}

    asked = {"rule": draft, "start": "-15m", "end": "now"}
    answer = await service.post(f"{PATH}/preview", asked, Role.OPERATOR)

    assert answer.status == 200
    [alert] = answer.body["alerts"]
    assert (alert["component"], alert["level"], alert["peak"]) == ("thing-00", "critical", 30)
    assert (answer.body["firing_s"], answer.body["messages"]) == (120, 3)
    assert [event["type"] for event in answer.body["events"]] == ["opened", "escalated", "resolved"]
    assert answer.body["present"] is None
    times = {
        name: datetime.fromisoformat(answer.body[name]).timestamp() for name in ("start", "end")
    }
    assert (await service.post(f"{PATH}/preview", {"rule": draft, **times})).body == answer.body
    assert (await service.get(PATH)).body["items"] == []
    assert (await service.get("/alerts/history")).body["items"] == []


async def test_the_terminal_answers_a_preview_with_the_thresholds_that_the_api_takes(
    service: Any, pool: Pool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIGIA_DATABASE_URL", database_url)
    begin = utc_now().replace(second=0, microsecond=0) - timedelta(hours=1)
    cpu, [rule] = (
        Series(metric="server_cpu_percent", component="server"),
        [msgspec.to_builtins(rule) for rule in built_in_rules() if rule.name == "cpu"],
    )
    values = (50, 70, 85, 75, 65, 55)
    async with pool.connection() as connection:
        samples = [Sample(cpu, begin + timedelta(minutes=i), v) for i, v in enumerate(values)]
        await insert(connection, SeriesNumbers(), samples)
    period = {"start": begin.isoformat(), "end": (begin + timedelta(minutes=20)).isoformat()}

    async def previews() -> list[str]:
        asked = (json.dumps(rule), *(f"--{name}={time}" for name, time in period.items()))
        said = await asyncio.to_thread(
            CliRunner().invoke, main, ["rules", "preview", *asked, "--json"]
        )
        assert said.exit_code == 0, said.output
        answer = await service.post(f"{PATH}/preview", {"rule": rule, **period})
        assert json.loads(said.stdout) == answer.body
        return [f"{event['type']} {event['level']}" for event in answer.body["events"]]

    assert rule["levels"] is None
    assert await previews() == [
        "opened warning", "escalated critical", "lowered warning", "resolved warning",
    ]  # fmt: skip

    setting = {"value": {"server_cpu_percent": {"warning": 72}}}
    config = "/api/v1/monitoring/config/thresholds"
    assert (await service.ask(config, method="PUT", json=setting)).status == 200
    assert await previews() == ["opened warning", "resolved warning"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"start": "-40d"}, {"start": "now", "end": "-1h"}, {"end": "soon"}, {"rule": {"name": "a"}},
        {"start": -1}, {"start": 1e20}, {"start": True}, {"start": None},
        {"rule": {"name": "both", "kind": "composite", "any_of": ["gone"]}},
    ],
)  # fmt: skip
async def test_a_preview_that_makes_no_sense_is_refused(service: Any, wrong: Any) -> None:
    answer = await service.post(f"{PATH}/preview", {"rule": LOAD, **wrong})

    assert answer.status == 400


async def test_previews_wait_for_each_other_and_history_for_none_of_them(service: Any) -> None:
    await service.declare("load")
    parts, asked = service.context, {"rule": LOAD, "start": "-1h"}
    async with AsyncExitStack() as turns:
        for _ in range(AT_ONCE[Concurrency.HISTORY]):
            await turns.enter_async_context(parts.limiters[Concurrency.HISTORY].slot())
        assert (await service.post(f"{PATH}/preview", asked)).status == 200
    async with AsyncExitStack() as turns:
        for _ in range(AT_ONCE[Concurrency.PREVIEW]):
            await turns.enter_async_context(parts.limiters[Concurrency.PREVIEW].slot())
        assert (await service.get("/metrics/history", metric="load")).status == 200
        waiting = asyncio.create_task(service.post(f"{PATH}/preview", asked))
        await asyncio.wait([waiting], timeout=0.2)
        assert not waiting.done()
    assert (await waiting).status == 200
