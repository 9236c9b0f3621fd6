"""The pause over HTTP, and where it shows."""

from typing import Any

from model.principal import Role


async def test_an_admin_pauses_and_resumes_and_the_status_shows_it(service: Any) -> None:
    paused = await service.post("/deliveries/pause", {"reason": "we move"})
    shown = (await service.get("/dev/status", Role.ADMIN)).body["notifications"]
    again = await service.post("/deliveries/pause", {})
    resumed = await service.post("/deliveries/resume", None)
    read = await service.get("/deliveries/pause", Role.ADMIN)

    assert (paused.status, again.status, resumed.status) == (200, 409, 200)
    assert shown == paused.body
    assert (shown["paused"], shown["reason"], shown["waiting"]) == (True, "we move", 0)
    assert read.body == {
        "paused": False, "paused_at": None, "paused_by": None, "reason": None, "waiting": 0,
    }  # fmt: skip


async def test_what_is_not_paused_is_not_resumed(service: Any) -> None:
    assert (await service.post("/deliveries/resume", None)).status == 409
