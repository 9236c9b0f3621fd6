"""A set of rules becomes the one that is wanted: what differs, all or nothing, and only once."""

from collections.abc import AsyncIterator

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from db import alerts, events, rule_set, rules, security
from db.queries import Connection, Pool
from db.rule_set import Difference, Field
from db.rules import Rule
from tests.alerts.world import World, minute
from tests.vigia.some_rules import sets_of_rules
from vigia import rules_file
from vigia.model import Level

LOAD = Rule(name="load", metric="load", levels={Level.WARNING: 10.0})


@pytest.fixture
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    async with pool.connection() as opened:
        yield opened


async def become(connection: Connection, wanted: list[Rule], *, prune: bool = True) -> Difference:
    async with connection.transaction():
        difference = await rule_set.compare(connection, wanted, prune=prune)
        await rule_set.apply(connection, difference, minute(9), "ana")
    return difference


async def dump(connection: Connection) -> str:
    return rules_file.dump([stored.rule for stored in await rules.read(connection)])


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sets_of_rules, sets_of_rules)
async def test_export_import_export_is_the_same_file(
    connection: Connection, first: list[Rule], second: list[Rule]
) -> None:
    await become(connection, first)
    await become(connection, second)
    exported = await dump(connection)
    assert not await rule_set.compare(connection, second, prune=True)

    assert not await become(connection, rules_file.parse(exported))
    assert await dump(connection) == exported
    await become(connection, [])
    await become(connection, rules_file.parse(exported))
    assert await dump(connection) == exported


async def test_a_change_names_each_field_with_what_it_was(connection: Connection) -> None:
    await become(connection, [LOAD])
    other = Rule(name="load", metric="load", levels={Level.WARNING: 20.0}, for_="300s", window="60")

    difference = await become(connection, [other, Rule(name="new", metric="m")])

    assert [rule.name for rule in difference.added] == ["new"]
    assert difference.changed[0].fields == {
        "levels": Field({"warning": 10.0}, {"warning": 20.0}),
        "for": Field("0s", "5m"),
    }
    assert {s.rule.name: s.updated_by for s in await rules.read(connection)} == {
        "load": "ana",
        "new": "ana",
    }


async def test_what_is_not_in_the_file_stays_unless_it_is_pruned(connection: Connection) -> None:
    await become(connection, [LOAD])

    assert not await become(connection, [], prune=False)
    assert (await become(connection, [])).removed == ["load"]
    assert await rules.read(connection) == []


async def test_whoever_applies_a_file_is_in_the_audit(connection: Connection) -> None:
    await become(connection, [LOAD])
    await become(connection, [msgspec.structs.replace(LOAD, for_="5m")])
    await become(connection, [])

    found = await security.past(connection, None, minute(0), minute(10), alerts.ID_MAX, 10)
    assert [(one.type, one.actor, one.detail) for one in reversed(found)] == [
        ("rule_changed", "ana", "load made"),
        ("rule_changed", "ana", "load changed: for"),
        ("rule_changed", "ana", "load deleted"),
    ]


async def test_a_rule_that_is_pruned_resolves_what_it_raised(connection: Connection) -> None:
    world = World(connection)
    await world.add(LOAD)
    assert await world.turn(50) == ["opened"]

    await become(connection, [])

    [event] = await events.after(connection, 0, 10)
    assert event.type == "alert_resolved"
    steps = await alerts.steps(connection, event.payload["id"])  # type: ignore[arg-type]
    assert [(s.type, s.actor, s.comment) for s in steps][-1] == (
        "resolved", "ana", "the rule was deleted",
    )  # fmt: skip
