"""A code is sent to an address, and whoever enters it has read it."""

import json
import re
from datetime import datetime, timedelta

import pytest

from model.errors import ConflictError
from notifications.contacts import contact_store, verification
from notifications.contacts.contact import Address, Contact
from notifications.contacts.contact_store import KnownAddress
from notifications.contacts.verification import (
    GOOD_FOR,
    SENT_AGAIN_AFTER,
    TRIES_MAX,
    SentCode,
    code_of,
)
from runtime.encryption.secret_keys import SecretKeys
from tests.notifications.outbox.telling import Telling

MINUTE = timedelta(minutes=1)
OTHER_KEY = SecretKeys(["b" * 32])


@pytest.fixture
async def contact(telling: Telling) -> Telling:
    """Ana with two addresses, and bo without any."""
    for name in ("chat", "pager"):
        await telling.channel(name, f"{telling.provider.url}/{name}")
    ana = Contact(name="ana", addresses=[Address(channel="chat"), Address(channel="pager")])
    async with telling.pool.connection() as connection, connection.transaction():
        for one in (ana, Contact(name="bo")):
            await contact_store.insert(connection, telling.keys, one, telling.now(), "test")
    return telling


async def send(
    telling: Telling, now: datetime, name: str = "ana", channel: str | None = None
) -> list[SentCode]:
    async with telling.pool.connection() as connection, connection.transaction():
        return await verification.send_codes(connection, name, channel, now)


async def confirm(
    telling: Telling, code: str, now: datetime, keys: SecretKeys | None = None
) -> KnownAddress | None:
    derived = (keys or telling.keys).derive(verification.PURPOSE)
    async with telling.pool.connection() as connection, connection.transaction():
        return await verification.confirm(connection, derived, "ana", code, now)


async def received(telling: Telling, count: int) -> dict[str, str]:
    """Return the code that came by each channel."""
    telling.start()
    await telling.until(sent=count)
    bodies = [(request.path[1:], json.loads(request.body)) for request in telling.provider.requests]
    return {path: body["title"].rpartition(" ")[2] for path, body in bodies}


async def test_the_code_that_arrives_verifies_its_address_alone(contact: Telling) -> None:
    now = contact.now()
    sent = await send(contact, now)
    codes = await received(contact, 2)
    verified = await confirm(contact, codes["pager"], now + MINUTE)

    assert [(one.channel, one.expires_at) for one in sent] == [
        ("chat", now + GOOD_FOR), ("pager", now + GOOD_FOR),
    ]  # fmt: skip
    assert verified == KnownAddress(channel="pager", verified_at=now + MINUTE)
    async with contact.pool.connection() as connection:
        ana = await contact_store.read(connection, "ana")
    assert ana is not None
    assert [one.verified_at for one in ana.addresses] == [None, now + MINUTE]
    # It cannot be used twice, and the other one is still good.
    assert await confirm(contact, codes["pager"], now + MINUTE) is None
    assert (await confirm(contact, codes["chat"], now + MINUTE)) is not None


async def test_neither_the_database_nor_the_outbox_holds_the_code(contact: Telling) -> None:
    await send(contact, contact.now())
    codes = await received(contact, 2)
    async with contact.pool.connection() as connection:
        tables = ("contact_addresses", "notifications", "deliveries")
        texts = [
            str(await (await connection.execute(f"SELECT t::text FROM {table} t")).fetchall())
            for table in tables
        ]

    assert all(re.fullmatch(r"\d{6}", code) for code in codes.values())
    assert not any(code in text for code in codes.values() for text in texts)


async def test_after_five_wrong_codes_or_a_quarter_of_an_hour_none_is_good(
    contact: Telling,
) -> None:
    now = contact.now()
    await send(contact, now, channel="chat")
    code = (await received(contact, 1))["chat"]
    wrong = f"{(int(code) + 1) % 1_000_000:06}"
    assert await confirm(contact, code, now + GOOD_FOR) is None

    contact.later = SENT_AGAIN_AFTER
    later = now + SENT_AGAIN_AFTER
    await send(contact, later, channel="chat")
    await contact.until(sent=2)
    body = json.loads(contact.provider.requests[-1].body)
    code = body["title"].rpartition(" ")[2]
    for _ in range(TRIES_MAX):
        assert await confirm(contact, wrong, later) is None
    assert await confirm(contact, code, later) is None


async def test_a_code_of_another_key_is_wrong_and_one_of_a_retired_key_is_good(
    contact: Telling,
) -> None:
    now = contact.now()
    await send(contact, now, channel="chat")
    code = (await received(contact, 1))["chat"]

    assert await confirm(contact, code, now, OTHER_KEY) is None
    assert await confirm(contact, code, now, SecretKeys(["b" * 32, "a" * 32])) is not None


async def test_nothing_is_sent_twice_within_a_minute_or_where_nothing_is_to_be_verified(
    contact: Telling,
) -> None:
    now = contact.now()
    await send(contact, now)
    with pytest.raises(ConflictError, match="send another one at"):
        await send(contact, now + MINUTE / 2)
    with pytest.raises(ConflictError, match="bo has no address"):
        await send(contact, now, "bo")
    with pytest.raises(ConflictError, match="no such address that is not verified"):
        await send(contact, now, channel="mail")
    async with contact.pool.connection() as connection:
        await connection.execute("UPDATE channels SET enabled = false")
    with pytest.raises(ConflictError, match="'chat' is disabled"):
        await send(contact, now + MINUTE)


def test_codes_have_six_digits_and_differ() -> None:
    codes = {code_of(b"k" * 32, number.to_bytes(16)) for number in range(1000)}

    assert all(re.fullmatch(r"\d{6}", code) for code in codes)
    assert len(codes) > 990
