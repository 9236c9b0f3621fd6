"""Addresses that do not exist any more are removed, and nobody else's."""

from typing import Any

import msgspec
import pytest

from model.times import utc_now
from notifications import channel_store
from notifications.channel_store import Stored
from notifications.contacts import contact_store
from notifications.contacts.contact import Address, Contact
from notifications.outbox import gone
from notifications.push.vapid import make_key_pair
from tests.notifications.outbox.telling import Telling
from tests.notifications.push.browsers import Browser

BY_ROUTE = """
WITH made AS (
    INSERT INTO routes (name, position, updated_at, updated_by)
    VALUES ('all', 1, now(), 'test') RETURNING id
)
INSERT INTO route_channels (route_id, channel_id, position) SELECT id, %(number)s, 1 FROM made"""

BY_POLICY = """
INSERT INTO policies (name, steps, updated_at, updated_by)
SELECT 'p', jsonb_build_array(jsonb_build_object(
           'delay_s', 0, 'targets', jsonb_build_array(jsonb_build_object(
               'kind', 'channel', 'name', name)))), now(), 'test'
FROM channels WHERE id = %(number)s"""


async def subscribed(telling: Telling) -> int:
    settings = Browser().keys | {"subject": "mailto:ops@example.org"}
    secret = make_key_pair().private
    return await telling.channel("phone", type="webpush", secret=secret, settings=settings)


async def remove(telling: Telling, number: int, address: str = "") -> list[Stored]:
    async with telling.pool.connection() as connection:
        stored = await channel_store.read(connection, number)
        channel = channel_store.opened_by(telling.keys, stored)
        await gone.remove(connection, channel, address, utc_now())
        return await channel_store.read_all(connection)


async def test_a_browser_that_is_gone_is_removed_and_a_webhook_is_not(telling: Telling) -> None:
    hook = await telling.channel("hook")
    phone = await subscribed(telling)

    await remove(telling, hook)
    left = await remove(telling, phone)
    assert [one.name for one in left] == ["hook"]


async def test_one_address_of_a_contact_goes_and_the_others_stay(telling: Telling) -> None:
    number = await subscribed(telling)
    gone_address, other = (address_of(Browser()) for _ in range(2))
    addresses = [Address(channel="phone", address=text) for text in (gone_address, other)]
    async with telling.pool.connection() as connection:
        contact = Contact(name="ana", addresses=addresses)
        await contact_store.insert(connection, telling.keys, contact, utc_now(), "test")

    left = await remove(telling, number, gone_address)

    async with telling.pool.connection() as connection:
        ana = await contact_store.read(connection, "ana")
    assert ana is not None
    assert [one.address for one in ana.addresses] == [other]
    assert [one.name for one in left] == ["phone"]


@pytest.mark.parametrize("statement", [BY_ROUTE, BY_POLICY], ids=["route", "policy"])
async def test_a_browser_that_is_named_is_switched_off(telling: Telling, statement: str) -> None:
    number = await subscribed(telling)
    async with telling.pool.connection() as connection:
        await connection.execute(statement, {"number": number})

    [phone] = await remove(telling, number)
    assert (phone.enabled, phone.updated_by) == (False, "vigia")


def address_of(browser: Browser) -> str:
    document: dict[str, Any] = {"endpoint": "https://push.example/abc", "keys": browser.keys}
    return msgspec.json.encode(document).decode()
