"""An SMS that answers a message acts on its alert; only Twilio's signature opens the way."""

from typing import Any
from urllib.parse import urlencode

from notifications.replies.twilio import signature_of

TOKEN, ALICE, MALLORY = "f" * 32, "+15551234567", "+15557654321"


async def make_channel(service: Any) -> None:
    made = await service.post(
        "/channels",
        {
            "name": "sms",
            "type": "twilio",
            "secret": TOKEN,
            "settings": {
                "account_sid": "AC" + "0" * 32,
                "from": "+15550000000",
                "to": ALICE,
                "replies": True,
            },
        },
    )
    assert made.status == 201, made.body


async def text(
    service: Any, words: str, sender: str = ALICE, token: str = TOKEN, channel: str = "sms"
) -> Any:
    fields = [("From", sender), ("Body", words)]
    url = f"{service.context.settings.url}/in/{channel}"
    headers = {
        "X-Twilio-Signature": signature_of(token, url, fields).decode(),
        "Content-Type": "application/x-www-form-urlencoded",
    }
    return await service.ask(
        f"/in/{channel}", None, method="POST", headers=headers, data=urlencode(fields)
    )


async def raise_alert(service: Any) -> int:
    alert_id: int = (await service.post("/dev/test-alert", {"level": "critical"})).body["id"]
    return alert_id


async def test_a_text_acknowledges_and_resolves_in_the_name_of_its_number(service: Any) -> None:
    await make_channel(service)
    alert_id = await raise_alert(service)

    taken = await text(service, f"{alert_id}a")
    alert = (await service.get(f"/alerts/{alert_id}")).body
    assert f"Alert {alert_id} is acknowledged." in taken.body
    assert (alert["state"], alert["acknowledged_by"]) == ("acknowledged", ALICE)

    again = await text(service, f"{alert_id}a")
    assert "is already acknowledged" in again.body
    over = await text(service, f"{alert_id}r")
    assert f"Alert {alert_id} is resolved." in over.body


async def test_all_that_the_channel_was_told_of_is_acknowledged_by_one_text(service: Any) -> None:
    before = await raise_alert(service)
    await make_channel(service)
    reported = [await raise_alert(service) for _ in range(3)]

    answer = await text(service, f"{reported[0]}aa")

    states = [(await service.get(f"/alerts/{one}")).body["state"] for one in [before, *reported]]
    assert "3 acknowledged." in answer.body
    assert states == ["firing", *["acknowledged"] * 3]


async def test_whoever_is_not_twilio_or_not_the_reader_changes_nothing(service: Any) -> None:
    await make_channel(service)
    alert_id = await raise_alert(service)

    forged = await text(service, f"{alert_id}a", token="e" * 32)
    unknown = await text(service, f"{alert_id}a", channel="nowhere")
    unauthenticated = await text(service, f"{alert_id}a", sender=MALLORY)

    assert (forged.status, unknown.status, unauthenticated.status) == (401, 401, 200)
    assert forged.body == unknown.body
    assert "acknowledged" not in unauthenticated.body
    assert (await service.get(f"/alerts/{alert_id}")).body["state"] == "firing"


async def test_a_contact_answers_from_a_verified_number_only(service: Any) -> None:
    await make_channel(service)
    address = {"channel": "sms", "address": MALLORY}
    await service.post("/contacts", {"name": "ana", "addresses": [address]})
    alert_id = await raise_alert(service)
    await text(service, f"{alert_id}a", sender=MALLORY)
    assert (await service.get(f"/alerts/{alert_id}")).body["state"] == "firing"

    async with service.context.pool.connection() as connection:
        await connection.execute("UPDATE contact_addresses SET verified_at = now()")
    await text(service, f"{alert_id}a", sender=MALLORY)
    alert = (await service.get(f"/alerts/{alert_id}")).body
    assert (alert["state"], alert["acknowledged_by"]) == ("acknowledged", MALLORY)
