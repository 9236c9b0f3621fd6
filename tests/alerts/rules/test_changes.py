"""A set of rules becomes the wanted one: the difference is applied completely or not at all."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from alerts import store as alerts
from alerts.rules import changes as rule_set
from alerts.rules import files as rules_file
from alerts.rules import store as rules
from alerts.rules.changes import Difference, Field
from alerts.rules.model import Rule
from alerts.store import Filter
from audit import log as audit_log
from db.engine import Engine
from db.queries import Connection, Pool
from events import bus
from model.errors import ConflictError
from model.severity import Level
from tests.alerts.rules.some_rules import sets_of_rules
from tests.alerts.simulation import Simulation, minute

OPEN = """
WITH opened AS (
    INSERT INTO system_alerts (rule, level, category, component, title, message, opened_at)
    SELECT 'load', 'warning', 'system', 'thing-' || i, 'load', '', %(at)s::timestamptz
    FROM generate_series(1, %(count)s) i
    RETURNING id, component
)
INSERT INTO alert_states (rule_id, component, labels, phase, value_rank, floor_rank, acknowledged,
                          opens, is_flapping, alert_id)
SELECT r.id, o.component, '{}', 'firing', 2, 0, false, '{}', false, o.id
FROM opened o
CROSS JOIN alert_rules r
"""
LOAD = Rule(name="load", metric="load", levels={Level.WARNING: 10.0})


@pytest.fixture
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    async with pool.connection() as opened:
        yield opened


async def become(connection: Connection, wanted: list[Rule], *, prune: bool = True) -> Difference:
    async with connection.transaction():
        return await rule_set.become(
            connection, wanted, minute(9), "ana", prune=prune, on_transitions=[]
        )


async def dump(connection: Connection) -> str:
    return rules_file.dump([stored.rule for stored in await rules.read_page(connection)])


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(sets_of_rules, sets_of_rules)
async def test_export_import_export_is_the_same_file(
    connection: Connection, engine: Engine, first: list[Rule], second: list[Rule]
) -> None:
    if engine.embedded:  # which takes none of kind sql
        first, second = ([rule for rule in some if rule.kind != "sql"] for some in (first, second))
    await become(connection, first)
    await become(connection, second)
    exported = await dump(connection)
    assert not await rule_set.compare(connection, second, prune=True)

    assert not await become(connection, rules_file.parse(exported))
    assert await dump(connection) == exported
    await become(connection, [])
    await become(connection, rules_file.parse(exported))
    assert await dump(connection) == exported


@pytest.mark.parametrize("names", [[], ["load"], ["other"], ["load", "other", "new"]])
async def test_only_the_named_rules_are_read_and_none_for_no_name(
    connection: Connection, names: list[str]
) -> None:
    await become(connection, [LOAD, Rule(name="new", metric="m")])

    assert [s.rule.name for s in await rules.read_page(connection)] == ["load", "new"]
    expected = [name for name in ("load", "new") if name in names]
    assert [s.rule.name for s in await rules.read(connection, *names)] == expected
    assert [rule.name for rule in await rules.named(connection, names)] == expected


async def test_a_change_names_each_field_with_what_it_was(connection: Connection) -> None:
    await become(connection, [LOAD])
    other = Rule(name="load", metric="load", levels={Level.WARNING: 20.0}, for_="300s", window="60")

    difference = await become(connection, [other, Rule(name="new", metric="m")])

    assert [rule.name for rule in difference.added] == ["new"]
    assert difference.changed[0].fields == {
        "levels": Field({"warning": 10.0}, {"warning": 20.0}),
        "for": Field("0s", "5m"),
    }
    assert {s.rule.name: s.updated_by for s in await rules.read_page(connection)} == {
        "load": "ana",
        "new": "ana",
    }


async def test_rules_missing_in_the_file_stay_unless_pruned(connection: Connection) -> None:
    await become(connection, [LOAD])

    assert not await become(connection, [], prune=False)
    assert (await become(connection, [])).removed == ["load"]
    assert await rules.read_page(connection) == []


async def test_the_audit_names_the_actor_who_applies_a_file(connection: Connection) -> None:
    await become(connection, [LOAD])
    await become(connection, [msgspec.structs.replace(LOAD, for_="5m")])
    await become(connection, [])

    found = await audit_log.past(connection, None, minute(0), minute(10), alerts.ID_MAX, 10)
    assert [(one.type, one.actor, one.detail) for one in reversed(found)] == [
        ("rule_changed", "ana", "load created"),
        ("rule_changed", "ana", "load changed: for"),
        ("rule_changed", "ana", "load deleted"),
    ]


async def test_a_rule_that_is_pruned_resolves_what_it_raised(connection: Connection) -> None:
    simulation = Simulation(connection)
    await simulation.add(LOAD)
    assert await simulation.pass_minute(50) == ["opened"]

    await become(connection, [])

    [event] = await bus.after(connection, 0, 10)
    assert event.type == "alert_resolved"
    transitions = await alerts.transitions(connection, event.payload["id"])  # type: ignore[arg-type]
    assert [(s.type, s.actor, s.comment) for s in transitions][-1] == (
        "resolved", "ana", "the rule was deleted",
    )  # fmt: skip


async def test_the_second_of_two_concurrent_admins_sees_the_changes_of_the_first(
    pool: Pool,
) -> None:
    both = Rule(name="both", kind="composite", all_of=("load",))

    async def delete() -> None:
        async with pool.connection() as connection, connection.transaction():
            await rule_set.remove(connection, "load", minute(1), "ben", [])

    async with pool.connection() as connection:
        await become(connection, [LOAD])
        async with connection.transaction():
            assert await rule_set.make(connection, both, minute(1), "ana")
            second = asyncio.create_task(delete())
            _, waiting = await asyncio.wait({second}, timeout=0.3)
            assert waiting
    with pytest.raises(ConflictError, match="both references load"):
        await second


async def test_faults_of_other_rules_do_not_block_a_change(
    connection: Connection,
) -> None:
    await become(connection, [LOAD, Rule(name="both", kind="composite", all_of=("load",))])
    await rules.delete(connection, ["load"])

    assert await rule_set.make(connection, Rule(name="new", metric="m"), minute(1), "ana")
    assert await rule_set.remove(connection, "new", minute(1), "ana", []) == []
    with pytest.raises(ConflictError, match="both references load"):
        await become(connection, [Rule(name="both", kind="composite", any_of=("load",))])
    await become(connection, [LOAD], prune=False)


async def test_more_rules_than_one_file_takes_are_not_cut(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await become(connection, [LOAD, Rule(name="new", metric="m")])
    monkeypatch.setattr(rules, "RULES_MAX", 1)

    with pytest.raises(ConflictError, match="more than 1 rules"):
        await rules.read_all(connection)


async def test_a_rule_with_thousands_of_open_alerts_is_deleted_at_once(
    connection: Connection,
) -> None:
    count = 10_000
    await become(connection, [LOAD])
    await connection.execute(OPEN, {"count": count, "at": minute(1)})

    async with asyncio.timeout(8), connection.transaction():
        resolved = await rule_set.remove(connection, "load", minute(2), "ana", [])

    assert len(resolved or []) == count
    assert await alerts.active(connection, Filter(), 10) == []
    for query in (
        "SELECT count(*) FROM alert_states",
        "SELECT count(*) - 10000 FROM events WHERE type = 'alert_resolved'",
        "SELECT count(*) - 10000 FROM system_alert_events WHERE comment = 'the rule was deleted'",
    ):
        cursor = await connection.execute(query)  # type: ignore[arg-type]
        assert await cursor.fetchone() == (0,), query
