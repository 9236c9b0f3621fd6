"""Alert statistics over HTTP."""

from typing import Any

from db.queries import Pool
from model.principal import Role
from tests.alerts.simulation import Simulation, instance, rule_of


async def test_the_noisiest_rules_come_first(service: Any, pool: Pool) -> None:
    """Of what rules raised: a test is no noise."""
    await service.post("/dev/test-alert", {"component": "a"})
    async with pool.connection() as connection:
        simulation = Simulation(connection)
        await simulation.add(rule_of(simulation.terms))
        for now, values in enumerate(([15.0], [5.0], [15.0]), 1):
            simulation.now = now
            await simulation.measure({instance(): values})
            await simulation.announce()
    await service.post("/alerts/3/acknowledge", {})

    answer = await service.get("/alerts/analytics", Role.VIEWER, start="2026-01-01T00:00:00Z")

    [only] = answer.body["items"]
    assert (only["group"], only["alerts"], only["transitions"], only["open"]) == ("load", 2, 4, 1)
    assert (only["acknowledged"], only["resolved"], only["resolved_auto"]) == (1, 1, 1)
    assert only["flapping_index"] == 0.5
    for by in ("level", "category", "component", "week"):
        asked = {"by": by, "tz": "Asia/Tokyo", "start": "2026-01-01T00:00:00Z"}
        assert len((await service.get("/alerts/analytics", **asked)).body["items"]) == 1


async def test_a_wrong_question_says_what_to_change(service: Any) -> None:
    for wrong in ({"by": "colour"}, {"tz": "Mars"}, {"start": "soon"}):
        answer = await service.get("/alerts/analytics", **wrong)
        assert answer.status == 400, wrong
        assert answer.body["detail"]
