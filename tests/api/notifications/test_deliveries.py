"""The delivery log over HTTP, and sending again."""

from typing import Any

from model.principal import Role


async def alert(service: Any) -> int:
    made = await service.post("/dev/test-alert", {"level": "critical", "title": "disk full"})
    alert_id: int = made.body["id"]
    return alert_id


async def test_an_alert_leads_to_a_delivery_in_its_own_transaction(service: Any) -> None:
    await service.post("/channels", {"name": "ops", "type": "webhook", "url": "https://a.example"})
    alert_id = await alert(service)
    [delivery] = (await service.get("/deliveries", Role.OPERATOR)).body["items"]

    assert (delivery["kind"], delivery["event"], delivery["channel"], delivery["state"]) == (
        "alert", "opened", "ops", "pending",
    )  # fmt: skip
    assert delivery["alert"]["id"] == alert_id
    assert delivery["key"].startswith(f"alert-{alert_id}-")


async def test_deliveries_are_filtered_by_state_channel_and_alert(service: Any) -> None:
    for name in ("a", "b"):
        await service.post(
            "/channels", {"name": name, "type": "webhook", "url": "https://a.example"}
        )
    first, _ = await alert(service), await alert(service)

    async def count(**query: Any) -> int:
        return len((await service.get("/deliveries", Role.OPERATOR, **query)).body["items"])

    assert await count() == 4
    assert await count(channel="a") == 2
    assert await count(alert=first) == 2
    assert await count(state="sent") == 0


async def test_what_failed_is_sent_again_with_the_same_key(service: Any) -> None:
    await service.post("/channels", {"name": "ops", "type": "webhook", "url": "https://a.example"})
    await alert(service)
    [before] = (await service.get("/deliveries", Role.OPERATOR)).body["items"]
    waits = await service.post(f"/deliveries/{before['id']}/replay", None, Role.OPERATOR)
    async with service.context.pool.connection() as connection:
        await connection.execute("UPDATE deliveries SET state = 'failed', last_error = 'no'")
    again = await service.post(f"/deliveries/{before['id']}/replay", None, Role.OPERATOR)

    assert (waits.status, again.status) == (409, 200)
    assert (again.body["state"], again.body["key"]) == ("pending", before["key"])
    assert (await service.post("/deliveries/999/replay", None, Role.OPERATOR)).status == 404
