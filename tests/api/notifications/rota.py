"""Contacts and schedules of tests, made over HTTP."""

from typing import Any

from model.principal import Role

BASE = "/api/v1/monitoring"
OFFICE = {"weekdays": ["sat", "sun"], "start": "22:00", "end": "07:00"}


async def make_channel(service: Any, name: str = "hook", **terms: Any) -> Any:
    wanted = {"name": name, "type": "webhook", "url": "http://127.0.0.1:9/x"} | terms
    made = await service.post("/channels", wanted)
    assert made.status == 201, made.body
    return made.body


async def make_contact(service: Any, name: str = "ana", **terms: Any) -> Any:
    made = await service.post("/contacts", {"name": name} | terms)
    assert made.status == 201, made.body
    return made.body


async def make_schedule(service: Any, *people: str, name: str = "ops", **terms: Any) -> Any:
    """Make a schedule whose people take turns of a week by the clock of Lisbon, since long ago."""
    layers = [{"start": "2024-01-01T09:00:00", "unit": "week", "people": people}] if people else []
    wanted = {"name": name, "tz": "Europe/Lisbon", "layers": layers} | terms
    made = await service.post("/schedules", wanted)
    assert made.status == 201, made.body
    return made.body


async def put(service: Any, path: str, body: Any) -> Any:
    return await service.ask(BASE + path, method="PUT", json=body)


async def delete(service: Any, path: str, role: Role = Role.ADMIN) -> Any:
    return await service.ask(BASE + path, role, method="DELETE")


async def audited(service: Any, kind: str) -> list[tuple[str, str]]:
    """Return who changed what, of one type, oldest first."""
    events = (await service.get("/security/events", Role.ADMIN)).body["items"]
    return [(one["actor"], one["detail"]) for one in reversed(events) if one["type"] == kind]
