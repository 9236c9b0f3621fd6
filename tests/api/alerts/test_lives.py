"""Hysteresis and flapping end to end, minute by minute: audit, bus and responses."""

from typing import Any

from db.queries import Pool
from events import bus
from tests.alerts.reference_model import Terms
from tests.alerts.simulation import minute, rule_of
from tests.alerts.suppression.test_suppress import Town

LIMITS = {2: 10.0, 3: 20.0}
LOUD, CALM = 15.0, 5.0


def iso(number: int) -> str:
    return minute(number).isoformat().replace("+00:00", "Z")


async def transitions(service: Any, alert_id: int) -> list[tuple[str, str, str, float | None]]:
    """Return what an answer says of each step: when, which, the level after it, and the value."""
    found = (await service.get(f"/alerts/{alert_id}")).body["events"]
    return [
        (transition["time"], transition["type"], transition["level"], transition["value"])
        for transition in found
    ]


async def bus_events(town: Town) -> list[tuple[str, str, str, str]]:
    """Return what everybody was told: when, how, and the state and level of the one alert."""
    reported = []
    for event in await bus.after(town.connection, 0, 100):
        payload: Any = event.payload
        [alert] = payload.get("alerts", [payload])
        time = event.time.isoformat().replace("+00:00", "Z")
        reported.append((time, event.type, alert["state"], alert["level"]))
    return reported


async def test_a_level_is_left_at_its_recovery_and_not_at_its_limit(
    service: Any, pool: Pool
) -> None:
    terms = Terms(LIMITS, recovery={2: 6.0, 3: 15.0})
    async with pool.connection() as connection:
        town = Town(connection, terms)
        await town.add(rule_of(terms))
        levels = []
        for value in (15.0, 8.0, 25.0, 16.0, 14.0, 7.0, 6.0, 8.0):
            await town.pass_minute(value)
            active = (await service.get("/alerts/active")).body["items"]
            levels.append([alert["level"] for alert in active])
        reported = await bus_events(town)

    assert levels == [
        ["warning"], ["warning"], ["critical"], ["critical"], ["warning"], ["warning"], [], [],
    ]  # fmt: skip
    assert await transitions(service, 1) == [
        (iso(1), "opened", "warning", 15.0),
        (iso(3), "escalated", "critical", 25.0),
        (iso(5), "lowered", "warning", 14.0),
        (iso(7), "resolved", "warning", 6.0),
    ]
    assert reported == [
        (iso(1), "alerts", "firing", "warning"),
        (iso(3), "alerts", "firing", "critical"),
        (iso(5), "alerts", "firing", "warning"),
        (iso(7), "alert_resolved", "resolved", "warning"),
    ]
    answer = (await service.get("/alerts/1")).body
    assert (answer["state"], answer["resolved_at"], answer["resolved_by"]) == (
        "resolved", iso(7), "auto",
    )  # fmt: skip
    assert (await service.get("/alerts/2")).status == 404


async def test_a_flapping_alert_stays_open_until_it_is_clear_for_long(
    service: Any, pool: Pool
) -> None:
    """It says so, once; a silence meanwhile holds it back and lets it go, and ends nothing."""
    terms = Terms(LIMITS, flap_count=3, flap_window=5)
    async with pool.connection() as connection:
        town = Town(connection, terms)
        await town.add(rule_of(terms))
        await town.silence(7, 9, rule="load")
        shown = []
        for value in [LOUD, CALM] * 2 + [LOUD] + [CALM, LOUD] + [CALM] * 6 + [LOUD]:
            await town.pass_minute(value)
            active = (await service.get("/alerts/active")).body["items"]
            shown.append([(one["id"], one["is_flapping"], one["suppressed_by"]) for one in active])
        reported = [(time, state) for time, _, state, _ in await bus_events(town)]

    still, suppressed = (3, True, []), (3, True, ["silence:1"])
    assert shown == [
        [(1, False, [])], [], [(2, False, [])], [],
        [still], [still], [suppressed], [suppressed], [still], [still], [still], [still], [],
        [(4, False, [])],
    ]  # fmt: skip
    assert [transition[:2] for transition in await transitions(service, 3)] == [
        (iso(5), "opened"), (iso(7), "suppressed"), (iso(9), "unsuppressed"), (iso(13), "resolved"),
    ]  # fmt: skip
    assert reported == [
        (iso(1), "firing"), (iso(2), "resolved"), (iso(3), "firing"), (iso(4), "resolved"),
        (iso(5), "firing"), (iso(7), "firing"), (iso(9), "firing"), (iso(13), "resolved"),
        (iso(14), "firing"),
    ]  # fmt: skip
    reasons = [(await service.get(f"/alerts/{n}")).body["events"][0]["comment"] for n in (1, 2, 3)]
    assert reasons == ["", "", "it flaps"]
