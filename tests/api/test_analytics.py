"""How alerts went, asked over HTTP."""

from typing import Any

from vigia.model import Role


async def test_the_noisiest_rules_come_first(service: Any) -> None:
    alert = (await service.post("/dev/test-alert", {"component": "a"})).body
    await service.post(f"/alerts/{alert['id']}/acknowledge", {})
    await service.post(f"/alerts/{alert['id']}/resolve", {})
    await service.post("/dev/test-alert", {"component": "a"})

    answer = await service.get("/alerts/analytics", Role.VIEWER)

    [only] = answer.body["items"]
    assert (only["group"], only["alerts"], only["steps"], only["open"]) == ("test-alert", 2, 4, 1)
    assert (only["acknowledged"], only["resolved"], only["resolved_auto"]) == (1, 1, 0)
    assert only["flapping_index"] == 0.5
    for by in ("level", "category", "component", "week"):
        assert (
            len((await service.get("/alerts/analytics", by=by, tz="Asia/Tokyo")).body["items"]) == 1
        )


async def test_a_wrong_question_says_what_to_change(service: Any) -> None:
    for wrong in ({"by": "colour"}, {"tz": "Mars"}, {"start": "soon"}):
        answer = await service.get("/alerts/analytics", **wrong)
        assert answer.status == 400, wrong
        assert answer.body["detail"]
