"""Pending instances over HTTP."""

from typing import Any

from alerts.rules.model import Rule
from db.queries import Pool
from model.principal import Role
from model.severity import Level
from tests.alerts.simulation import Simulation, minute

LEVELS = {Level.WARNING: 10.0}


async def test_pending_instances_are_listed_with_the_time_at_which_they_fire(
    service: Any, pool: Pool
) -> None:
    async with pool.connection() as connection:
        simulation = Simulation(connection)
        await simulation.add(
            Rule(name="late", metric="load", levels=LEVELS, for_="10m"),
            Rule(name="soon", metric="load", levels=LEVELS, for_="3m"),
        )
        await simulation.pass_minute(20.0, 5.0)
        await simulation.pass_minute(20.0, 20.0)

        first = await service.get("/alerts/pending", Role.VIEWER, limit=3)
        rest = await service.get("/alerts/pending", limit=3, cursor=first.body["cursor"])

        reported = [
            (one["rule"], one["component"], one["fires_at"])
            for one in first.body["items"] + rest.body["items"]
        ]
        assert reported == [
            ("soon", "thing-00", minute(4).strftime("%Y-%m-%dT%H:%M:%SZ")),
            ("soon", "thing-01", minute(5).strftime("%Y-%m-%dT%H:%M:%SZ")),
            ("late", "thing-00", minute(11).strftime("%Y-%m-%dT%H:%M:%SZ")),
            ("late", "thing-01", minute(12).strftime("%Y-%m-%dT%H:%M:%SZ")),
        ]
        assert rest.body["cursor"] is None
        for _ in range(2):
            await simulation.pass_minute(20.0, 5.0)
        left = (await service.get("/alerts/pending")).body["items"]
        assert [(one["rule"], one["component"]) for one in left] == [("late", "thing-00")]
        assert [alert.component for alert in await simulation.active()] == ["thing-00"]
