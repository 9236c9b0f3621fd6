"""What a route needs, made over HTTP: channels, people, a schedule, a policy."""

from typing import Any

from model.principal import Role
from tests.api.notifications.rota import make_channel, make_contact, make_schedule

STEPS = [
    {"targets": [{"kind": "schedule", "name": "ops"}], "delay": "5m"},
    {"targets": [{"kind": "person", "name": "bo"}, {"kind": "channel", "name": "hook"}]},
]


async def make_people(service: Any) -> None:
    """Make the channel hook, the contacts ana and bo, and the schedule ops with ana."""
    await make_channel(service)
    for name in ("ana", "bo"):
        await make_contact(service, name, addresses=[{"channel": "hook"}])
    await make_schedule(service, "ana")


async def make_policy(service: Any, name: str = "wake", **terms: Any) -> Any:
    made = await service.post("/policies", {"name": name, "steps": STEPS} | terms)
    assert made.status == 201, made.body
    return made.body


async def make_route(service: Any, name: str = "all", **terms: Any) -> Any:
    made = await service.post("/routes", {"name": name, "channels": ["hook"]} | terms)
    assert made.status == 201, made.body
    return made.body


async def names(service: Any, path: str) -> list[str]:
    listed = await service.get(path, Role.OPERATOR, limit="100")
    return [one["name"] for one in listed.body["items"]]
