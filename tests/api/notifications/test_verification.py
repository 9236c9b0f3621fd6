"""Verification of addresses over HTTP."""

from typing import Any

import pytest

from model.principal import Role
from notifications.contacts import verification
from tests.api.notifications.rota import audited, make_channel, make_contact


@pytest.fixture
async def contact(service: Any) -> Any:
    await make_channel(service)
    await make_contact(service, addresses=[{"channel": "hook"}])
    return service


async def code_of(service: Any) -> str:
    """Return the code that was sent last."""
    async with service.context.pool.connection() as connection:
        cursor = await connection.execute("SELECT code_id FROM contact_addresses")
        [(code_id,)] = await cursor.fetchall()
    return verification.code_of(service.context.secret_keys.derive("address codes")[0], code_id)


async def test_an_address_is_verified_by_the_code_that_was_sent_there(contact: Any) -> None:
    sent = await contact.post("/contacts/ana/verify")
    confirmed = await contact.post("/contacts/ana/confirm", {"code": await code_of(contact)})

    assert (sent.status, sent.body["items"][0]["channel"]) == (200, "hook")
    assert (confirmed.status, confirmed.body["channel"]) == (200, "hook")
    ana = (await contact.get("/contacts/ana", Role.OPERATOR)).body
    assert ana["addresses"] == [confirmed.body]
    [delivery] = (await contact.get("/deliveries", Role.OPERATOR)).body["items"]
    assert (delivery["kind"], delivery["event"], delivery["person"]) == ("account", "code", "ana")
    assert await audited(contact, "contact_changed") == [
        ("admin", "contact ana created"),
        ("admin", "contact ana: code sent by hook"),
        ("admin", "contact ana: address of hook verified"),
    ]
    assert (await contact.post("/contacts/ana/verify")).status == 409


async def test_wrong_codes_are_refused_and_counted(contact: Any) -> None:
    await contact.post("/contacts/ana/verify", {"channel": "hook"})
    code = await code_of(contact)
    wrong = f"{(int(code) + 1) % 1_000_000:06}"
    for _ in range(5):
        refused = await contact.post("/contacts/ana/confirm", {"code": wrong})
        assert refused.status == 400
        assert refused.detail.startswith("code: it is wrong or has expired")
    assert (await contact.post("/contacts/ana/confirm", {"code": code})).status == 400
    assert (await contact.post("/contacts/ana/confirm", {"code": "12345"})).status == 400


async def test_nobody_else_is_verified(contact: Any) -> None:
    for path in ("/contacts/bo/verify", "/contacts/bo/confirm"):
        assert (
            await contact.post(path, {"code": "123456"} if "confirm" in path else {})
        ).status == 404
    missing = await contact.post("/contacts/ana/verify", {"channel": "mail"})
    assert (missing.status, missing.detail) == (
        409, "ana has no such address that is not verified",
    )  # fmt: skip
